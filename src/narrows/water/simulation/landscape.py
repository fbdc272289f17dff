"""A simulated landscape: ground, covers and water put together, with the exact share of water in every pixel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from narrows.errors import InputError
from narrows.water.simulation.channels import Lines, arcs, distributaries, draw_lines, river_lines, straight_lines
from narrows.water.simulation.cover import LandCovers, draw_palette
from narrows.water.simulation.library import check_split
from narrows.water.simulation.noise import FractalNoise
from narrows.water.simulation.ponds import draw_ponds, place_ponds
from narrows.water.simulation.style import SceneStyle, draw_style
from narrows.water.simulation.sunlight import Sun, sunlit
from narrows.water.simulation.terrain import make_terrain
from narrows.water.simulation.water_bodies import WaterBodies

__all__ = ["COVERS", "Landscape", "Surface"]

Array = NDArray[np.float32]

COVERS = ("land", "water", "snow", "ice", "burnt", "town", "lava", "plants")
"""What `Surface.cover` numbers, from 0; "plants" are floating or stand in water."""

_EDGE = 26
_APART = 2**40


def _hollow(wide: Array) -> Array:
    """How far the ground lies below its surroundings of 11 pixels, without the outer `_EDGE` pixels."""
    around = ndimage.uniform_filter(wide, 11)
    return (around - wide)[_EDGE:-_EDGE, _EDGE:-_EDGE]


@dataclass(frozen=True)
class Surface:
    """Rows of a landscape, before the sky.

    Attributes:
        reflectance: float32 (6, h, w), of flat ground in full light.
        light: float32 (h, w), direct sunlight relative to flat ground: 0 in the ground's own shadow.
        sky: float32 (h, w), share of the sky that is seen.
        water: float32 (h, w), exact share of each pixel that lies under water, whatever floats on it.
        open_water: float32 (h, w), the share whose water is seen: without ice and plants.
        cover: uint8 (h, w), the largest cover, numbered as in `COVERS`.
    """

    reflectance: Array
    light: Array
    sky: Array
    water: Array
    open_water: Array
    cover: NDArray[np.uint8]


class Landscape:
    """One seed's landscape of a given size, from which any rows are made; they agree however they are cut.

    Args:
        height, width: in pixels. seed: at least 0; also draws the character of the scene.
        split: "train" or "test": from which measured spectra covers are mixed; one seed's ground differs too.
        sensor: one of those of `library.SENSORS`. pixel: the side of a pixel in metres.
        kind: one of `style.KINDS`; drawn if left out. sun: where the sun stands.

    Raises:
        InputError: for a size below 1, a negative seed, or a split, sensor or kind that isn't known.
    """

    def __init__(
        self,
        height: int,
        width: int,
        seed: int,
        *,
        split: str = "train",
        sensor: str = "landsat-8",
        pixel: float = 30.0,
        kind: str | None = None,
        sun: Sun | None = None,
    ) -> None:
        if height < 1 or width < 1:
            raise InputError(f"a simulated scene of {height} x {width} has no pixels")
        if seed < 0:
            raise InputError(f"the seed of a simulated scene is {seed}; it must be 0 or more")
        check_split(split)
        # Ground and rivers of the splits mustn't be the same either.
        seed += _APART if split == "test" else 0
        self.height, self.width, self.seed, self.split, self.pixel = height, width, seed, split, pixel
        draw = np.random.default_rng([seed, 1])
        self.style: SceneStyle = draw_style(draw, kind, pixel=pixel)
        self.sun = sun or Sun(float(draw.uniform(20, 55)), float(draw.uniform(90, 170)))
        self.palette = draw_palette(draw, sensor, split, self.style.dark)
        self.cell = 4 if max(height, width) <= 1024 else 8
        margin = 14 if max(height, width) <= 1024 else 24
        self.terrain = make_terrain(height, width, seed, self.style.terrain, cell=self.cell, margin=margin)
        self.rivers = self._rivers()
        self.roads = straight_lines(self.style.roads, height, width, seed, max(0.25, 14 / pixel), 25)
        self.ponds = place_ponds(height, width, seed, self.style.ponds)
        self.bodies = WaterBodies.draw(draw, sensor, self.style, self.palette, self.sun.zenith)

    def _rivers(self) -> Lines:
        style = self.style
        lines = river_lines(
            self.terrain,
            self.seed,
            least=style.channel_least,
            widest=style.channel_widest,
            narrowest=style.channel_narrowest,
            wander=0.7 * self.cell,
        )
        mouth = self.terrain.mouth
        if mouth is not None:
            breadth = min(style.channel_narrowest * (mouth.area / style.channel_least) ** 0.5, style.channel_widest)
            row, column = ((x + 0.5 - self.terrain.margin) * self.cell for x in (mouth.row, mouth.column))
            reach = 1.3 * style.terrain.fan * self.cell
            lines = distributaries(lines, (row, column, mouth.direction, max(breadth, 1.0)), self.seed, reach)
        if style.oxbows:
            lines = lines + arcs(style.oxbows, self.height, self.width, self.seed, 6)
        if style.canals:
            lines = lines + straight_lines(
                style.canals, self.height, self.width, self.seed, max(0.4, 25 / self.pixel), 26
            )
        return lines

    def rows(self, start: int, stop: int) -> Surface:
        """Rows [start, stop) of the landscape."""
        style, width = self.style, self.width
        # The ground's shadows and slopes look beyond the rows.
        wide = self.terrain.heights(start - _EDGE, stop + _EDGE, -_EDGE, width + 2 * _EDGE)
        height = wide[_EDGE:-_EDGE, _EDGE:-_EDGE]
        light, sky = sunlit(wide, self.sun, style.steepness, _EDGE)
        slope = np.hypot(*np.gradient(wide[_EDGE - 1 : 1 - _EDGE, _EDGE - 1 : 1 - _EDGE]))[1:-1, 1:-1]
        stands = self.terrain.still(start, stop, width, height, np.maximum(slope, 0.004 * style.terrain.relief))
        river, flows = draw_lines(self.rivers, start, stop, width)
        if style.banks > 0.15 and style.channel_widest > 4:
            # Sand bars in wide rivers.
            bars = FractalNoise(self.seed, 61, 16, 2, 0.7).rows(start, stop, width)
            cut = np.clip((bars - 2.2 + 4 * style.banks) * 2, 0, 1) * (flows > 1)
            river, flows = river * (1 - cut), flows - 4 * cut
        pond, pools = draw_ponds(self.ponds, start, stop, width)
        shore = np.clip(stands + 0.5, 0, 1)
        inside = np.maximum(np.maximum(stands, flows), pools)
        land = LandCovers.make(
            style,
            self.palette,
            self.seed,
            start,
            stop,
            width,
            inside=inside,
            height=height / np.float32(style.terrain.relief),
            hollow=_hollow(wide) / np.float32(style.terrain.relief),
        )
        water = np.maximum(np.maximum(river, shore), np.maximum(pond, land.flooded * (1 - land.snow)))
        if style.roads:
            road, _ = draw_lines(self.roads, start, stop, width)
            # Bridges cross rivers, not lakes and the sea.
            road *= (1 - land.snow) * (stands < 8)
            water = water * (1 - road)
        else:
            road = np.zeros_like(water)
        salt = self.terrain.salt[np.ix_(*self.terrain.cells(start, stop, 0, width))]
        seen = self.bodies.rows(
            style,
            self.seed,
            start,
            stop,
            width,
            stands=stands,
            flows=flows,
            pools=pools,
            flooded=land.flooded,
            salt=salt,
            pixel=self.pixel,
        )
        reflectance = land.reflectance
        reflectance += road * (self.palette.asphalt[:, None, None] - reflectance)
        reflectance += water * (seen.reflectance - reflectance)
        # Water lies flat: lit in full, or in the shadow of its banks.
        light = light + water * ((light > 0.02) - light)
        ice, plants = seen.ice, seen.plants
        open_water = water * (1 - ice) * (1 - plants)
        shares = np.stack(
            (
                (1 - water) * np.clip(1 - land.snow - land.burnt - land.town - land.lava, 0, 1),
                open_water,
                (1 - water) * land.snow,
                water * ice,
                (1 - water) * land.burnt,
                (1 - water) * land.town,
                (1 - water) * land.lava,
                water * (1 - ice) * plants,
            )
        )
        cover = shares.argmax(0).astype(np.uint8)
        return Surface(
            reflectance.astype(np.float32),
            light.astype(np.float32),
            sky.astype(np.float32),
            water.astype(np.float32),
            open_water.astype(np.float32),
            cover,
        )
