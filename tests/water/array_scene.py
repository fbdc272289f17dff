"""Scenes in memory, with the interface of `narrows.rasters.Scene` that the water pipeline uses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS


@dataclass
class ArrayRows:
    reflectance: NDArray[np.float32]
    observed: NDArray[np.bool_]
    filled: NDArray[np.bool_]


class ArrayScene:
    """Six bands (6, h, w) with a mask of what was observed; not finite pixels and those not observed are 0,
    as on disk.
    """

    name = "array"
    acquired = None
    lacks: ClassVar[tuple[str, ...]] = ()
    applied: ClassVar[dict[str, str]] = {"sensor": "none", "scale": "1"}

    def __init__(
        self,
        bands: NDArray[np.float32],
        observed: NDArray[np.bool_] | None = None,
        clouds: Any = None,
        origin: tuple[int, int] = (0, 0),
    ):
        finite = np.isfinite(bands).all(axis=0)
        self.observed = finite if observed is None else observed & finite
        self.bands = np.where(self.observed, bands, 0).astype(np.float32)
        self.height, self.width = bands.shape[1:]
        self.clouds = clouds
        self.crs = CRS.from_epsg(32630)
        self.grid_origin = (-200_000 + origin[0], 10_000 + origin[1])
        self.transform = Affine(30, 0, 30 * self.grid_origin[1], 0, -30, -30 * self.grid_origin[0])
        self.cache_bytes = 0
        self.reads: list[tuple[int, int]] = []

    @property
    def has_clouds(self) -> bool:
        return self.clouds is not None

    def window(self, rows: tuple[int, int], columns: tuple[int, int]) -> ArrayScene:
        place = (slice(*rows), slice(*columns))
        return ArrayScene(
            self.bands[:, place[0], place[1]],
            self.observed[place],
            None if self.clouds is None else self.clouds[place],
            (self.grid_origin[0] + 200_000 + rows[0], self.grid_origin[1] - 10_000 + columns[0]),
        )

    def pixel_areas(self, start: int, stop: int) -> NDArray[np.float64]:
        return np.full(stop - start, 900.0)

    def read(self, start: int, stop: int) -> ArrayRows:
        self.reads.append((start, stop))
        observed = self.observed[start:stop]
        return ArrayRows(self.bands[:, start:stop].copy(), observed, np.zeros_like(observed))

    def read_clouds(self, start: int, stop: int) -> NDArray[np.uint8] | None:
        return None if self.clouds is None else self.clouds[start:stop]
