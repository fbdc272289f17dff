"""Whole simulated scenes under a clear sky, made by rows, for demonstration, full-size benchmarks and training."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from narrows.errors import InputError
from narrows.water.simulation.atmosphere import air
from narrows.water.simulation.landscape import Landscape
from narrows.water.simulation.noise import white_noise

__all__ = ["Scenery", "simulate_blocks", "simulate_scene"]

Array = NDArray[np.float32]

_SENSOR, _HAZE, _NOISE = "landsat-8", 0.1, 0.0015


class Scenery:
    """One seed's landscape of a given size as surface reflectance of Landsat 8, from which rows are made.

    Args:
        height, width: in pixels. seed: at least 0. split, kind: as for `landscape.Landscape`.

    Raises:
        InputError: as `landscape.Landscape` does.
    """

    def __init__(self, height: int, width: int, seed: int, *, split: str = "train", kind: str | None = None) -> None:
        self.landscape = Landscape(height, width, seed, split=split, sensor=_SENSOR, kind=kind)
        self.diffuse = air(_SENSOR, self.landscape.sun.zenith, _HAZE).diffuse[:, None, None]

    def rows(self, start: int, stop: int) -> tuple[Array, NDArray[np.uint8]]:
        """Rows [start, stop): reflectance float32 (6, rows, width) and open water 0 or 1, uint8 (rows, width)."""
        surface = self.landscape.rows(start, stop)
        light = (1 - self.diffuse) * surface.light + self.diffuse * surface.sky
        noise = white_noise(self.landscape.seed, 20, start, stop, self.landscape.width, 6)
        reflectance = surface.reflectance * light
        reflectance += noise * (np.float32(_NOISE) + np.float32(0.005) * reflectance)
        return reflectance.astype(np.float32), (surface.open_water >= 0.5).astype(np.uint8)


def simulate_blocks(
    height: int, width: int, seed: int, *, rows: int = 128, split: str = "train", kind: str | None = None
) -> Iterator[tuple[Array, NDArray[np.uint8]]]:
    """Simulate a scene from the top in blocks of `rows` rows (the last may be shorter); never holds it all.

    Yields:
        Reflectance float32 (6, n, width) and water uint8 (n, width), the same pixels as `simulate_scene` gives.

    Raises:
        InputError: for a size below 1, a negative seed, or a split or kind that isn't known.
    """
    if height < 1 or width < 1 or rows < 1:
        raise InputError(f"a simulated scene of {height} x {width} in blocks of {rows} rows has no pixels")
    scenery = Scenery(height, width, seed, split=split, kind=kind)
    for start in range(0, height, rows):
        yield scenery.rows(start, min(start + rows, height))


def simulate_scene(
    height: int, width: int, seed: int, *, split: str = "train", kind: str | None = None
) -> tuple[Array, NDArray[np.uint8]]:
    """Simulate a clear scene of surface reflectance with its true water mask.

    Args:
        height, width: in pixels of 30 m. seed: at least 0. split: "train" or "test", see `chip.simulate_chip`.
        kind: of scene, one of `style.KINDS`; drawn from the seed if left out.

    Returns:
        Reflectance float32 (6, height, width), blue, green, red, nir, swir1, swir2, roughly 0 to 1 (noise may take it
        below 0), and water uint8 (height, width), 1 where open water covers at least half of the pixel.

    Raises:
        InputError: for a size below 1, a negative seed, or a split or kind that isn't known.
    """
    blocks = list(simulate_blocks(height, width, seed, split=split, kind=kind))
    return np.concatenate([b[0] for b in blocks], 1), np.concatenate([b[1] for b in blocks], 0)
