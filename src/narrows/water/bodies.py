"""Water bodies of a mask that arrives by rows: exact across strips, in bounded memory.
 A body is a set of water pixels joined by their sides or corners (8-connected), so that a river one pixel
wide that runs diagonally is one body.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

__all__ = ["BlockBodies", "BodyTracker", "SmallBodyFilter"]

_EIGHT = np.ones((3, 3), dtype=bool)
_SLAB_ROWS = 128


@dataclass(frozen=True)
class BlockBodies:
    """The bodies of one block of rows, and what the block says about earlier ones.

    `labels` (n, width) int32 numbers the parts inside the block from 1; `areas[label]` is a part's area;
    `bodies[label]` is the number of the whole body that it belongs to. `merged` lists (kept, absorbed) body
    numbers that this block joined, `closed` the earlier bodies that have no pixel in its last row, `opened`
    those that have one.
    """

    labels: NDArray[np.int32]
    areas: NDArray[np.float64]
    bodies: NDArray[np.int64]
    merged: list[tuple[int, int]]
    closed: list[int]
    opened: set[int]


class BodyTracker:
    """Numbers bodies down an image, block by block, keeping one row of body numbers."""

    def __init__(self, width: int):
        self._last: NDArray[np.int64] = np.zeros(width, dtype=np.int64)
        self._open: set[int] = set()
        self._next = 1

    def push(self, water: NDArray[np.bool_], row_areas: NDArray[np.float64]) -> BlockBodies:
        """Take the next rows: `water` (n, width), `row_areas` (n,) the area of a pixel in each row."""
        from scipy import ndimage  # here, because most maps need none of its memory

        labels, count = ndimage.label(water, structure=_EIGHT)
        areas = np.zeros(count + 1)
        for row, area in zip(labels, row_areas, strict=True):
            areas += np.bincount(row, minlength=count + 1) * area
        areas[0] = 0.0
        bodies = np.arange(self._next - 1, self._next + count, dtype=np.int64)
        bodies[0] = 0
        self._next += count

        parent: dict[int, int] = {}

        def root(number: int) -> int:
            while (above := parent.get(number, number)) != number:
                parent[number] = parent.get(above, above)
                number = above
            return number

        for old, new in self._touching(bodies[labels[0]]):
            a, b = root(old), root(new)
            if a != b:
                parent[max(a, b)] = min(a, b)
        linked = [number for number in parent if number not in self._open]
        first = self._next - count
        for number in linked:
            bodies[number - first + 1] = root(number)
        merged = [(root(number), number) for number in self._open if root(number) != number]
        kept = {root(number) for number in self._open}
        self._last = bodies[labels[-1]]
        self._open = set(np.unique(self._last).tolist()) - {0}
        return BlockBodies(labels, areas, bodies, merged, sorted(kept - self._open), set(self._open))

    def _touching(self, first_row: NDArray[np.int64]) -> list[tuple[int, int]]:
        """Pairs of body numbers in the last row kept and in `first_row` that touch by a side or a corner."""
        pairs = []
        width = len(first_row)
        for shift in (-1, 0, 1):
            above = self._last[max(0, shift) : width + min(0, shift)]
            below = first_row[max(0, -shift) : width + min(0, -shift)]
            both = (above > 0) & (below > 0)
            pairs.append(np.stack([above[both], below[both]], axis=1))
        return [(int(a), int(b)) for a, b in np.unique(np.concatenate(pairs), axis=0)]


@dataclass
class _Small:
    area: float = 0.0
    pieces: list[tuple[int, NDArray[np.int32]]] = field(default_factory=list)

    def joined(self, other: _Small) -> _Small:
        return _Small(self.area + other.area, self.pieces + other.pieces)


class SmallBodyFilter:
    """Turns water bodies below an area into land, in one pass.

    A row waits until no body that it holds can still turn out small. A body that has reached the area is
    decided, so a small one spans fewer rows than `min_area` holds pixels: what is held is at most that many
    rows of the mask (and the positions of the undecided pixels), whatever the height of the image.

    A body's area is that of the pixels seen as water: clouds, missing data and the image's edge cut it.
    """

    def __init__(self, width: int, min_area: float):
        self._tracker = BodyTracker(width)
        self._min_area = min_area
        self._held: deque[NDArray[np.uint8]] = deque()
        self._first_held = 0
        self._open: dict[int, _Small | None] = {}  # None: a body that has reached the area

    @staticmethod
    def rows_held(height: int, min_area: float, smallest_pixel: float) -> int:
        """The most rows that can wait at a time, for pixels of at least `smallest_pixel`."""
        return min(height, math.ceil(min_area / smallest_pixel) + 2 * _SLAB_ROWS)

    def push(self, mask: NDArray[np.uint8], row_areas: NDArray[np.float64]) -> list[NDArray[np.uint8]]:
        """Take mask rows (n, width), 1 for water; give back the rows decided so far, in order."""
        ready: list[NDArray[np.uint8]] = []
        for start in range(0, len(mask), _SLAB_ROWS):
            rows = slice(start, start + _SLAB_ROWS)
            self._push_slab(mask[rows].copy(), row_areas[rows])
            ready += self._release()
        return ready

    def flush(self) -> list[NDArray[np.uint8]]:
        """The image has ended: decide what is open and give back the rest."""
        for number in list(self._open):
            self._close(number)
        return self._release()

    def _push_slab(self, mask: NDArray[np.uint8], row_areas: NDArray[np.float64]) -> None:
        block = self._tracker.push(mask == 1, row_areas)
        serial = self._first_held + len(self._held)
        self._held.append(mask)
        for kept, absorbed in block.merged:
            one, other = self._open.pop(kept), self._open.pop(absorbed)
            self._open[kept] = None if one is None or other is None else one.joined(other)
        continuing = np.fromiter({*block.closed, *block.opened}, dtype=np.int64)
        continues = np.isin(block.bodies, continuing)
        small_inside = ~continues & (block.areas < self._min_area)
        small_inside[0] = False
        mask[small_inside[block.labels]] = 0
        self._extend(block, serial, continues)
        for number in block.closed:
            self._close(number)

    def _extend(self, block: BlockBodies, serial: int, continues: NDArray[np.bool_]) -> None:
        """Add this block's parts to the bodies that are open, and drop the positions of those now large
        enough.
        """
        for label in np.flatnonzero(continues):
            number = int(block.bodies[label])
            small = self._open.setdefault(number, _Small())
            if small is not None:
                small.area += float(block.areas[label])
                if small.area >= self._min_area:
                    self._open[number] = None
        undecided = [label for label in np.flatnonzero(continues) if self._open[int(block.bodies[label])] is not None]
        wanted = np.zeros(len(block.bodies), dtype=bool)
        wanted[undecided] = True
        flat = block.labels.ravel()
        positions = np.flatnonzero(wanted[flat]).astype(np.int32)
        positions = positions[np.argsort(flat[positions], kind="stable")]
        labels = flat[positions]
        for piece in np.split(positions, np.flatnonzero(np.diff(labels)) + 1):
            if len(piece):
                small = self._open[int(block.bodies[flat[piece[0]]])]
                assert small is not None
                small.pieces.append((serial, piece))

    def _close(self, number: int) -> None:
        small = self._open.pop(number)
        if small is not None:
            for serial, positions in small.pieces:
                self._held[serial - self._first_held].reshape(-1)[positions] = 0

    def _release(self) -> list[NDArray[np.uint8]]:
        oldest = self._first_held + len(self._held)
        for small in self._open.values():
            if small is not None:
                oldest = min(oldest, min(serial for serial, _ in small.pieces))
        ready = []
        while self._first_held < oldest:
            ready.append(self._held.popleft())
            self._first_held += 1
        return ready
