"""Fields: which one each pixel lies in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from narrows.water.simulation.noise import FractalNoise, cell_values
from narrows.water.simulation.style import SceneStyle

__all__ = ["Parcels"]


@dataclass(frozen=True)
class Parcels:
    """The fields of a window: numbers of each pixel's field, int64 (h, w), and bool `inside`, false between circles.

    Fields stand in rows that bend with the land; some are divided in two or four, some are circles around a pivot.
    """

    seed: int
    across: NDArray[np.int64]
    down: NDArray[np.int64]
    inside: NDArray[np.bool_]

    @classmethod
    def make(cls, style: SceneStyle, seed: int, start: int, stop: int, width: int) -> Parcels:
        """The fields of rows [start, stop)."""
        draw = np.random.default_rng([seed, 49])
        tilt, long = draw.uniform(0, np.pi / 2), 1.0 if style.pivots else draw.uniform(1, 2.5)
        bend = np.float32(style.parcel * draw.uniform(0.2, 1.2) * (style.pivots == 0))
        down, across = np.mgrid[start:stop, 0:width].astype(np.float32)
        u = across * np.float32(np.cos(tilt)) + down * np.float32(np.sin(tilt))
        v = down * np.float32(np.cos(tilt)) - across * np.float32(np.sin(tilt))
        u, v = (
            x + bend * FractalNoise(seed, key, 128, 32, 0.5).rows(start, stop, width) for x, key in ((u, 53), (v, 54))
        )
        v = v / np.float32(style.parcel)
        row = np.floor(v).astype(np.int64)
        u = u / np.float32(style.parcel * long) + cell_values(seed + 1, row, row * 0) * 8
        column = np.floor(u).astype(np.int64)
        right, below = u - column, v - row
        kind = cell_values(seed + 2, column, row)
        pieces = 1 + (kind > 0.5) + 2 * (kind > 0.8)
        part = np.floor(right * pieces).astype(np.int64)
        inside = np.ones(u.shape, bool)
        if style.pivots:
            round_ = cell_values(seed + 3, column, row) < style.pivots
            part = np.where(round_, 0, part)
            inside = ~round_ | (np.hypot(right - 0.5, below - 0.5) < 0.48)
        return cls(seed, 4 * column + part, row, inside)

    def value(self, key: int) -> NDArray[np.float32]:
        """A uniform value for each field."""
        return cell_values(self.seed + 101 * (key + 1), self.across, self.down)
