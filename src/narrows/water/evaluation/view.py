"""A scene held whole in memory, so that every method sees the same numbers, also after they were changed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS

from narrows.errors import InputError
from narrows.units import format_bytes

if TYPE_CHECKING:
    from narrows.rasters import Scene

__all__ = ["BYTES_PER_PIXEL", "View", "ViewScene", "check_memory", "read_view"]

_ROWS = 256
BYTES_PER_PIXEL = 150
"""What scoring holds of a scene: six bands twice, masks, distances, and a method's own arrays."""


@dataclass(frozen=True)
class View:
    """Reflectance float32 (6, H, W), `observed` and `filled` bool (H, W) as `Scene.read` gives them, and its place.

    Bands that the scene `lacks` are the last ones, and 1.
    """

    name: str
    reflectance: NDArray[np.float32]
    observed: NDArray[np.bool_]
    filled: NDArray[np.bool_]
    crs: CRS | None = None
    transform: Affine | None = None
    grid_origin: tuple[int, int] = (0, 0)
    lacks: tuple[str, ...] = ()

    @property
    def bands(self) -> int:
        """How many bands the scene has; the others tell nothing."""
        return len(self.reflectance) - len(self.lacks)

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W)."""
        return self.observed.shape[0], self.observed.shape[1]

    def showing(self, reflectance: NDArray[np.float32]) -> View:
        """The same place with other reflectance; what wasn't observed stays so, and bands that it lacks."""
        blank = ~(self.observed | self.filled)
        changed = np.where(blank, 0, reflectance).astype(np.float32)
        changed[self.bands :] = self.reflectance[self.bands :]
        return replace(self, reflectance=changed)

    def middle(self, side: int) -> tuple[View, tuple[slice, slice]]:
        """At most `side` x `side` pixels in the middle, and where in this view they lie."""
        (height, width), place = self.shape, []
        for length in (height, width):
            start = max(0, (length - side) // 2)
            place.append(slice(start, start + min(side, length)))
        rows, columns = place
        transform = self.transform
        if transform is not None:
            transform = transform @ Affine.translation(columns.start, rows.start)
        part = View(
            self.name,
            np.ascontiguousarray(self.reflectance[:, rows, columns]),
            self.observed[rows, columns],
            self.filled[rows, columns],
            self.crs,
            transform,
            (self.grid_origin[0] + rows.start, self.grid_origin[1] + columns.start),
            self.lacks,
        )
        return part, (rows, columns)


def check_memory(height: int, width: int, name: str) -> None:
    """Refuse a scene that doesn't fit into the memory that is free.

    Raises:
        InputError: it doesn't.
    """
    from narrows.streaming.memory import free_memory

    needed = BYTES_PER_PIXEL * height * width
    if needed > free_memory():
        raise InputError(
            f"{name}: scoring holds a scene whole, some {format_bytes(needed)} for {height} x {width} pixels, and "
            f"{format_bytes(free_memory())} are free; cut the scene and its mask"
        )


def read_view(scene: Scene) -> View:
    """All of `scene`.

    Raises:
        InputError: it can't be read.
    """
    height, width = scene.height, scene.width
    view = View(
        scene.name,
        np.empty((6, height, width), np.float32),
        np.empty((height, width), bool),
        np.empty((height, width), bool),
        scene.crs,
        scene.transform,
        scene.grid_origin,
        scene.lacks,
    )
    for start in range(0, height, _ROWS):
        stop = min(start + _ROWS, height)
        rows = scene.read(start, stop)
        view.reflectance[:, start:stop] = rows.reflectance
        view.observed[start:stop], view.filled[start:stop] = rows.observed, rows.filled
    return view


@dataclass(frozen=True)
class _Rows:
    reflectance: NDArray[np.float32]
    observed: NDArray[np.bool_]
    filled: NDArray[np.bool_]


class ViewScene:
    """What mapping asks of a `Scene`, over a `View`."""

    has_clouds = False
    acquired = None
    cache_bytes = 0

    def __init__(self, view: View):
        self._view = view
        self.name, self.crs, self.transform = view.name, view.crs, view.transform
        self.grid_origin, self.lacks = view.grid_origin, view.lacks
        self.height, self.width = view.shape
        self.applied: dict[str, str] = {}

    def pixel_areas(self, start: int, stop: int) -> None:
        return None

    def read_clouds(self, start: int, stop: int) -> None:
        return None

    def read(self, start: int, stop: int) -> Any:
        rows = slice(start, stop)
        view = self._view
        return _Rows(view.reflectance[:, rows].copy(), view.observed[rows], view.filled[rows])
