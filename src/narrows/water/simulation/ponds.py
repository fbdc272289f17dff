"""Small water bodies of irregular outline."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Ponds", "draw_ponds", "place_ponds"]

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Ponds:
    """n ponds: middle and mean radius in pixels, and the amplitudes and phases (n, 3) of their outline's waves."""

    row: NDArray[np.float64]
    column: NDArray[np.float64]
    radius: NDArray[np.float64]
    wave: NDArray[np.float64]
    phase: NDArray[np.float64]


def place_ponds(height: int, width: int, seed: int, density: float) -> Ponds:
    """`density` ponds per 10,000 pixels; few large ones, many small ones: numbers fall with the cube of the radius."""
    draw = np.random.default_rng([seed, 27])
    n = int(draw.poisson(density * height * width / 1e4)) if density > 0 else 0
    radius = np.minimum(0.45 / draw.uniform(0.001, 1, n) ** 0.45, 9)
    return Ponds(
        draw.uniform(0, height, n), draw.uniform(0, width, n), radius,
        draw.uniform(0, 0.35, (n, 3)) / np.array([1, 1.5, 2]), draw.uniform(0, 2 * np.pi, (n, 3)),
    )  # fmt: skip


def draw_ponds(ponds: Ponds, start: int, stop: int, width: int) -> tuple[Array, Array]:
    """Share of each pixel of rows [start, stop) under ponds, and distance inside their edge (at least -8)."""
    cover = np.zeros((stop - start, width), np.float32)
    inside = np.full_like(cover, -8)
    for k in np.flatnonzero(np.abs(ponds.row - (start + stop) / 2) < (stop - start) / 2 + 2 * ponds.radius + 8):
        row, column, radius = ponds.row[k], ponds.column[k], ponds.radius[k]
        reach = int(2 * radius + 8)
        top, bottom = max(start, int(row) - reach), min(stop, int(row) + reach + 1)
        left, right = max(0, int(column) - reach), min(width, int(column) + reach + 1)
        if top >= bottom or left >= right:
            continue
        y, x = np.mgrid[top:bottom, left:right] + 0.5
        angle, far = np.arctan2(y - row, x - column), np.hypot(y - row, x - column)
        edge = radius * (1 + sum(ponds.wave[k, m] * np.cos((m + 2) * angle + ponds.phase[k, m]) for m in range(3)))
        window = (slice(top - start, bottom - start), slice(left, right))
        inner = (edge - far).astype(np.float32)
        np.maximum(inside[window], inner, out=inside[window])
        # The largest share that a pond of less than a pixel can cover is its area.
        share = np.clip(inner + 0.5, 0, min(1.0, np.pi * radius**2))
        np.maximum(cover[window], share, out=cover[window])
    return cover, inside
