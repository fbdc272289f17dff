"""What kind of scene a seed gives: its ground, its covers and its waters."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from narrows.errors import InputError
from narrows.water.simulation.terrain import TerrainStyle

__all__ = ["KINDS", "SceneStyle", "draw_style"]

KINDS = (
    "forest",
    "farmland",
    "savanna",
    "desert",
    "mountains",
    "lakes",
    "coast",
    "delta",
    "wetland",
    "city",
    "burnt",
    "volcanic",
    "arctic",
    "mine",
    "flood",
)


@dataclass(frozen=True)
class SceneStyle:
    """The character of a scene. Lengths are in pixels, shares 0 to 1; thresholds are on noise of unit spread.

    Attributes:
        kind: one of `KINDS`.
        dryness: 0 forest to 1 bare ground; covers vary around it by `patchiness`.
        farmed: share of parcels. parcel: their size. irrigated: share of parcels that stand green in dry land.
        pivots: share of parcels that are circles.
        flooded: share of parcels under shallow water.
        town, burnt, lava: share of the land. roads: number of roads.
        snow_line: height above which snow lies, in units of relief (above 4 for none).
        ice: share of still water that is frozen. plants: share of still water under floating plants.
        wet: width of the wet soil along banks, in pixels. banks: sand beside and in rivers, share.
        channel_least: drained area, in cells, from where channels show. channel_widest, channel_narrowest: in pixels.
        ponds: number per 10,000 pixels. oxbows, canals: number.
        river, still, sea: kinds of water as `water_colour.draw_water` names them. turbid: how much they vary.
        depth: of standing water, in metres per pixel from the shore. glint: reflectance of the sun on waves.
        dark: what is left of a forest's light where crowns shade each other.
        clear: above which noise the land is cleared. gallery: how much greener banks are. wooded: 0 to 1.
        steepness: stretches the ground upwards where its light and shadow are reckoned.
    """

    kind: str
    terrain: TerrainStyle
    dryness: float = 0.4
    patchiness: float = 0.16
    farmed: float = 0.0
    parcel: float = 10.0
    irrigated: float = 0.1
    pivots: float = 0.0
    flooded: float = 0.0
    town: float = 0.0
    burnt: float = 0.0
    lava: float = 0.0
    roads: int = 0
    snow_line: float = 9.0
    ice: float = 0.0
    plants: float = 0.0
    wet: float = 2.0
    banks: float = 0.1
    channel_least: float = 30.0
    channel_widest: float = 8.0
    channel_narrowest: float = 0.5
    ponds: float = 0.0
    oxbows: int = 0
    canals: int = 0
    river: str = "muddy"
    still: str = "clear"
    sea: str = "clear"
    turbid: float = 0.5
    depth: float = 0.3
    glint: float = 0.005
    steepness: float = 1.0
    dark: float = 0.6
    clear: float = 0.5
    gallery: float = 0.1
    wooded: float = 0.5


def draw_style(draw: np.random.Generator, kind: str | None = None, *, pixel: float = 30.0) -> SceneStyle:
    """Draw a scene's character; `kind` is drawn too unless given. `pixel` is the pixel's side in metres.

    Raises:
        InputError: for a kind that is not one of `KINDS`.
    """
    if kind is None:
        kind = str(draw.choice(KINDS))
    elif kind not in KINDS:
        raise InputError(f"scenes of kind {kind!r} aren't known; the known ones are {', '.join(KINDS)}")

    def chance(p: float) -> bool:
        return bool(draw.uniform() < p)

    def between(low: float, high: float) -> float:
        return float(np.exp(draw.uniform(np.log(low), np.log(high))))

    terrain = TerrainStyle(
        relief=between(2, 8),
        tilt=draw.uniform(0, 1.5),
        aspect=draw.uniform(0, 2 * np.pi),
        ridged=draw.uniform(0, 0.6),
        plain=draw.uniform(0, 1),
        lakes=draw.uniform(0, 0.5),
        drawn_down=draw.uniform(0, 0.5),
        dams=int(chance(0.12)),
        inflow=between(300, 2e5) if chance(0.6) else 0.0,
    )
    waters = ("clear", "black", "green", "muddy")
    style = SceneStyle(
        kind,
        terrain,
        dryness=draw.uniform(0.1, 0.75),
        patchiness=draw.uniform(0.08, 0.25),
        farmed=draw.uniform(0, 0.7) if chance(0.5) else 0.0,
        parcel=max(2.0, between(80, 700) / pixel),
        irrigated=draw.uniform(0, 0.4),
        pivots=draw.uniform(0.3, 1) if chance(0.1) else 0.0,
        town=draw.uniform(0, 0.1) if chance(0.4) else 0.0,
        burnt=draw.uniform(0.02, 0.2) if chance(0.15) else 0.0,
        roads=int(draw.integers(0, 3)),
        wet=between(0.5, 4),
        banks=draw.uniform(0, 0.3),
        channel_least=between(20, 300),
        channel_widest=between(0.7, 12) if chance(0.75) else between(12, 45),
        channel_narrowest=between(0.25, 1.0),
        ponds=between(0.3, 12) if chance(0.5) else 0.0,
        oxbows=int(draw.integers(1, 5)) if chance(0.25) else 0,
        canals=int(chance(0.1)),
        river=str(draw.choice(waters)),
        still=str(draw.choice(waters)),
        sea=str(draw.choice(("clear", "green", "muddy"))),
        turbid=draw.uniform(0.2, 1),
        depth=between(0.05, 3),
        glint=between(0.001, 0.03) if chance(0.88) else between(0.03, 0.12),
        steepness=draw.uniform(0.3, 1.2),
        plants=draw.uniform(0.05, 0.5) if chance(0.12) else 0.0,
        dark=draw.uniform(0.4, 0.9),
        clear=draw.uniform(-0.3, 1.5),
        gallery=draw.uniform(0, 0.3),
        wooded=draw.uniform(0, 1),
    )
    match kind:
        case "forest":
            return replace(
                style,
                dryness=draw.uniform(0.0, 0.25),
                patchiness=draw.uniform(0.04, 0.12),
                river=str(draw.choice(("black", "muddy", "clear"))),
                farmed=0.0,
            )
        case "farmland":
            return replace(
                style,
                farmed=draw.uniform(0.5, 1),
                dryness=draw.uniform(0.2, 0.65),
                canals=int(chance(0.3)),
                terrain=replace(terrain, plain=draw.uniform(0.6, 1), relief=between(0.8, 3)),
            )
        case "savanna":
            return replace(style, dryness=draw.uniform(0.4, 0.75), farmed=0.0)
        case "desert":
            return replace(
                style,
                dryness=draw.uniform(0.75, 1.05),
                farmed=draw.uniform(0.1, 0.6) if chance(0.3) else 0.0,
                irrigated=draw.uniform(0.3, 1),
                pivots=draw.uniform(0.3, 1),
                river=str(draw.choice(("muddy", "red"))),
                still=str(draw.choice(("clear", "milky", "muddy"))),
            )
        case "mountains":
            return replace(
                style,
                terrain=replace(terrain, relief=between(12, 45), ridged=draw.uniform(0.5, 1), plain=0.1),
                snow_line=draw.uniform(-0.5, 2),
                steepness=1.0,
                farmed=0.0,
                town=0.0,
                river=str(draw.choice(("clear", "milky"))),
                still=str(draw.choice(("clear", "milky", "black"))),
            )
        case "lakes":
            return replace(style, terrain=replace(terrain, tilt=draw.uniform(0, 0.3), lakes=1.0, drawn_down=0.1))
        case "coast":
            return replace(style, terrain=replace(terrain, sea=draw.uniform(0.15, 0.6)), depth=between(0.05, 2))
        case "delta":
            return replace(
                style,
                terrain=replace(
                    terrain,
                    sea=draw.uniform(0.2, 0.5),
                    relief=between(0.5, 2),
                    inflow=between(2e3, 8e3),
                    fan=between(6, 14),
                ),
                channel_widest=between(2, 10),
                sea="muddy",
                river="muddy",
                depth=between(0.03, 0.3),
            )
        case "wetland":
            return replace(
                style,
                terrain=replace(terrain, relief=between(0.3, 1.5), tilt=0.2, lakes=0.8),
                ponds=between(5, 30),
                plants=draw.uniform(0.1, 0.6),
                oxbows=int(draw.integers(2, 9)),
                wet=between(3, 10),
                dryness=draw.uniform(0.1, 0.5),
                depth=between(0.02, 0.2),
            )
        case "city":
            return replace(style, town=draw.uniform(0.3, 0.95), roads=int(draw.integers(1, 6)), canals=int(chance(0.3)))
        case "burnt":
            return replace(style, burnt=draw.uniform(0.2, 0.8), dryness=draw.uniform(0.2, 0.8))
        case "volcanic":
            return replace(style, lava=draw.uniform(0.2, 0.8), terrain=replace(terrain, relief=between(4, 20)))
        case "arctic":
            return replace(
                style,
                snow_line=draw.uniform(-4, 0.8),
                ice=draw.uniform(0, 1),
                farmed=0.0,
                town=0.0,
                terrain=replace(terrain, lakes=1.0, tilt=draw.uniform(0, 0.6)),
            )
        case "mine":
            return replace(
                style,
                still=str(draw.choice(("milky", "red", "green"))),
                river=str(draw.choice(("red", "muddy"))),
                ponds=between(4, 20),
                dryness=draw.uniform(0.5, 1.0),
            )
    return replace(
        style,
        flooded=draw.uniform(0.1, 0.7),
        pivots=0.0,
        farmed=draw.uniform(0.5, 1),
        river="muddy",
        still="muddy",
        terrain=replace(terrain, relief=between(0.4, 1.5), lakes=1.0, inflow=between(2e3, 8e3)),
    )
