"""What a network's blocks cost the kernel: which of their pages are fresh when they are written.

A simulation of glibc's main heap, as far as large blocks go (malloc(3), mallopt(3)). A block is taken from the smallest
hole that holds it, else from the top; a block above the mmap threshold, for which there is neither, gets pages of
its own, and the threshold rises to the largest of these that was freed (32 MiB at most). When more than twice the
threshold is free at the top of the heap, the top is given back. A page that comes from the kernel is fresh: the first
write to it costs a fault and the clearing of it.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Hashable

__all__ = ["Heap"]

_LEAST, _MOST = 128 << 10, 32 << 20
_PAD = 128 << 10
_PAGE = 4096
# PyTorch aligns its blocks to 64 bytes; glibc puts 16 before each.
_EXTRA = 64 + 16


class Heap:
    """Allocate and free by name; each allocation tells how many bytes of it are fresh."""

    def __init__(self) -> None:
        self.threshold = _LEAST
        self._trim = 2 * _LEAST
        self._holes: list[tuple[int, int]] = []  # (address, bytes), by address
        self._top = self._end = self._touched = 0
        self._blocks: dict[Hashable, tuple[int | None, int]] = {}

    def allocate(self, name: Hashable, count: int) -> int:
        """Take `count` bytes under `name`; how many of them are fresh."""
        if name in self._blocks:
            self.free(name)
        count += _EXTRA
        fitting = [hole for hole in self._holes if hole[1] >= count]
        if fitting:
            address, size = min(fitting, key=lambda hole: (hole[1], hole[0]))
            self._holes.remove((address, size))
            if size > count:
                insort(self._holes, (address + count, size - count))
        elif self._top + count <= self._end or count < self.threshold:
            address = self._top
            self._top += count
            if self._top > self._end:
                self._end = self._top + _PAD
        else:
            count = -(-count // _PAGE) * _PAGE
            self._blocks[name] = (None, count)
            return count
        self._blocks[name] = (address, count)
        fresh = max(0, address + count - max(self._touched, address))
        self._touched = max(self._touched, address + count)
        return fresh

    def free(self, name: Hashable) -> None:
        """Give back what `name` holds."""
        address, count = self._blocks.pop(name, (None, 0))
        if address is None:
            if self.threshold < count <= _MOST:
                self.threshold, self._trim = count, 2 * count
            return
        insort(self._holes, (address, count))
        place = self._holes.index((address, count))
        for first in (place, place - 1):  # with the hole above, then with the one below
            if 0 <= first < len(self._holes) - 1:
                (low, size), (high, more) = self._holes[first : first + 2]
                if low + size == high:
                    self._holes[first : first + 2] = [(low, size + more)]
        if self._holes and sum(self._holes[-1]) == self._top:
            self._top = self._holes.pop()[0]
            if self._end - self._top > self._trim:
                self._end = self._top + _PAD
                self._touched = min(self._touched, self._end)
