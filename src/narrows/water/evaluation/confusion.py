"""Counts of right and wrong answers, and the scores that follow from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from narrows.water.classes import HIDDEN, NO_DATA, WATER
from narrows.water.evaluation import truth as classes

__all__ = ["Confusion", "Judged", "judge"]

Bools = NDArray[np.bool_]


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


@dataclass(frozen=True)
class Confusion:
    """Pixels of the class water: found, falsely found, missed, and rightly left out. Two add up."""

    hits: int = 0
    false_alarms: int = 0
    misses: int = 0
    rejections: int = 0

    @classmethod
    def of(cls, water: Bools, truth: Bools, scored: Bools) -> Confusion:
        """Compare two masks of one shape where `scored` is true."""
        counts = np.bincount((2 * truth[scored].astype(np.uint8) + water[scored]).ravel(), minlength=4)
        return cls(int(counts[3]), int(counts[1]), int(counts[2]), int(counts[0]))

    def __add__(self, other: Confusion) -> Confusion:
        return Confusion(
            self.hits + other.hits,
            self.false_alarms + other.false_alarms,
            self.misses + other.misses,
            self.rejections + other.rejections,
        )

    @property
    def pixels(self) -> int:
        return self.hits + self.false_alarms + self.misses + self.rejections

    @property
    def precision(self) -> float | None:
        """None, as the others, where there is nothing to divide by."""
        return _share(self.hits, self.hits + self.false_alarms)

    @property
    def recall(self) -> float | None:
        return _share(self.hits, self.hits + self.misses)

    @property
    def f1(self) -> float | None:
        return _share(2 * self.hits, 2 * self.hits + self.false_alarms + self.misses)

    @property
    def iou(self) -> float | None:
        return _share(self.hits, self.hits + self.false_alarms + self.misses)

    def as_dict(self) -> dict[str, float | int | None]:
        scores = {name: getattr(self, name) for name in ("iou", "f1", "precision", "recall")}
        return {**scores, "pixels": self.pixels, "water_pixels": self.hits + self.misses}


@dataclass(frozen=True)
class Judged:
    """An answer beside the truth, all bool (H, W).

    `water`: the answer says water, or is unobserved where the truth is land (so that it counts as wrong). `called`: the
    answer says water. `wet`: the truth is water. `clear`: the truth is land or water. `covered`: it is cloud or shadow.
    `scored`: one of the two, and the scene has data there. `unobserved`: no answer, where one is scored.
    """

    water: Bools
    called: Bools
    wet: Bools
    clear: Bools
    covered: Bools
    scored: Bools
    unobserved: Bools


def judge(answer: NDArray[np.uint8], truth: NDArray[np.uint8], observed: Bools) -> Judged:
    """Lay `answer` (0, 1, 254, 255) over `truth` (see `read_truth`), where the scene was `observed`.

    Unsure and fill aren't scored. An unobserved answer is wrong on land and on water, and right on cloud and shadow,
    where water is a false alarm and land is right as well.
    """
    called, wet = answer == WATER, truth == classes.WATER
    clear = ((truth == classes.LAND) | wet) & observed
    covered = np.isin(truth, (classes.CLOUD, classes.SHADOW)) & observed
    scored = clear | covered
    unobserved = ((answer == HIDDEN) | (answer == NO_DATA)) & scored
    water = np.where(unobserved & clear, ~wet, called)
    return Judged(water, called, wet & observed, clear, covered, scored, unobserved)
