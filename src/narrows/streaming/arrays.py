"""Whole arrays and row sources as inputs of a network, and what the caller gets back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from narrows.errors import InputError
from narrows.streaming.memory import resident_part
from narrows.streaming.protocols import RowSource

__all__ = ["ArrayInput", "BlockInput", "Input", "SourceInput", "as_input", "as_rows"]


class Input:
    """One input of a network: its whole shape as the network takes it, and its rows as tensors."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    batched = False
    threaded = False
    resident_bytes = 0
    """Bytes that reading holds beside the blocks that it gives."""

    def caller_bytes(self) -> int:
        """Resident bytes of an array that the caller holds whole."""
        return 0

    def rows(self, start: int, stop: int, dtype: torch.dtype) -> torch.Tensor:
        """Rows [start, stop) in the network's shape and `dtype`; the whole value for inputs without rows."""
        raise TypeError("an Input is one of ArrayInput, SourceInput and BlockInput")


class ArrayInput(Input):
    """A tensor, array or memory map. One of three dimensions (C, H, W) stands for a batch of one."""

    def __init__(self, array: torch.Tensor | NDArray[Any]):
        self.array = array
        self.batched = array.ndim == 3
        self.shape = ((1,) if self.batched else ()) + tuple(array.shape)
        self.dtype = array.dtype if isinstance(array, torch.Tensor) else _torch_dtype(array.dtype)

    def caller_bytes(self) -> int:
        if isinstance(self.array, torch.Tensor):
            storage = self.array.untyped_storage()
            return resident_part(storage.data_ptr(), storage.nbytes()) if self.array.device.type == "cpu" else 0
        if isinstance(self.array, np.memmap):
            return 0
        low, high = np.lib.array_utils.byte_bounds(self.array)
        return resident_part(low, high - low)

    def rows(self, start: int, stop: int, dtype: torch.dtype) -> torch.Tensor:
        part = self.array[..., start:stop, :] if len(self.shape) >= 3 else self.array
        value = _tensor(part)
        return (value[None] if self.batched else value).to(dtype)


class SourceInput(Input):
    """A `RowSource`: (C, H, W), read on a thread of its own."""

    batched = True
    threaded = True

    def __init__(self, source: RowSource):
        self.source = source
        self.shape = (1, *source.shape)
        self.dtype = _torch_dtype(source.dtype)
        self.resident_bytes = int(getattr(source, "resident_bytes", 0))

    def rows(self, start: int, stop: int, dtype: torch.dtype) -> torch.Tensor:
        block = self.source.read(start, stop)
        expected = (self.shape[1], stop - start, self.shape[3])
        if block.shape != expected:
            raise InputError(f"a source gave rows of shape {block.shape} where {expected} was due")
        return as_rows(block, dtype)


class BlockInput(Input):
    """Blocks of rows from an iterator, cut anew as they are asked for."""

    def __init__(self, blocks: Iterable[Any], height: int):
        self._blocks = iter(blocks)
        first = next(self._blocks, None)
        if first is None:
            raise InputError("there are no blocks of rows")
        self._pending = [first]
        self._skip = 0
        self._height = height
        self._taken = 0
        self._first = tuple(first.shape)
        self._block_shape = (*first.shape[:-2], first.shape[-1])
        self.kind = type(first)
        self.batched = first.ndim == 3
        shape = (1, *first.shape) if self.batched else tuple(first.shape)
        self.shape = (*shape[:-2], height, shape[-1])
        self.dtype = first.dtype if isinstance(first, torch.Tensor) else _torch_dtype(first.dtype)

    def rows(self, start: int, stop: int, dtype: torch.dtype) -> torch.Tensor:
        parts = []
        wanted = stop - start
        while wanted:
            if not self._pending:
                block = next(self._blocks, None)
                if block is None:
                    raise InputError(f"the blocks end after {stop - wanted} rows; {self.shape[-2]} were announced")
                shape = (*block.shape[:-2], block.shape[-1])
                if shape != self._block_shape:
                    raise InputError(f"a block of rows has shape {tuple(block.shape)}; the first one was {self._first}")
                self._pending, self._skip = [block], 0
            block = self._pending[0]
            part = block[..., self._skip : self._skip + wanted, :]
            self._skip += part.shape[-2]
            wanted -= part.shape[-2]
            self._taken += part.shape[-2]
            if self._skip >= block.shape[-2]:
                self._pending = []
            tensor = _tensor(part)
            parts.append((tensor[None] if self.batched else tensor).to(dtype))
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=-2)

    def check_end(self) -> None:
        """Refuse more rows than were announced; rows that the network needs no more may stay unread.

        Raises:
            InputError: there are more.
        """
        if self._taken < self._height:
            return
        if self._pending or any(block.shape[-2] for block in self._blocks):
            raise InputError(f"more rows came than the {self._height} that were announced; the output ends there")


def as_rows(block: NDArray[Any], dtype: torch.dtype) -> torch.Tensor:
    """A (C, n, W) array as a `channels_last` tensor of (1, C, n, W).

    NumPy converts and transposes, in this thread alone: PyTorch would start a second team of threads for it.
    """
    laid = np.ascontiguousarray(np.moveaxis(block, 0, -1), dtype=_numpy_dtype(dtype))
    tensor = torch.from_numpy(laid).permute(2, 0, 1)[None]
    return tensor if tensor.dtype is dtype else tensor.to(dtype)


def as_input(source: Any) -> Input:
    """An `Input` for an array, tensor or row source.

    Raises:
        InputError: `source` is none of these.
    """
    if isinstance(source, Input):
        return source
    if isinstance(source, (torch.Tensor, np.ndarray)):
        return ArrayInput(source)
    if isinstance(source, RowSource):
        return SourceInput(source)
    raise InputError(
        f"a source is a tensor, an array or has shape, dtype and read(start, stop); not a {type(source).__name__}"
    )


def _tensor(part: torch.Tensor | NDArray[Any]) -> torch.Tensor:
    """A part of an array as a tensor of its own, in this machine's byte order."""
    if isinstance(part, torch.Tensor):
        return part
    return torch.from_numpy(np.array(part, dtype=part.dtype.newbyteorder("=")))


def _torch_dtype(dtype: Any) -> torch.dtype:
    try:
        return torch.from_numpy(np.empty(0, dtype=np.dtype(dtype).newbyteorder("="))).dtype
    except TypeError:
        raise InputError(f"PyTorch has no tensors of {dtype}") from None


def _numpy_dtype(dtype: torch.dtype) -> Any:
    return np.float32 if dtype is torch.bfloat16 else torch.empty(0, dtype=dtype).numpy().dtype
