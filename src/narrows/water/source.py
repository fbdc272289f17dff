"""A scene as the rows that a water network reads, and what is known of each pixel for when its answer
comes.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from narrows.water.classes import HIDDEN, LAND, NO_DATA, OUTSIDE
from narrows.water.framing import Framing, Inner

if TYPE_CHECKING:
    from collections.abc import Callable

    from narrows.rasters import Scene
    from narrows.water.network import Rescale
    from narrows.water.quicklook import Overview

__all__ = ["SceneSource", "StatusLines"]

SLAB_ROWS = 32


class StatusLines:
    """Rows that say of each pixel whether it was observed, kept from when a row is read until its answer is
    written.

    One thread puts rows in, another takes them out, both from the top to the bottom.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._blocks: deque[NDArray[np.uint8]] = deque()
        self._first = 0
        self.most_rows = 0
        """The most rows held at a time so far."""

    def put(self, status: NDArray[np.uint8]) -> None:
        """Append rows (n, width)."""
        with self._lock:
            self._blocks.append(status)
            self.most_rows = max(self.most_rows, sum(len(block) for block in self._blocks))

    def take(self, start: int, stop: int) -> NDArray[np.uint8]:
        """Rows [start, stop); those above `stop` are given up."""
        with self._lock:
            parts = []
            while self._first < stop:
                block = self._blocks.popleft()
                if self._first + len(block) > stop:
                    self._blocks.appendleft(block[stop - self._first :])
                    block = block[: stop - self._first]
                if self._first + len(block) > start:
                    parts.append(block[max(0, start - self._first) :])
                self._first += len(block)
        return parts[0] if len(parts) == 1 else np.concatenate(parts)


class SceneSource:
    """A `RowSource` over a scene in a frame: (6, rows, columns) float32.

    `status` receives for each scene row 0 (observed), 253 (outside the area of interest), 254 (cloud or
    shadow) or 255 (no data). Pixels that are not observed reach the network as the scene gives them: zeros,
    or filled gaps.
    """

    def __init__(
        self,
        scene: Scene,
        framing: Framing,
        status: StatusLines,
        *,
        inner: Inner | None = None,
        clouds: bool = False,
        outside: Callable[[int, int], NDArray[np.bool_] | None] | None = None,
        rescale: Rescale | None = None,
        overview: Overview | None = None,
        other_bytes: int = 0,
    ):
        self._scene = scene
        self._framing = framing
        self._status = status
        self._inner = inner or Inner(0, 0, framing.height, framing.width)
        self._clouds = clouds
        self._outside = outside
        self._rescale = rescale
        self._overview = overview
        self._other_bytes = other_bytes
        self._columns = framing.columns()
        self._next = 0
        small = max(framing.top, framing.bottom) >= framing.height  # mirrored more than once: keep it all
        self._top_until = framing.height if small else framing.top or -1
        self._bottom_from = framing.height - 1 - framing.bottom if framing.bottom else framing.height
        # Rows still needed to mirror the scene at its top and bottom: (first row, pixels).
        self._kept: deque[tuple[int, NDArray[np.float32]]] = deque()
        self.observed_pixels = 0

    @property
    def shape(self) -> tuple[int, int, int]:
        return (6, *self._framing.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(np.float32)

    @property
    def resident_bytes(self) -> int:
        """What reading holds: the scene's own, a slab being turned into reflectance, and the rows kept to
        mirror.
        """
        rows = 2 * SLAB_ROWS + max(self._framing.top, self._framing.bottom)
        return rows * self._framing.width * 6 * 4 + self._other_bytes

    def read(self, start: int, stop: int) -> NDArray[np.float32]:
        """Rows [start, stop) of the frame. The memory order is rows, columns, bands, as the network wants
        it.
        """
        wanted = self._framing.rows(start, stop)
        block = np.empty((stop - start, self._framing.shape[1], 6), dtype=np.float32)
        last = int(wanted.max())
        self._forget(start)
        for first, pixels in self._kept:
            self._place(block, wanted, first, pixels)
        while self._next <= last:
            first, pixels = self._read_slab(min(last + 1, self._next + SLAB_ROWS))
            self._keep(first, pixels)
            self._place(block, wanted, first, pixels)
        return np.moveaxis(block, -1, 0)

    def _place(
        self, block: NDArray[np.float32], wanted: NDArray[np.intp], first: int, pixels: NDArray[np.float32]
    ) -> None:
        """Put the slab's rows (n, width, 6) wherever the block wants them."""
        framing = self._framing
        inside = slice(framing.left, framing.left + framing.width)
        rows = np.flatnonzero((wanted >= first) & (wanted < first + len(pixels)))
        if not len(rows):
            return
        ascending = len(rows) == rows[-1] - rows[0] + 1 and wanted[rows[-1]] - wanted[rows[0]] == len(rows) - 1
        if ascending:
            part = pixels[wanted[rows[0]] - first : wanted[rows[-1]] - first + 1]
            block[rows[0] : rows[-1] + 1, inside] = part
        else:
            block[rows[:, None], np.arange(inside.start, inside.stop)] = pixels[wanted[rows] - first]
        for edge in (range(framing.left), range(framing.left + framing.width, framing.shape[1])):
            for column in edge:
                block[rows, column] = block[rows, framing.left + self._columns[column]]

    def _keep(self, first: int, pixels: NDArray[np.float32]) -> None:
        """Remember rows that mirroring asks for again: the first ones for the top, the last ones for the
        bottom.
        """
        for row in range(first, first + len(pixels)):
            if row <= self._top_until or row >= self._bottom_from:
                self._kept.append((row, pixels[row - first : row - first + 1].copy()))

    def _forget(self, start: int) -> None:
        """The frame's rows from `start` on are still to come: give up what only those above asked for."""
        if start > self._framing.top + self._top_until:
            while self._kept and self._kept[0][0] < self._bottom_from:
                self._kept.popleft()

    def _read_slab(self, stop: int) -> tuple[int, NDArray[np.float32]]:
        first, self._next = self._next, stop
        rows = self._scene.read(first, stop)
        observed = rows.observed
        status = np.where(observed, np.uint8(LAND), np.uint8(NO_DATA))
        if self._clouds:
            clouds = self._scene.read_clouds(first, stop)
            if clouds is not None:
                status[observed & (clouds != 0)] = HIDDEN
        self._show(first, stop, rows.reflectance, status)
        self._status.put(status)
        pixels = np.moveaxis(rows.reflectance, 0, -1)
        if self._rescale is not None:
            pixels = (pixels - np.float32(self._rescale.minimum)) * np.float32(self._rescale.factor)
            np.copyto(pixels, np.float32(0), where=~(observed | rows.filled)[..., None])
        return first, pixels

    def _show(self, first: int, stop: int, reflectance: NDArray[np.float32], status: NDArray[np.uint8]) -> None:
        """What concerns the rows that the map shows: the area of interest, the count of pixels seen, the
        picture.
        """
        inner = self._inner
        top, bottom = inner.rows(first, stop)
        if top >= bottom:
            return
        part = status[top - first : bottom - first, inner.columns]
        seen = part != NO_DATA
        if self._overview is not None:
            shown = reflectance[:, top - first : bottom - first, inner.columns]
            self._overview.add_scene(top - inner.top, shown, seen)
        if self._outside is not None and (beyond := self._outside(top - inner.top, bottom - inner.top)) is not None:
            part[beyond] = OUTSIDE
            seen = seen & ~beyond
        self.observed_pixels += int(np.count_nonzero(seen))
