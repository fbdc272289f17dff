"""Whether a probability of 0.7 is water in 7 of 10 pixels: reliability, calibration error, risk by coverage."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["MIDDLE", "Bin", "Reliability"]

_CELLS = 2**16
MIDDLE = (0.02, 0.98)
"""Between these probabilities the sure pixels are left out, which are most and hide the others."""


@dataclass(frozen=True)
class Bin:
    """`pixels` of mean `probability`, of which the share `water` is water."""

    probability: float
    water: float
    pixels: int


class Reliability:
    """Pixels by predicted probability, in 65,536 cells: enough to bin them by count, whatever their number.

    Probabilities within one cell (1.5e-5) aren't told apart.
    """

    def __init__(self) -> None:
        self._pixels = np.zeros(_CELLS, np.int64)
        self._water = np.zeros(_CELLS, np.int64)
        self._sum = np.zeros(_CELLS, np.float64)

    def add(self, probability: NDArray[np.floating], wet: NDArray[np.bool_]) -> None:
        """Take probabilities (n,) of water, 0 to 1, and whether each is."""
        cells = np.minimum((probability.astype(np.float64) * _CELLS).astype(np.int64), _CELLS - 1)
        self._pixels += np.bincount(cells, minlength=_CELLS)
        self._water += np.bincount(cells[wet], minlength=_CELLS)
        self._sum += np.bincount(cells, weights=probability, minlength=_CELLS)

    def __add__(self, other: Reliability) -> Reliability:
        total = Reliability()
        for name in ("_pixels", "_water", "_sum"):
            setattr(total, name, getattr(self, name) + getattr(other, name))
        return total

    @property
    def pixels(self) -> int:
        return int(self._pixels.sum())

    def bins(self, count: int = 15, within: tuple[float, float] | None = None) -> list[Bin]:
        """At most `count` bins of equally many pixels; those of one probability stay together, so there may be fewer.

        `within` leaves out the cells that reach beyond these probabilities.
        """
        pixels = self._pixels
        if within is not None:
            edges = np.arange(_CELLS + 1) / _CELLS
            pixels = np.where((edges[:-1] >= within[0]) & (edges[1:] <= within[1]), pixels, 0)
        cells = np.flatnonzero(pixels)
        if not cells.size:
            return []
        through = np.cumsum(pixels[cells])
        shares = np.linspace(0, 1, count + 1)[1:-1]
        last = np.searchsorted(through, np.floor((through[-1] - 1) * shares).astype(np.int64) + 1)
        place = np.searchsorted(np.unique(last), np.arange(cells.size))
        n, water, total = (np.bincount(place, weights=x[cells]) for x in (pixels, self._water, self._sum))
        return [Bin(float(t / k), float(w / k), int(k)) for k, w, t in zip(n, water, total, strict=True) if k]

    def error(self, count: int = 15, within: tuple[float, float] | None = None) -> float | None:
        """The expected calibration error over `bins`: mean of |share of water - mean probability|, by pixels."""
        bins = self.bins(count, within)
        total = sum(each.pixels for each in bins)
        return sum(each.pixels * abs(each.water - each.probability) for each in bins) / total if total else None

    def risk_by_coverage(self, points: int = 100) -> list[tuple[float, float]]:
        """(share of pixels kept, share of those that are wrong at 0.5), the surest pixels kept first."""
        if not self.pixels:
            return []
        middle = (np.arange(_CELLS) + 0.5) / _CELLS
        wrong = np.where(middle >= 0.5, self._pixels - self._water, self._water)
        order = np.argsort(-np.abs(middle - 0.5), kind="stable")
        kept, errors = np.cumsum(self._pixels[order]), np.cumsum(wrong[order])
        at = np.unique(np.searchsorted(kept, np.linspace(0, kept[-1], points + 1)[1:]))
        return [(float(kept[i] / kept[-1]), float(errors[i] / kept[i])) for i in at if kept[i]]
