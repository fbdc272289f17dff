"""Surface-water maps of whole satellite scenes, in one pass."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from narrows.water.api import map_water
    from narrows.water.compare import Change, ChangeFiles, compare_maps
    from narrows.water.mapping import MapOptions, MinimumArea
    from narrows.water.products import MapFiles, MapResult, map_to_files
    from narrows.water.series import Series, add_up

__all__ = [
    "Change",
    "ChangeFiles",
    "MapFiles",
    "MapOptions",
    "MapResult",
    "MinimumArea",
    "Series",
    "add_up",
    "compare_maps",
    "map_to_files",
    "map_water",
]

_HOMES = {
    "Change": "narrows.water.compare",
    "ChangeFiles": "narrows.water.compare",
    "MapFiles": "narrows.water.products",
    "MapOptions": "narrows.water.mapping",
    "MapResult": "narrows.water.products",
    "MinimumArea": "narrows.water.mapping",
    "Series": "narrows.water.series",
    "add_up": "narrows.water.series",
    "compare_maps": "narrows.water.compare",
    "map_to_files": "narrows.water.products",
    "map_water": "narrows.water.api",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for, and rasterio and torch with it only then."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'narrows.water' has no attribute '{name}'")
