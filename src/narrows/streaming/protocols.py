"""What the streaming engine reads from and writes to. Nothing here knows of files or rasters."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

__all__ = ["RowSink", "RowSource"]


@runtime_checkable
class RowSource(Protocol):
    """An image that can be read by rows, from the top to the bottom, each row once.

    `shape` is (channels, height, width). `read(start, stop)` returns an array of
    (channels, stop - start, width) and `dtype`; calls come in ascending order without gaps, from one thread that need
    not be the one that made the source.
    """

    @property
    def shape(self) -> tuple[int, int, int]: ...

    @property
    def dtype(self) -> np.dtype[Any]: ...

    def read(self, start: int, stop: int) -> NDArray[Any]: ...


@runtime_checkable
class RowSink(Protocol):
    """A place for the rows of an output, from the top to the bottom, each row once.

    `write(start, rows)` takes an array of (channels, n, width) whose first row is row `start`. Calls come from one
    thread. The caller closes what it opened.
    """

    def write(self, start: int, rows: NDArray[Any]) -> None: ...
