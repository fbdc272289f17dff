"""The memory of this process: what it holds now, and how PyTorch's allocations are made to come and go exactly."""

from __future__ import annotations

import ctypes
import os
import sys

import psutil

__all__ = ["free_memory", "resident_now", "return_freed_memory"]

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_MMAP_FROM = 1 << 20


def resident_now() -> int:
    """Resident bytes of this process, files mapped by the user included."""
    return int(psutil.Process(os.getpid()).memory_info().rss)


def free_memory() -> int:
    """Bytes that could be allocated now without swapping."""
    return int(psutil.virtual_memory().available)


def return_freed_memory() -> None:
    """Make glibc give freed tensors back at once.

    Left alone, glibc raises the size from which it maps memory directly as blocks are freed, up to 32 MiB, and keeps
    smaller ones on a heap whose holes count as resident. With a fixed threshold what is freed is gone, and the process
    holds what the ledger says. Elsewhere than on Linux with glibc this does nothing.
    """
    if not sys.platform.startswith("linux"):
        return
    try:
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(_M_MMAP_THRESHOLD, _MMAP_FROM)
        libc.mallopt(_M_TRIM_THRESHOLD, _MMAP_FROM)
        libc.malloc_trim(0)
    except (OSError, AttributeError):
        return
