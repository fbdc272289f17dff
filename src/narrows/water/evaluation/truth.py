"""Masks drawn by people: their classes, and reading one that belongs to a scene."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from narrows.errors import InputError
from narrows.rasters.images import RasterImage
from narrows.water.grids import Grid, check_grid

if TYPE_CHECKING:
    from narrows.rasters import Scene

__all__ = ["CLOUD", "FILL", "LAND", "SHADOW", "UNSURE", "WATER", "read_truth"]

LAND, WATER, UNSURE, CLOUD, SHADOW, FILL = 0, 1, 2, 3, 4, 255
_CLASSES = (LAND, WATER, UNSURE, CLOUD, SHADOW, FILL)


def read_truth(path: Path, scene: Scene) -> NDArray[np.uint8]:
    """The mask at `path` of the whole of `scene`, uint8 (H, W): 0 land, 1 water, 2 unsure, 3 cloud, 4 shadow, 255 fill.

    Raises:
        InputError: it can't be read, isn't of this scene, or holds other classes.
    """
    if not path.exists():
        raise InputError(f"{path}: there is no such file")
    image = RasterImage(str(path), path.name)
    try:
        if image.count != 1:
            raise InputError(f"{path.name}: has {image.count} bands, where a mask has one")
        if image.dtype(1).kind not in "ui":
            raise InputError(f"{path.name}: holds {image.dtype(1).name} numbers, where a mask holds classes")
        here = Grid(image.height, image.width, image.crs, image.transform)
        check_grid(here, Grid(scene.height, scene.width, scene.crs, scene.transform), path.name, scene.name)
        classes = image.read([1], (0, image.height), (0, image.width))[0]
    finally:
        image.close()
    strange = np.setdiff1d(classes, _CLASSES)
    if strange.size:
        shown = ", ".join(str(value) for value in strange[:5])
        raise InputError(
            f"{path.name}: holds {shown}; the classes of a mask are 0 land, 1 water, 2 unsure, 3 cloud, 4 shadow, "
            "255 fill"
        )
    if not np.isin(classes, (LAND, WATER, CLOUD, SHADOW)).any():
        raise InputError(f"{path.name}: has no pixel to score: all is unsure or fill")
    return classes.astype(np.uint8)
