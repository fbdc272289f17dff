"""Labelled chips under other skies: simulated air, clouds with their shadows, and a sensor's faults laid over them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from narrows.water.recipes.chips import Chips
from narrows.water.recipes.pool import labels_of
from narrows.water.simulation.chip import Chip, draw_conditions, observe
from narrows.water.simulation.landscape import Surface

__all__ = ["Skies", "under_another_sky"]


@dataclass(frozen=True)
class Skies:
    """Numbers to chips of real ground under drawn skies, for `pool.make_pool`; as many skies as numbers."""

    chips: Chips

    def __call__(self, number: int) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        place = number % len(self.chips.place)
        label = self.chips.label[place].astype(np.float32)
        chip = under_another_sky(self.chips.reflectance[place], label, number)
        labels = labels_of(chip)
        # What was cloud already stays unknown; of the water only what label and Fmask agree on is taught.
        labels[1] *= self.chips.known[place]
        labels[3] *= ~self.chips.unclear[place]
        return chip.reflectance, labels


def under_another_sky(
    reflectance: NDArray[np.float32], water: NDArray[np.float32], seed: int, *, split: str = "train"
) -> Chip:
    """A chip of surface reflectance (6, h, w) and its water (h, w), 0 to 1, as some sensor would see it some other day.

    Sensor, sun, air, clouds and faults are drawn as for simulated chips (`draw_conditions`); the ground stays as it
    was, its own light and shade too.
    """
    draw = np.random.default_rng([seed, 7 if split == "train" else 8])
    ones = np.ones(water.shape, np.float32)
    surface = Surface(np.clip(reflectance, 0, 1), ones, ones, water, water, np.zeros(water.shape, np.uint8))
    return observe(surface, draw_conditions(draw, split), seed, draw)
