"""Recall by the size of the water body: what is lost first is small."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["SIZES", "BodyRecall"]

SIZES = (1, 4, 16, 64, 256, 1024)
"""Smallest body of each class, in pixels; the last class is open."""

_EIGHT = np.ones((3, 3), dtype=bool)
Counts = tuple[int, ...]
_ZEROS = (0,) * len(SIZES)


def _sum(a: Counts, b: Counts) -> Counts:
    return tuple(x + y for x, y in zip(a, b, strict=True))


@dataclass(frozen=True)
class BodyRecall:
    """For each class of `SIZES`: bodies, bodies of which half the pixels or more were found, pixels, pixels found."""

    bodies: Counts = _ZEROS
    bodies_found: Counts = _ZEROS
    pixels: Counts = _ZEROS
    pixels_found: Counts = _ZEROS

    @classmethod
    def of(cls, water: NDArray[np.bool_], truth: NDArray[np.bool_]) -> BodyRecall:
        """Bodies of `truth` (H, W), joined by sides or corners; the image's edge cuts them."""
        from scipy import ndimage

        labels, count = ndimage.label(truth, structure=_EIGHT)
        sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
        found = np.bincount(labels[water & truth], minlength=count + 1)[1:]
        place = np.searchsorted(SIZES, sizes, side="right") - 1

        def by_class(amount: NDArray[np.int64]) -> Counts:
            return tuple(int(x) for x in np.bincount(place, weights=amount, minlength=len(SIZES)))

        ones = np.ones_like(sizes)
        return cls(by_class(ones), by_class((2 * found >= sizes).astype(np.int64)), by_class(sizes), by_class(found))

    def __add__(self, other: BodyRecall) -> BodyRecall:
        return BodyRecall(
            _sum(self.bodies, other.bodies),
            _sum(self.bodies_found, other.bodies_found),
            _sum(self.pixels, other.pixels),
            _sum(self.pixels_found, other.pixels_found),
        )

    @staticmethod
    def names() -> list[str]:
        """What the classes are called: ``"1 to 3 px"``, ..., ``"1024 px and more"``."""
        closed = [f"{low} to {high - 1} px" for low, high in itertools.pairwise(SIZES)]
        return [*closed, f"{SIZES[-1]} px and more"]

    def recall(self, number: int) -> float | None:
        """The share of pixels found in bodies of class `number`; None where there are none."""
        return self.pixels_found[number] / self.pixels[number] if self.pixels[number] else None

    def as_list(self) -> list[dict[str, float | int | str | None]]:
        return [
            {
                "size": name,
                "bodies": self.bodies[number],
                "bodies_found": self.bodies_found[number],
                "pixels": self.pixels[number],
                "recall": self.recall(number),
            }
            for number, name in enumerate(self.names())
        ]
