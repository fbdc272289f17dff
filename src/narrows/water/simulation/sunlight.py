"""Light and shadow of the ground under a sun of given height and direction."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Sun", "sunlit"]

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Sun:
    """Zenith angle and azimuth (clockwise from north, the top of the image), in degrees."""

    zenith: float
    azimuth: float

    @property
    def towards(self) -> tuple[float, float]:
        """Unit step (rows, columns) over the ground towards the sun."""
        return -float(np.cos(np.radians(self.azimuth))), float(np.sin(np.radians(self.azimuth)))


def sunlit(height: Array, sun: Sun, steepness: float, edge: int) -> tuple[Array, Array]:
    """Direct light relative to flat ground (0 in shadow), and the share of sky seen, without the outer `edge` pixels.

    Args:
        height: float32 (h + 2 edge, w + 2 edge), in pixels. steepness: scales it.
        edge: also how far shadows reach, in pixels.
    """
    inner = (slice(edge, -edge), slice(edge, -edge))
    down, across = (
        np.float32(steepness) * np.gradient(height[edge - 1 : 1 - edge, edge - 1 : 1 - edge], axis=axis)
        for axis in (0, 1)
    )
    down, across = down[1:-1, 1:-1], across[1:-1, 1:-1]
    steep = np.sqrt(1 + down * down + across * across)
    row, column = sun.towards
    tangent = np.float32(np.tan(np.radians(sun.zenith)))
    light = np.clip((1 - tangent * (down * row + across * column)) / steep, 0, None)
    sky = 0.5 + 0.5 / steep
    top = np.float32(steepness) * height
    # A shadow needs ground that falls more steeply than the light, somewhere on its way.
    if max(float(np.abs(np.diff(top, axis=axis)).max()) for axis in (0, 1)) * 1.42 * tangent > 1:
        lit = np.ones_like(light)
        for step in range(1, edge):
            i, j = round(step * row), round(step * column)
            near = top[edge + i : top.shape[0] - edge + i, edge + j : top.shape[1] - edge + j]
            over = near - top[inner] - np.hypot(i, j) / tangent
            np.minimum(lit, np.clip(0.5 - 2 * over, 0, 1), out=lit)
        light = light * lit
    return light.astype(np.float32), sky.astype(np.float32)
