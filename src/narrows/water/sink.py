"""From the network's rows to the rows of the map, on the thread that writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from narrows.water.bodies import SmallBodyFilter
from narrows.water.classes import HIDDEN, LAND, NO_DATA, OUTSIDE, WATER, hides
from narrows.water.framing import Framing, Inner
from narrows.water.statistics import StatisticsCounter

if TYPE_CHECKING:
    from collections.abc import Callable

    from narrows.water.network import WaterNetwork
    from narrows.water.quicklook import Overview
    from narrows.water.source import StatusLines

__all__ = ["MapSink", "Writer"]

_SLAB_ROWS = 32


class Writer(Protocol):
    """Where rows of a map go: (1, n, width) uint8 from the top to the bottom."""

    def write(self, start: int, rows: NDArray[Any]) -> None: ...


class MapSink:
    """A `RowSink` for the network's output (1, n, columns): cuts the frame off, decides, and passes on.

    The mask is water where the probability is at least `threshold`; a pixel that the scene doesn't show keeps
    its status. The probability is written in whole percent; `exact` gets it as float32, NaN where not observed.
    """

    def __init__(
        self,
        network: WaterNetwork,
        framing: Framing,
        status: StatusLines,
        pixel_areas: Callable[[int, int], NDArray[np.float64]],
        mask: Writer,
        *,
        inner: Inner | None = None,
        probability: Writer | None = None,
        exact: Writer | None = None,
        threshold: float = 0.5,
        small: SmallBodyFilter | None = None,
        small_in_pixels: bool = False,
        overview: Overview | None = None,
        resident_bytes: int = 0,
    ):
        self._network = network
        inner = inner or Inner(0, 0, framing.height, framing.width)
        self._inner = inner
        self._top = framing.top + inner.top
        self._columns = slice(framing.left + inner.left, framing.left + inner.left + inner.width)
        self._status = status
        self._pixel_areas = pixel_areas
        self._mask = mask
        self._probability = probability
        self._exact = exact
        self._threshold = threshold
        self._small = small
        self._small_in_pixels = small_in_pixels
        self._overview = overview
        self._written = 0
        self.statistics = StatisticsCounter()
        self.resident_bytes = resident_bytes

    def write(self, start: int, rows: NDArray[Any]) -> None:
        first = max(start, self._top)
        last = min(start + rows.shape[1], self._top + self._inner.height)
        for top in range(first, last, _SLAB_ROWS):
            bottom = min(top + _SLAB_ROWS, last)
            self._write_slab(top - self._top, rows[:, top - start : bottom - start, self._columns])

    def finish(self) -> None:
        """Every row has come: write what waits."""
        if self._small is not None:
            for block in self._small.flush():
                self._write_mask(block)

    def _write_slab(self, start: int, values: NDArray[Any]) -> None:
        above = start + self._inner.top
        count = values.shape[1]
        status = self._status.take(above, above + count)[:, self._inner.columns]
        probability = self._network.probability(values[0])
        if self._network.tells_hidden:
            cloudy = hides(probability, values[1]) & (status == LAND)
            status = np.where(cloudy, np.uint8(HIDDEN), status)
        status = np.where(np.isnan(probability) & (status == LAND), np.uint8(NO_DATA), status)
        seen = status == LAND
        mask = np.where(seen, (probability >= self._threshold).astype(np.uint8) * WATER, status).astype(np.uint8)
        if self._probability is not None:
            percent = np.round(np.where(seen, probability, 0) * 100).astype(np.uint8)
            percent = np.where(seen, percent, np.where(status == OUTSIDE, NO_DATA, status)).astype(np.uint8)
            self._probability.write(start, percent[None])
        if self._exact is not None:
            self._exact.write(start, np.where(seen, probability, np.nan).astype(np.float32)[None])
        if self._small is None:
            self._write_mask(mask)
            return
        areas = np.ones(len(mask)) if self._small_in_pixels else self._pixel_areas(start, start + len(mask))
        for block in self._small.push(mask, areas):
            self._write_mask(block)

    def _write_mask(self, mask: NDArray[np.uint8]) -> None:
        start, self._written = self._written, self._written + len(mask)
        self.statistics.add(mask, self._pixel_areas(start, self._written))
        final = np.where(mask == OUTSIDE, np.uint8(NO_DATA), mask)
        if self._overview is not None:
            self._overview.add_map(start, final)
        self._mask.write(start, final[None])
