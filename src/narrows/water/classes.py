"""The values of a water map."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["COLOURS", "HIDDEN", "LAND", "NO_DATA", "OUTSIDE", "PROBABILITY_COLOURS", "WATER", "hides"]

LAND = 0
WATER = 1
OUTSIDE = 253
"""Outside the area of interest, while rows are worked on; written as `NO_DATA`, but not counted as
missing.
"""
HIDDEN = 254
NO_DATA = 255

HIDDEN_FROM = 0.5
"""Probability from which a network's own opinion hides a pixel."""
SURELY_WATER_FROM = 0.7
"""Probability from which water is seen, be there thin cloud or shadow."""

Colour = tuple[int, int, int, int]

COLOURS: dict[int, Colour] = {
    LAND: (226, 224, 217, 255),
    WATER: (18, 92, 173, 255),
    HIDDEN: (237, 184, 107, 255),
    NO_DATA: (0, 0, 0, 0),
}


def _ramp() -> dict[int, Colour]:
    land, water = COLOURS[LAND], COLOURS[WATER]
    ramp = {}
    for percent in range(101):
        red, green, blue = (round(a + (b - a) * percent / 100) for a, b in zip(land[:3], water[:3], strict=True))
        ramp[percent] = (red, green, blue, 255)
    return ramp


PROBABILITY_COLOURS: dict[int, Colour] = {**_ramp(), HIDDEN: COLOURS[HIDDEN], NO_DATA: COLOURS[NO_DATA]}


def hides(water: NDArray[np.float32], hidden: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Where a network's own opinion leaves no answer, from its two probabilities, of one shape.

    Where water surely shows a pixel isn't hidden: networks are taught to say none where cloud lets none show.
    """
    return (hidden >= HIDDEN_FROM) & (water < SURELY_WATER_FROM)
