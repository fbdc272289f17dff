"""What the water of a scene looks like, place by place: its colour, its bottom, its glint, ice and plants on it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from narrows.water.simulation.absorption import WAVELENGTHS
from narrows.water.simulation.cover import Palette
from narrows.water.simulation.library import to_bands
from narrows.water.simulation.noise import FractalNoise
from narrows.water.simulation.style import SceneStyle
from narrows.water.simulation.water_colour import Water, draw_water, water_reflectance

__all__ = ["SeenWater", "WaterBodies"]

Array = NDArray[np.float32]

_DEPTHS = np.array([0.05, 0.15, 0.4, 1.0, 2.5, 6.0, 15.0])


@dataclass(frozen=True)
class SeenWater:
    """Reflectance float32 (6, h, w) of the water surface; shares float32 (h, w) of it under ice and under plants."""

    reflectance: Array
    ice: Array
    plants: Array


@dataclass(frozen=True)
class WaterBodies:
    """A scene's waters.

    Attributes:
        table: float32 (4, 2, len(depths), 6): river, lake, sea and small waters, each less and more laden, by depth.
        plants, ice, snow: spectra of what lies on the water, (6,).
    """

    table: Array
    plants: Array
    ice: Array
    snow: Array

    @classmethod
    def draw(
        cls, draw: np.random.Generator, sensor: str, style: SceneStyle, palette: Palette, sun_zenith: float
    ) -> WaterBodies:
        """Draw the waters that a style names."""
        river = draw_water(draw, style.river)
        still = draw_water(draw, style.still) if draw.uniform() < 0.6 else river
        sea, small = (
            draw_water(draw, style.sea),
            draw_water(draw, str(draw.choice(("clear", "black", "green", "muddy", style.still)))),
        )
        level = float(np.exp(draw.uniform(np.log(0.03), np.log(0.25))))
        bottom = level * (0.5 + 0.5 * np.clip((WAVELENGTHS - 400) / 400, 0, 1))
        table = []
        for water in (river, still, sea, small):
            laden = Water(
                water.chlorophyll * (1 + style.turbid),
                water.dissolved,
                water.suspended * (1 + 2 * style.turbid) + 5 * style.turbid,
                water.redness,
                water.paleness,
            )
            for kind in (water, laden):
                spectra = [water_reflectance(kind, depth, bottom, sun_zenith) for depth in _DEPTHS]
                table.append(to_bands(sensor, np.stack(spectra)))
        return cls(
            np.array(table, np.float32).reshape(4, 2, len(_DEPTHS), 6), palette.emergent, palette.ice, palette.snow
        )

    def rows(
        self,
        style: SceneStyle,
        seed: int,
        start: int,
        stop: int,
        width: int,
        *,
        stands: Array,
        flows: Array,
        pools: Array,
        flooded: Array,
        salt: NDArray[np.bool_],
        pixel: float,
    ) -> SeenWater:
        """The water surface of rows [start, stop), also where there is land: what would be seen if it were flooded."""
        shape = (stop - start, width)
        body = np.zeros(shape, np.int64)
        body[stands > flows] = 1
        body[salt & (stands > flows - 4)] = 2
        body[(pools > np.maximum(stands, flows)) | ((flooded > 0) & (np.maximum(stands, flows) < 0))] = 3
        plume = FractalNoise(seed, 71, 64, 4, 0.6).rows(start, stop, width)
        laden = np.clip(0.45 + 0.35 * plume, 0, 1)
        inward = np.maximum(np.maximum(stands, flows), pools)
        depth = np.clip(0.1 + style.depth * np.clip(inward, 0, None) * pixel / 30, 0.05, 15)
        depth = np.where((body == 3) & (pools < 0), 0.1 + 0.1 * laden, depth)
        place = np.interp(np.log(depth), np.log(_DEPTHS), np.arange(len(_DEPTHS)))
        step = np.minimum(place.astype(np.int64), len(_DEPTHS) - 2)
        part = (place - step).astype(np.float32)[..., None]
        laden = laden.astype(np.float32)[..., None]
        seen = np.zeros((*shape, 6), np.float32)
        for k, weight in ((0, 1 - laden), (1, laden)):
            seen += weight * ((1 - part) * self.table[body, k, step] + part * self.table[body, k, step + 1])
        wind = np.exp(0.5 * FractalNoise(seed, 72, 128, 2, 0.8).rows(start, stop, width))
        glint = (np.float32(0.002) + np.float32(style.glint) * wind)[..., None]
        seen += glint * np.array([1.0, 1.0, 0.98, 0.95, 0.85, 0.8], np.float32)
        ice: Array = np.zeros(shape, np.float32)
        if style.ice > 0:
            floes = FractalNoise(seed, 73, 32, 2, 0.7).rows(start, stop, width)
            ice = np.clip((floes + 4 * style.ice - 2) * 4, 0, 1) * (flows < 1.5).astype(np.float32)
            drift = np.clip(0.5 + floes, 0, 1)[..., None]
            seen += ice[..., None] * (self.ice + drift * (self.snow - self.ice) - seen)
        plants: Array = np.zeros(shape, np.float32)
        if style.plants > 0:
            mats = FractalNoise(seed, 74, 32, 2, 0.7).rows(start, stop, width)
            near = np.exp(-np.clip(inward, 0, None) / 6)
            plants = np.clip((mats + 2.5 * style.plants * (0.4 + near) - 1.2) * 2, 0, 1)
            plants = plants * ((body != 0) & ~salt).astype(np.float32)
        if style.flooded > 0:
            stalks = FractalNoise(seed, 75, 16, 2, 0.7).rows(start, stop, width)
            plants = np.maximum(plants, flooded * (body == 3) * np.clip(0.25 + 0.35 * stalks, 0, 0.9))
        plants = (plants * (1 - ice)).astype(np.float32)
        seen += plants[..., None] * (self.plants - seen)
        return SeenWater(np.ascontiguousarray(seen.transpose(2, 0, 1)), ice.astype(np.float32), plants)
