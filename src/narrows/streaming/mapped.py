"""Weights that lie in a file mapped into memory, as safetensors gives them.

Their pages come when they are read, and may go once they are packed, for the file brings them back.
"""

from __future__ import annotations

import ctypes
import mmap
import sys
from bisect import bisect_right
from collections.abc import Iterable
from pathlib import Path

import torch

from narrows.rowgraph.graph import RowGraph

__all__ = ["MappedWeights"]

_MADV_DONTNEED = 4  # Linux


class MappedWeights:
    """The constants of a graph that lie in files mapped by this process and were never changed in memory.

    Those that operators pack are let go of, now and each time that one has been packed; the others are read once, so
    that what the process holds is known before it is planned with.
    """

    def __init__(self, graph: RowGraph):
        self._files = _mapped_files()
        # Whether pages were written to is dear to ask: the kernel walks every page of the process.
        if any(self._holds(tensor) for tensor in graph.constants.values()):
            self._files = _unchanged_files()
        else:
            self._files = []
        packed = _packed(graph) if self._files else set()
        self._packed = {index: graph.constants[index] for index in packed}
        for index, tensor in graph.constants.items():
            if index not in packed and tensor.nbytes and self._holds(tensor):
                tensor.flatten().view(torch.uint8)[:: mmap.PAGESIZE].max()
        self.let_go(packed)

    def let_go(self, constants: Iterable[int]) -> None:
        """Give up the pages of these constants (indices of nodes), as far as they lie in such a file."""
        for index in constants:
            tensor = self._packed.get(index)
            if tensor is None or not self._holds(tensor):
                continue
            first = tensor.data_ptr() // mmap.PAGESIZE * mmap.PAGESIZE
            count = tensor.data_ptr() + tensor.nbytes - first
            ctypes.CDLL(None).madvise(ctypes.c_void_p(first), ctypes.c_size_t(count), _MADV_DONTNEED)

    def _holds(self, tensor: torch.Tensor) -> bool:
        if tensor.device.type != "cpu" or not tensor.is_contiguous():
            return False
        start = tensor.data_ptr()
        place = bisect_right(self._files, (start, sys.maxsize)) - 1
        return place >= 0 and start + tensor.nbytes <= self._files[place][1]


def _packed(graph: RowGraph) -> set[int]:
    """Constants that are read by nothing but operators that keep a packed copy, or on the way to one."""
    nodes = graph.nodes
    kept = set(graph.outputs)
    packed: set[int] = set()
    for node in reversed(nodes):
        if node.rows is not None and not node.prepared_bytes:
            kept.update(node.inputs)
        elif node.rows is not None or node.index in packed:
            packed.update(node.inputs)
        if node.rows is None and node.index in kept:
            kept.update(node.inputs)
    return {index for index in graph.constants if index in packed and index not in kept}


def _mapped_files() -> list[tuple[int, int]]:
    """Address ranges of private, writable file mappings, in order."""
    found = (_mapping(line) for line in _lines_about_this_process("maps"))
    return sorted(span for span in found if span is not None)


def _unchanged_files() -> list[tuple[int, int]]:
    """Those of them none of whose pages was written to."""
    found: list[tuple[int, int]] = []
    current: tuple[int, int] | None = None
    for line in _lines_about_this_process("smaps"):
        first, _, rest = line.partition(" ")
        if not first.endswith(":"):
            current = _mapping(line)
        elif current is not None and first == "Anonymous:":
            if rest.split()[0] == "0":
                found.append(current)
            current = None
    return sorted(found)


def _mapping(line: str) -> tuple[int, int] | None:
    """The addresses that a line of `maps` tells of, where they may hold weights.

    Code and libraries are none of these: their mappings can be executed or are not writable.
    """
    addresses, _, rest = line.partition(" ")
    parts = rest.split(maxsplit=4)
    if parts[0] != "rw-p" or len(parts) < 5 or not parts[4].startswith("/"):
        return None
    start, stop = (int(part, 16) for part in addresses.split("-"))
    return (start, stop)


def _lines_about_this_process(name: str) -> list[str]:
    if not sys.platform.startswith("linux"):
        return []
    try:
        return Path("/proc/self", name).read_text().splitlines()
    except OSError:
        return []
