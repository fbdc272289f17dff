"""A plain simulated satellite scene: relief, rivers, lakes, a coast, land covers and a sensor's noise.

Nothing is fitted to a place. Rivers are level lines of smooth noise, so they wind but need not run downhill; there is
neither cloud nor atmosphere. It serves demonstration, full-size benchmarks and a share of training; no accuracy is
claimed from it.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from narrows.errors import InputError
from narrows.water.simulation.noise import FractalNoise, cell_values, white_noise
from narrows.water.simulation.spectra import (
    ASH,
    BURNT,
    LAND_BY_DRYNESS,
    SNOW,
    URBAN,
    WATER_BY_TURBIDITY,
    WET_SOIL,
)

__all__ = ["Scenery", "simulate_blocks", "simulate_scene"]

Array = NDArray[np.float32]


def _signed_distance(field: Array, level: float) -> Array:
    """Distance in pixels to the line where `field` equals `level`, positive above it, to first order."""
    down, across = np.gradient(field)
    return (field - np.float32(level)) / np.sqrt(down * down + across * across + np.float32(1e-8))


def _spectrum(table: Array, position: Array) -> Array:
    """Spectra (6, ...) interpolated at `position` (0 first row of `table`, 1 last)."""
    knots = np.linspace(0, 1, len(table))
    return np.stack([np.interp(position, knots, table[:, band]).astype(np.float32) for band in range(6)])


class Scenery:
    """One seed's landscape, an unbounded plane from which rows are made.

    Args:
        seed: at least 0; also draws the scene's character: how dry, how rugged, how much water.
    """

    def __init__(self, seed: int) -> None:
        if seed < 0:
            raise InputError(f"the seed of a simulated scene is {seed}; it must be 0 or more")
        self.seed = seed
        draw = np.random.default_rng([seed, 0])
        self.dryness = float(draw.uniform(0.15, 0.75))
        self.ruggedness = float(draw.uniform(0.3, 1.6))
        self.river_width = float(draw.uniform(2.0, 9.0))
        self.sea_level = float(draw.uniform(1.2, 2.6))
        self.lake_level = float(draw.uniform(1.5, 2.4))
        self.turbidity = float(draw.uniform(0.05, 0.85))
        self.snow_level = float(draw.uniform(1.6, 5.0))
        self.farmed = float(draw.uniform(-0.8, 1.2))
        self.tilt = float(draw.uniform(0, 1.5))
        self.noise = float(draw.uniform(0.0008, 0.003))
        self.basin = FractalNoise(seed, 1, 2048, 32, 0.5)
        self.streams = FractalNoise(seed, 2, 512, 16, 0.55)
        self.hollows = FractalNoise(seed, 3, 256, 8, 0.6)
        self.relief = FractalNoise(seed, 4, 512, 4, 0.52)
        self.cover = FractalNoise(seed, 5, 1024, 8, 0.7)
        self.character = FractalNoise(seed, 6, 1024, 64, 0.6)
        self.settlement = FractalNoise(seed, 7, 512, 16, 0.75)
        self.burning = FractalNoise(seed, 8, 512, 16, 0.65)

    def rows(self, start: int, stop: int, width: int) -> tuple[Array, NDArray[np.uint8]]:
        """Rows [start, stop): reflectance float32 (6, rows, width) and water 0 or 1, uint8 (rows, width)."""
        # The slope of the ground needs a row on either side; so does the distance to water that the ground rises from.
        a, b = start - 2, stop + 2
        character = self.character.rows(a, b, width)
        water = self._water_distance(a, b, width, character)
        relief = self.relief.rows(a, b, width)
        # Ground rises from the water, whatever the noise says.
        height = relief * 24 + np.sqrt(np.clip(-water, 0, 400)) * 2
        down, across = np.gradient(height)
        rugged = self.ruggedness * np.clip(0.6 + 0.7 * character, 0.1, 1.5)
        light = np.clip(1 + rugged * (0.16 * across + 0.12 * down), 0.18, 1.7)

        inner = slice(2, -2)
        character, relief, water, light = (x[inner] for x in (character, relief, water, light))
        land = self._land(start, stop, width, character, relief, water) * light
        stain = np.clip(self.turbidity + 0.2 * character - 0.004 * np.clip(water, 0, 60), 0, 1)
        share = np.clip(water + 0.5, 0, 1)
        reflectance = land + share * (_spectrum(WATER_BY_TURBIDITY, stain) - land)
        noise = white_noise(self.seed, 20, start, stop, width, 6)
        reflectance += noise * (np.float32(self.noise) + np.float32(0.01) * reflectance)
        return reflectance.astype(np.float32), (share >= 0.5).astype(np.uint8)

    def _water_distance(self, a: int, b: int, width: int, character: Array) -> Array:
        """Signed distance to the water's edge in pixels, positive on water."""
        basin = self.basin.rows(a, b, width)
        broad = self.river_width * np.exp(0.5 * character)
        river = broad - np.abs(_signed_distance(basin, 0.0))
        sea = _signed_distance(basin, self.sea_level)
        streams = self.streams.rows(a, b, width)
        # Streams thin out and end away from the basin's line.
        narrow = 0.4 * broad * np.clip(1.6 - 1.5 * np.abs(basin), -0.5, 1)
        stream = narrow - np.abs(_signed_distance(streams, 0.3))
        lake = _signed_distance(self.hollows.rows(a, b, width), self.lake_level)
        return np.maximum(np.maximum(river, sea), np.maximum(stream, lake)).astype(np.float32)

    def _land(self, start: int, stop: int, width: int, character: Array, relief: Array, water: Array) -> Array:
        cover = self.cover.rows(start, stop, width)
        grain = white_noise(self.seed, 21, start, stop, width)[0]
        dry = self.dryness + 0.16 * cover + 0.04 * grain
        farmed = (character + 0.5 * cover < self.farmed) & (np.abs(relief) < 1.2)
        dry = np.where(farmed, 0.5 * self.dryness + 0.6 * self._parcels(start, stop, width) + 0.015 * grain, dry)
        land = _spectrum(LAND_BY_DRYNESS, np.clip(dry, 0, 1))
        bank = np.clip(1 + water / 3, 0, 1) * np.float32(0.6)
        land += bank * (WET_SOIL[:, None, None] - land)
        town = np.clip((self.settlement.rows(start, stop, width) - 1.7) * 3, 0, 0.9)
        roofs = np.clip(1 + 0.35 * white_noise(self.seed, 22, start, stop, width)[0], 0.4, 2.5)
        land += town * (URBAN[:, None, None] * roofs - land)
        burnt = np.clip((self.burning.rows(start, stop, width) - 1.8) * 6, 0, 0.95)
        fresh = np.clip(0.5 + 0.8 * relief, 0, 1)
        scar = BURNT[:, None, None] + fresh * (ASH - BURNT)[:, None, None]
        land += burnt * (scar * (1 + 0.1 * grain) - land)
        snow = np.clip((relief + 0.3 * cover - self.snow_level) * 4, 0, 1)
        land += snow * (SNOW[:, None, None] - land)
        return land.astype(np.float32)

    def _parcels(self, start: int, stop: int, width: int) -> Array:
        """A value for each field: tilted rows of rectangles, shifted from row to row."""
        down, across = np.mgrid[start:stop, 0:width].astype(np.float32)
        u = across * np.float32(np.cos(self.tilt)) + down * np.float32(np.sin(self.tilt))
        v = down * np.float32(np.cos(self.tilt)) - across * np.float32(np.sin(self.tilt))
        strip = np.floor(v / 14).astype(np.int64)
        offset = cell_values(self.seed + 1, strip, strip * 0) * 40
        return cell_values(self.seed, np.floor((u + offset) / 23).astype(np.int64), strip)


def simulate_blocks(
    height: int, width: int, seed: int, *, rows: int = 128
) -> Iterator[tuple[Array, NDArray[np.uint8]]]:
    """Simulate a scene from the top in blocks of `rows` rows (the last may be shorter); never holds it all.

    Yields:
        Reflectance float32 (6, n, width) and water uint8 (n, width), the same pixels as `simulate_scene` gives.

    Raises:
        InputError: for a size below 1 or a negative seed.
    """
    if height < 1 or width < 1 or rows < 1:
        raise InputError(f"a simulated scene of {height} x {width} in blocks of {rows} rows has no pixels")
    scenery = Scenery(seed)
    for start in range(0, height, rows):
        yield scenery.rows(start, min(start + rows, height), width)


def simulate_scene(height: int, width: int, seed: int) -> tuple[Array, NDArray[np.uint8]]:
    """Simulate a clear scene of surface reflectance with its true water mask.

    Returns:
        Reflectance float32 (6, height, width), blue, green, red, nir, swir1, swir2, roughly 0 to 1 (noise may take it
        below 0), and water uint8 (height, width), 1 where water covers at least half of the pixel.

    Raises:
        InputError: for a size below 1 or a negative seed.
    """
    blocks = list(simulate_blocks(height, width, seed))
    return np.concatenate([b[0] for b in blocks], 1), np.concatenate([b[1] for b in blocks], 0)
