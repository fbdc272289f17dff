"""The shortwave infrared of a scene that has none: 1 everywhere, as `networks.water_net` was taught to take it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS

from narrows.rasters.images import Image
from narrows.rasters.product import Layer
from narrows.rasters.sensors import BANDS, SHORTWAVE

__all__ = ["AbsentBands", "with_shortwave"]


class AbsentBands:
    """An image of two bands that are 1 everywhere, on the grid of another one; nothing is read."""

    name = "shortwave infrared"
    count = len(SHORTWAVE)
    by_pixel = True
    block_height = 1

    def __init__(self, like: Image):
        self.height, self.width = like.height, like.width
        self.crs: CRS | None = like.crs
        self.transform: Affine | None = like.transform

    def dtype(self, index: int) -> np.dtype[Any]:
        return np.dtype(np.uint8)

    def read(self, indexes: Sequence[int], rows: tuple[int, int], columns: tuple[int, int]) -> NDArray[Any]:
        return np.broadcast_to(np.uint8(1), (len(indexes), rows[1] - rows[0], columns[1] - columns[0]))

    def masked(self, rows: tuple[int, int], columns: tuple[int, int]) -> NDArray[np.bool_] | None:
        return None

    def row_cache_bytes(self, indexes: Sequence[int], columns: tuple[int, int]) -> int:
        return 0

    def close(self) -> None:
        pass


def with_shortwave(layers: Sequence[Layer]) -> tuple[Layer, ...]:
    """Six layers: those given, and, where they are blue, green, red and nir alone, two of `AbsentBands`."""
    if len(layers) == len(BANDS):
        return tuple(layers)
    finest = max((layer.image for layer in layers), key=lambda image: (image.height, image.width))
    absent = AbsentBands(finest)
    return (*layers, *(Layer(absent, number, 1.0, 0.0) for number in range(1, absent.count + 1)))
