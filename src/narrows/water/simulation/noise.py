"""Seeded smooth noise over an unbounded plane, made by rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["FractalNoise", "cell_values", "white_noise"]

Array = NDArray[np.float32]

# Standard deviation of a plane of unit normals smoothed by the bicubic B-spline: (151 / 315) ** 0.5 a side, squared.
_SPLINE_SPREAD = 151.0 / 315.0


def _spline_weights(fraction: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cubic B-spline weights of the four lattice points around each position; shape (n, 4)."""
    t = fraction
    return np.stack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3], 1) / 6


@dataclass(frozen=True)
class FractalNoise:
    """Gaussian noise of zero mean and unit spread, with octaves from `coarsest` down to `finest` pixels.

    A value depends on the seed and the pixel's row and column alone, so rows made in any blocks agree.

    Attributes:
        seed: the scene's seed.
        key: tells the scene's fields apart.
        coarsest, finest: lattice steps in pixels, powers of two.
        gain: amplitude of each octave relative to the coarser one.
    """

    seed: int
    key: int
    coarsest: int
    finest: int
    gain: float = 0.5

    def rows(self, start: int, stop: int, width: int) -> Array:
        """Rows [start, stop), start >= -2, of the field: float32 (stop - start, width)."""
        total = np.zeros((stop - start, width), np.float32)
        step, amplitude, power = self.coarsest, 1.0, 0.0
        while step >= self.finest:
            total += np.float32(amplitude) * self._octave(step, start, stop, width)
            power += amplitude**2
            step, amplitude = step // 2, amplitude * self.gain
        return total / np.float32(_SPLINE_SPREAD * power**0.5)

    def _octave(self, step: int, start: int, stop: int, width: int) -> Array:
        first, last = start // step, (stop - 1) // step + 3
        columns = -(-width // step) + 3
        # Rows above 0 reach up to lattice row -1; seeds must not be negative.
        lattice = np.stack(
            [
                np.random.default_rng([self.seed, self.key, step, r + 2]).standard_normal(columns)
                for r in range(first, last + 1)
            ]
        ).astype(np.float32)
        rows = np.arange(start, stop)
        vertical = np.zeros((len(rows), len(lattice)), np.float32)
        near = rows // step - first
        weights = _spline_weights((rows % step) / step)
        for k in range(4):
            vertical[np.arange(len(rows)), near + k] = weights[:, k]
        lines = vertical @ lattice
        across = _spline_weights(np.arange(step) / step).astype(np.float32)
        windows = np.lib.stride_tricks.sliding_window_view(lines, 4, axis=1)
        field = np.ascontiguousarray(windows) @ across.T
        return field.reshape(len(rows), -1)[:, :width]


def white_noise(seed: int, key: int, start: int, stop: int, width: int, bands: int = 1) -> Array:
    """Independent unit normals, float32 (bands, stop - start, width); a row depends on seed, key and width alone."""
    lines = [
        np.random.default_rng([seed, key, row]).standard_normal((bands, width), np.float32)
        for row in range(start, stop)
    ]
    return np.stack(lines, 1)


def cell_values(seed: int, across: NDArray[np.int64], down: NDArray[np.int64]) -> Array:
    """A uniform value in [0, 1) for each integer cell (splitmix64 of both indices and the seed)."""
    with np.errstate(over="ignore"):
        z = across.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z += down.astype(np.uint64) * np.uint64(0xC2B2AE3D27D4EB4F) + np.uint64(seed) * np.uint64(0x165667B19E3779F9)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((z ^ (z >> np.uint64(31))) >> np.uint64(40)).astype(np.float32) / np.float32(2**24)
