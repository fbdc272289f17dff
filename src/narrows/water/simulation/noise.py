"""Seeded smooth noise over an unbounded plane, made by rows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

__all__ = ["FractalNoise", "cell_values", "spline_rows", "white_noise"]

Array = NDArray[np.float32]

# Standard deviation of a plane of unit normals smoothed by the bicubic B-spline: (151 / 315) ** 0.5 a side, squared.
_SPLINE_SPREAD = 151.0 / 315.0


def _spline_weights(fraction: NDArray[np.floating]) -> NDArray[np.float64]:
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

    def rows(self, start: int, stop: int, width: int, *, left: int = 0) -> Array:
        """Rows [start, stop), columns [left, left + width) of the field: float32 (stop - start, width)."""
        total = np.zeros((stop - start, width), np.float32)
        step, amplitude, power = self.coarsest, 1.0, 0.0
        while step >= self.finest:
            total += np.float32(amplitude) * self._octave(step, start, stop, left, width)
            power += amplitude**2
            step, amplitude = step // 2, amplitude * self.gain
        return total / np.float32(_SPLINE_SPREAD * power**0.5)

    def _octave(self, step: int, start: int, stop: int, left: int, width: int) -> Array:
        down = np.arange(start // step, (stop - 1) // step + 4)
        across = np.arange(left // step, (left + width - 1) // step + 4)
        key = self.seed + 0x9E3779B1 * (self.key + 64 * step)
        values = cell_values(key, across[None, :], down[:, None])
        # A uniform of 24 bits may be 0; the normal of its cell's middle never is infinite.
        lattice = ndtri(values.astype(np.float64) + 2.0**-25).astype(np.float32)
        return _spline(lattice, step, start - down[0] * step, stop - down[0] * step, left - across[0] * step, width)


def _spline(lattice: Array, step: int, start: int, stop: int, left: int, width: int) -> Array:
    """The bicubic B-spline of a lattice whose point k controls pixel (k - 1) * step, on a window of pixels."""
    lines = _along_columns(lattice, step, start, stop)
    return _along_columns(np.ascontiguousarray(lines.T), step, left, left + width).T


def _along_columns(lattice: Array, step: int, start: int, stop: int) -> Array:
    """Spline the first axis only: pixels [start, stop)."""
    if len(lattice) <= 96:
        return _spline_matrix(step, start, stop, len(lattice)) @ lattice
    # Of a long matrix nearly all is zero.
    place = np.arange(start, stop)
    weights = _spline_weights((place % step) / step).astype(np.float32)
    total = lattice[place // step] * weights[:, :1]
    for k in range(1, 4):
        total += lattice[place // step + k] * weights[:, k : k + 1]
    return total


@lru_cache(maxsize=256)
def _spline_matrix(step: int, start: int, stop: int, count: int) -> Array:
    place = np.arange(start, stop)
    matrix = np.zeros((len(place), count), np.float32)
    weights = _spline_weights((place % step) / step)
    for k in range(4):
        matrix[np.arange(len(place)), place // step + k] = weights[:, k]
    return matrix


def spline_rows(lattice: Array, step: int, start: int, stop: int, left: int, width: int) -> Array:
    """Rows [start, stop), columns [left, left + width) of a smooth surface over a coarse lattice, float32.

    Lattice value (i, j) stands in the middle of the pixels [i * step, (i + 1) * step); the surface smooths it by the
    bicubic B-spline. Beyond the lattice its outermost values go on.
    """
    far = 2 + max(-min(start, left, 0), 0) // step + max(stop // step - len(lattice) + 2, 0)
    far += max((left + width) // step - lattice.shape[1] + 2, 0)
    shift = (far - 1) * step - step // 2
    padded = np.pad(lattice, far, mode="edge")
    top = max((start + shift) // step, 0)
    bottom = (stop + shift - 1) // step + 4
    return _spline(padded[top:bottom], step, start + shift - top * step, stop + shift - top * step, left + shift, width)


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
        z = z + down.astype(np.uint64) * np.uint64(0xC2B2AE3D27D4EB4F)
        z += np.uint64(seed & 0xFFFFFFFFFFFFFFFF) * np.uint64(0x165667B19E3779F9)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((z ^ (z >> np.uint64(31))) >> np.uint64(40)).astype(np.float32) / np.float32(2**24)
