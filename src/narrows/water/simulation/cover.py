"""What covers the land: measured spectra, mixed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from narrows.water.simulation.library import Library, read_library, to_bands
from narrows.water.simulation.noise import FractalNoise, cell_values, white_noise
from narrows.water.simulation.parcels import Parcels
from narrows.water.simulation.style import SceneStyle
from narrows.water.simulation.two_stream import snow_reflectance

__all__ = ["LandCovers", "Palette", "draw_palette"]

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Palette:
    """A scene's spectra, float32 (6,) or (n, 6), from one split of the library.

    Attributes:
        ground: two tables from dense forest to bright bare ground, (2, 6, 6); a place lies between the two.
        wet_soil, emergent, char, ash, lava, asphalt, snow, ice: one spectrum each.
        roofs: (8, 6). sand: of banks and beaches.
    """

    ground: Array
    wet_soil: Array
    sand: Array
    emergent: Array
    char: Array
    ash: Array
    lava: Array
    asphalt: Array
    roofs: Array
    snow: Array
    ice: Array


def _ground(library: Library, draw: np.random.Generator, dark: float) -> NDArray[np.float64]:
    """Mixtures from dense to bare. Crowns shade each other, which canopy models of one layer leave out."""
    forest = library.draw(draw, "canopy", darkness=0.1) * dark
    wood, grass, crop = (library.draw(draw, "canopy") for _ in range(3))
    litter, stems = library.draw(draw, "litter"), library.draw(draw, "wood")
    soil = library.draw(draw, "soil", darkness=0.35)
    bright = library.draw(draw, "soil", darkness=draw.uniform(0.6, 0.95))
    rows = (
        forest,
        0.6 * wood * (0.4 + 0.5 * dark) + 0.15 * stems + 0.1 * soil,
        0.52 * crop + 0.2 * litter + 0.14 * soil,
        0.2 * grass + 0.36 * litter + 0.32 * soil,
        0.05 * grass + 0.12 * litter + 0.72 * soil,
        0.88 * bright,
    )
    return np.stack(rows)


def draw_palette(draw: np.random.Generator, sensor: str, split: str, dark: float) -> Palette:
    """Draw a scene's spectra at a sensor's bands from one split."""
    library = read_library(sensor, split)
    soil = library.draw(draw, "soil", darkness=0.2)
    char = library.draw(draw, "char", darkness=0.2)
    roofs = [library.draw(draw, name) for name in ("roof",) * 5 + ("concrete",) * 2 + ("asphalt",)]
    asphalt = library.draw(draw, "asphalt", darkness=0.3)
    radius = float(np.exp(draw.uniform(np.log(5e-5), np.log(2e-3))))
    snow = to_bands(sensor, snow_reflectance(radius, soot=float(10 ** draw.uniform(-5, -2))))
    bare = to_bands(sensor, snow_reflectance(8e-3, soot=float(10 ** draw.uniform(-4, -1.5))))
    # Lava: flat and dark; fresh ash: char without its shortwave infrared.
    lava = draw.uniform(0.6, 1.3) * np.linspace(0.03, 0.06, 6) + 0.15 * library.draw(draw, "gravel", darkness=0.1)
    parts = (
        np.stack([_ground(library, draw, dark) for _ in range(2)]),
        soil * draw.uniform(0.3, 0.55),
        library.draw(draw, "sand" if len(library.of("sand")) and draw.uniform() < 0.5 else "soil", darkness=0.8),
        library.draw(draw, "canopy") * draw.uniform(0.6, 1.0),
        char,
        0.45 * char * np.array([1, 1, 1, 0.9, 0.6, 0.5]) + 0.01,
        lava,
        asphalt,
        np.stack(roofs),
        snow,
        bare * np.array([0.55, 0.55, 0.5, 0.4, 0.6, 0.6]) * draw.uniform(0.6, 1.4),
    )
    return Palette(*(np.asarray(p, np.float32) for p in parts))


@dataclass(frozen=True)
class LandCovers:
    """A window's land, before water and light: reflectance float32 (6, h, w) and shares float32 (h, w)."""

    reflectance: Array
    snow: Array
    town: Array
    burnt: Array
    lava: Array
    flooded: Array

    @staticmethod
    def make(
        style: SceneStyle, palette: Palette, seed: int, start: int, stop: int, width: int, *,
        inside: Array, height: Array, hollow: Array,
    ) -> LandCovers:  # fmt: skip
        """Cover rows [start, stop).

        Args:
            inside: distance from the nearest water's edge in pixels, negative on land.
            height: of the ground in units of relief. hollow: how far it lies below its surroundings, likewise.
        """

        def noise(key: int, coarsest: int, finest: int, gain: float) -> Array:
            return FractalNoise(seed, key, coarsest, finest, gain).rows(start, stop, width)

        patches, mixing = noise(41, 128, 2, 0.75), noise(42, 64, 4, 0.7)
        grain = white_noise(seed, 43, start, stop, width, 2)
        # Clearings, thickets and pastures have edges.
        pieces = np.tanh(5 * (noise(50, 32, 2, 0.8) - style.clear))
        fine = noise(52, 8, 2, 0.9)
        place = style.dryness + style.patchiness * (0.7 * patches + 0.7 * pieces + 0.35 * fine) + 0.02 * grain[0]
        # Valleys and banks are greener than ridges.
        place += 0.06 * np.clip(height, -2, 2) - style.gallery * np.exp(np.minimum(inside, 0) / 5)
        place -= np.clip(1.2 * hollow, -0.2, 0.2)
        parcels = Parcels.make(style, seed, start, stop, width)
        farmed = parcels.inside & (
            parcels.value(0) < style.farmed * np.clip(1.6 - np.abs(height) - 0.3 * (patches > 1), 0, 1)
        )
        crop = np.where(
            parcels.value(1) < style.irrigated, 0.35 + 0.1 * parcels.value(2), 0.2 + 0.75 * parcels.value(2)
        )
        place = np.where(farmed, crop + 0.015 * grain[0] + 0.02 * patches, place)
        mix = np.where(farmed, parcels.value(3), np.clip(0.5 + 0.35 * mixing, 0, 1)).astype(np.float32)
        land = _lookup(palette.ground, np.clip(place, 0, 1), mix)
        land *= np.exp(0.03 * grain[1] + 0.05 * mixing + 0.05 * fine)
        bank = np.clip(1 + inside / style.wet, 0, 1) * np.clip(0.3 + 0.25 * mixing, 0, 0.7)
        land += bank * (palette.wet_soil[:, None, None] - land)
        beach = np.clip(1 + inside / (0.5 + 8 * style.banks), 0, 1) * np.clip(
            noise(44, 32, 4, 0.7) + 3 * style.banks - 1.2, 0, 0.9
        )
        land += beach * (palette.sand[:, None, None] - land)
        flooded = (farmed & (parcels.value(4) < style.flooded)).astype(np.float32) * np.float32(style.flooded > 0)
        lava = _share(noise(45, 64, 2, 0.6), style.lava, 4)
        land += lava * (palette.lava[:, None, None] * np.exp(0.15 * mixing) - land)
        burnt = _share(noise(46, 64, 2, 0.6), style.burnt, 5) * np.clip(0.85 + 0.3 * mixing, 0, 1)
        fresh = np.clip(0.5 + 0.6 * noise(47, 64, 8, 0.6), 0, 1)
        scar = palette.char[:, None, None] + fresh * (palette.ash - palette.char)[:, None, None]
        land += burnt * (scar * np.exp(0.1 * grain[1]) - land)
        town = _share(noise(48, 64, 4, 0.75), style.town, 3)
        if style.town > 0:
            land += town * (_streets(style, palette, seed, start, stop, width, grain, land) - land)
        snow = np.clip((height + 0.4 * patches + 0.2 * fine - style.snow_line) * 3, 0, 1)
        # Trees stand out of the snow.
        snow *= np.clip(0.95 + 1.2 * (np.clip(place, 0, 0.5) - 0.4) * style.wooded, 0, 1)
        land += snow * (palette.snow[:, None, None] * np.exp(0.03 * mixing) - land)
        return LandCovers(land, snow, town * (1 - snow), burnt * (1 - snow), lava * (1 - snow), flooded)


def _share(field: Array, share: float, sharpness: float) -> Array:
    """0 to 1, on about `share` of a field of unit spread."""
    if share <= 0:
        return np.zeros_like(field)
    level = float(ndtri(1 - min(share, 0.98)))
    return np.clip((field - level) * sharpness + 0.5, 0, 1)


def _lookup(tables: Array, place: Array, mix: Array) -> Array:
    """Spectra (6, h, w) at `place` (0 first row, 1 last) of two tables (2, n, 6), `mix` of the second."""
    last = tables.shape[1] - 1
    position = place.astype(np.float32) * last
    row = np.minimum(position.astype(np.int64), last - 1)
    part = position - row
    weights = (
        (0, row, (1 - part) * (1 - mix)), (0, row + 1, part * (1 - mix)),
        (1, row, (1 - part) * mix), (1, row + 1, part * mix),
    )  # fmt: skip
    bands = np.ascontiguousarray(tables.transpose(2, 0, 1))
    out = np.zeros((6, *place.shape), np.float32)
    for table, index, weight in weights:
        for band in range(6):
            out[band] += bands[band, table][index] * weight
    return out


def _streets(
    style: SceneStyle, palette: Palette, seed: int, start: int, stop: int, width: int, grain: Array, land: Array
) -> Array:
    """Roofs, streets and gardens, block by block; at 30 m each pixel holds several."""
    draw = np.random.default_rng([seed, 51])
    tilt, size = draw.uniform(0, np.pi / 2), max(1.2, style.parcel * draw.uniform(0.15, 0.5))
    down, across = np.mgrid[start:stop, 0:width].astype(np.float32)
    u = (across * np.float32(np.cos(tilt)) + down * np.float32(np.sin(tilt))) / np.float32(size)
    v = (down * np.float32(np.cos(tilt)) - across * np.float32(np.sin(tilt))) / np.float32(size)
    i, j = np.floor(u).astype(np.int64), np.floor(v).astype(np.int64)
    roof = palette.roofs[(cell_values(seed + 7, i, j) * len(palette.roofs)).astype(np.int64)].transpose(2, 0, 1)
    other = palette.roofs[(cell_values(seed + 8, j, i) * len(palette.roofs)).astype(np.int64)].transpose(2, 0, 1)
    built = np.clip(0.45 + 0.14 * grain[0], 0.05, 0.9)
    street = np.clip(0.25 + 0.08 * grain[1] + 0.5 * ((u - i < 1 / size) | (v - j < 1 / size)), 0, 1) * (1 - built)
    # A pixel as large as the blocks holds many roofs.
    own = float(np.clip(size / 6, 0.2, 0.6))
    many = palette.roofs.mean(0)[:, None, None]
    roof = own * roof + 0.5 * own * other + (1 - 1.5 * own) * many
    mixed = built * roof + street * palette.asphalt[:, None, None] + (1 - built - street) * land
    return (mixed * np.clip(1 - 0.12 * built, 0.6, 1)).astype(np.float32)
