"""Line buffers, which keep rows between strips, and writing rows into tensors."""

from __future__ import annotations

import ctypes

import torch

from narrows.rowgraph.cutting import cut
from narrows.rowgraph.graph import Node
from narrows.rowgraph.rows import Axis

__all__ = ["LineBuffer", "empty_rows", "paste"]


def paste(target: torch.Tensor, axis: Axis, start: int, rows: torch.Tensor) -> None:
    """Write `rows` into `target` from its row `start` on."""
    if axis.outer == 1:
        target.narrow(axis.dim, start, rows.shape[axis.dim]).copy_(rows)
        return
    count = rows.shape[axis.dim] // axis.outer
    split = target.unflatten(axis.dim, (axis.outer, target.shape[axis.dim] // axis.outer))
    split.narrow(axis.dim + 1, start, count).copy_(rows.unflatten(axis.dim, (axis.outer, count)))


def empty_rows(node: Node, rows: int, device: torch.device) -> torch.Tensor:
    """An uninitialised tensor for `rows` rows of a node's value, rows lying together and columns beside channels.

    For images of (1, channels, rows, columns) that is PyTorch's `channels_last`, in which any span of rows is itself
    dense.
    """
    axis = node.rows
    assert axis is not None
    shape = list(node.shape)
    shape[axis.dim] = axis.outer * rows
    dtype = getattr(torch, node.dtype)
    if len(shape) == 4 and axis.dim == 2:
        return torch.empty(shape, dtype=dtype, device=device, memory_format=torch.channels_last)
    if axis.outer > 1:
        return torch.empty(shape, dtype=dtype, device=device)
    order = [axis.dim, *(d for d in range(len(shape)) if d != axis.dim)]
    back = [order.index(d) for d in range(len(shape))]
    return torch.empty([shape[d] for d in order], dtype=dtype, device=device).permute(back)


class LineBuffer:
    """The last rows of one value: rows go in at the bottom, and the oldest are forgotten when room is needed.

    Rows lie in one piece of memory in order, so that a window over them is a view. When the end is reached the rows
    still needed move to the front.
    """

    def __init__(self, node: Node, capacity: int, device: torch.device):
        assert node.rows is not None
        self.axis = node.rows
        self.capacity = capacity
        self.memory = empty_rows(node, capacity, device)
        self.origin = 0
        self.stop = 0

    def append(self, rows: torch.Tensor, keep_from: int) -> None:
        """Add rows below the others; rows before `keep_from` may be forgotten."""
        count = rows.shape[self.axis.dim] // self.axis.outer
        if self.stop + count - self.origin > self.capacity:
            self._move_up(min(keep_from, self.stop))
        paste(self.memory, self.axis, self.stop - self.origin, rows)
        self.stop += count

    def start_at(self, row: int) -> None:
        """Hold nothing, and take row `row` next."""
        self.origin = self.stop = row

    def move_back(self, rows: int) -> None:
        """Call row r + rows row r from now on."""
        self.origin -= rows
        self.stop -= rows

    def window(self, start: int, stop: int) -> torch.Tensor:
        """Rows [start, stop), a view."""
        return cut(self.memory, self.axis, start - self.origin, stop - self.origin)

    def _move_up(self, keep_from: int) -> None:
        shift, kept = keep_from - self.origin, self.stop - keep_from
        if shift > 0 and kept > 0:
            step = self.memory.stride(self.axis.dim) * self.memory.element_size()
            lies_by_rows = self.axis.outer == 1 and step * self.capacity == self.memory.nbytes
            if lies_by_rows and self.memory.device.type == "cpu":
                base = self.memory.data_ptr()
                ctypes.memmove(base, base + shift * step, kept * step)
            else:
                for row in range(0, kept, shift):
                    count = min(shift, kept - row)
                    moved = cut(self.memory, self.axis, row + shift, row + shift + count)
                    paste(self.memory, self.axis, row, moved)
        self.origin = keep_from
