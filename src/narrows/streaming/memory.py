"""The memory of this process: what it holds now, and how what is freed gets used again or given back."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil

__all__ = [
    "Headroom",
    "free_memory",
    "give_back",
    "map_large_blocks",
    "resident_now",
    "resident_part",
    "share_one_heap",
    "steady_heap",
]

# glibc's malloc.h
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -3, -4, -8
_DEFAULT_MMAP_MAX = 65536
_LARGE = 1 << 20
# Small allocations between two looks at what the process holds.
_UNSEEN = 8_000_000


def resident_now() -> int:
    """Resident bytes of this process, files mapped by the user included."""
    return int(psutil.Process(os.getpid()).memory_info().rss)


def resident_part(address: int, count: int) -> int:
    """How many of `count` bytes from `address` on are resident: pages that were never written are not.

    Elsewhere than on Linux with glibc all of them are taken to be.
    """
    libc = _glibc()
    if libc is None or count <= 0:
        return count
    page = os.sysconf("SC_PAGE_SIZE")
    first = address // page * page
    pages = -(-(address + count - first) // page)
    here = (ctypes.c_ubyte * pages)()
    if libc.mincore(ctypes.c_void_p(first), ctypes.c_size_t(pages * page), here):
        return count
    return min(count, page * sum(flag & 1 for flag in bytes(here)))


def free_memory() -> int:
    """Bytes that could be allocated now without swapping."""
    return int(psutil.virtual_memory().available)


def give_back() -> None:
    """Let go of what Python refers to no more, and (on Linux with glibc) give what is free back to the system."""
    gc.collect()
    if (libc := _glibc()) is not None:
        libc.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    if not sys.platform.startswith("linux"):
        return None
    try:
        libc = ctypes.CDLL("libc.so.6")
        _ = libc.mallopt, libc.malloc_trim
    except (OSError, AttributeError):
        return None
    return libc


def map_large_blocks() -> None:
    """Let each large block that no hole of the heap could take have pages of its own from now on, which go back when it
    is freed and leave no hole."""
    if (libc := _glibc()) is not None:
        libc.mallopt(_M_MMAP_THRESHOLD, _LARGE)


@contextmanager
def steady_heap() -> Iterator[None]:
    """Keep freed tensors on the heap for the next strip, and give them back at the end.

    glibc maps each large block anew and unmaps it when freed. A fresh page costs the kernel more than a light layer's
    arithmetic on it: 16.8 MB took 7.5 ms to map and fill, 0.5 to 1.1 ms to fill when it was there already. While this
    is on, blocks of all sizes come from the heap and stay there; `Headroom` sees to it that holes never make the
    process larger than planned. Elsewhere than on Linux with glibc this does nothing.
    """
    libc = _glibc()
    if libc is None:
        yield
        return
    libc.malloc_trim(0)
    libc.mallopt(_M_MMAP_MAX, 0)
    libc.mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)
    try:
        yield
    finally:
        libc.mallopt(_M_MMAP_MAX, _DEFAULT_MMAP_MAX)
        libc.mallopt(_M_MMAP_THRESHOLD, _LARGE)
        libc.mallopt(_M_TRIM_THRESHOLD, _LARGE)
        libc.malloc_trim(0)


def share_one_heap() -> None:
    """Let all threads allocate from one heap, so that what one gives up another can take: for commands, which own
    their process, and before any thread is started. Elsewhere than on Linux with glibc this does nothing."""
    if (libc := _glibc()) is not None:
        libc.mallopt(_M_ARENA_MAX, 1)


class Headroom:
    """Keeps the process within `count` bytes more than it holds now, as long as what it truly uses is within that:
    where the next block could exceed it, the holes between blocks are given back first.

    Files that the user maps are not counted; their pages are the kernel's to take back. `others` tells how many bytes
    other threads may still take of these.
    """

    def __init__(self, count: int, others: Callable[[], int] = lambda: 0):
        self._libc = _glibc()
        self._others = others
        self._page = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096
        self._limit = (self._anonymous() if self._libc else 0) + count - _UNSEEN
        self._most = self._limit
        self.trims = 0

    def make(self, count: int) -> None:
        """Be ready for `count` bytes more."""
        if self._libc is None or count < _LARGE:
            return
        # Looking costs more than a light operator, so it waits until all that was asked for since could be too much.
        self._most += count
        if self._most > self._limit:
            self._look(count)
        if self._most > self._limit:
            self.trims += 1
            self._libc.malloc_trim(0)
            self._look(count)

    def _look(self, count: int) -> None:
        self._most = self._anonymous() + self._others() + count

    def _anonymous(self) -> int:
        with open("/proc/self/statm", "rb") as statm:
            resident, shared = statm.read().split()[1:3]
        return (int(resident) - int(shared)) * self._page
