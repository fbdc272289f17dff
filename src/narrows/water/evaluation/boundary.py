"""How well shores lie: the boundary F1 of Csurka et al. 2013 ("What is a good evaluation measure for semantic
segmentation?", BMVC), with a tolerance in pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["TOLERANCE", "Boundary", "shore"]

TOLERANCE = 2.0
"""Pixels, between centres."""

Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Boundary:
    """Pixels on the shore of the answer, of which `found_near` lie within the tolerance of the true shore; pixels on
    the true shore, of which `true_near` lie within the tolerance of the answer's. Two add up."""

    found: int = 0
    found_near: int = 0
    true: int = 0
    true_near: int = 0

    @classmethod
    def of(cls, water: Bools, truth: Bools, scored: Bools, tolerance: float = TOLERANCE) -> Boundary:
        """Compare the shores of two masks (H, W) where `scored` is true."""
        from scipy.ndimage import distance_transform_edt

        one, other = shore(water, scored), shore(truth, scored)

        def near(here: Bools, there: Bools) -> int:
            if not there.any() or not here.any():
                return 0
            return int(np.count_nonzero(distance_transform_edt(~there)[here] <= tolerance))

        return cls(int(one.sum()), near(one, other), int(other.sum()), near(other, one))

    def __add__(self, other: Boundary) -> Boundary:
        return Boundary(
            self.found + other.found,
            self.found_near + other.found_near,
            self.true + other.true,
            self.true_near + other.true_near,
        )

    @property
    def f1(self) -> float | None:
        """Harmonic mean of the two shares; 0 where only one of the masks has a shore, None where neither has."""
        if not self.found and not self.true:
            return None
        if not self.found_near or not self.true_near:
            return 0.0
        precision, recall = self.found_near / self.found, self.true_near / self.true
        return 2 * precision * recall / (precision + recall)


def shore(water: Bools, scored: Bools) -> Bools:
    """Water pixels with a side on a scored pixel that isn't water. The image's edge is no shore."""
    wet, dry = water & scored, ~water & scored
    beside = np.zeros_like(dry)
    beside[1:] |= dry[:-1]
    beside[:-1] |= dry[1:]
    beside[:, 1:] |= dry[:, :-1]
    beside[:, :-1] |= dry[:, 1:]
    return wet & beside
