"""What the row sinks that make a file share: written beside its place, put there when it is whole."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any, Self

from numpy.typing import NDArray

from narrows.rasters.staging import discard, put_in_place
from narrows.rasters.tiles import TileWriter

__all__ = ["StagedSink"]


class StagedSink:
    """A row sink and context manager over `writer`. Leaving the block well runs `_finish` and puts what it made at
    `path`; after any exception nothing is left of `staged`.
    """

    def __init__(self, path: Path, writer: TileWriter, *staged: Path):
        self.path = path
        self._writer = writer
        self._staged = staged

    def _finish(self) -> Path:
        """Every row is written: the staged file that shall stand at `path`."""
        raise TypeError("a StagedSink is one of CogSink and RasterSink")

    @property
    def resident_bytes(self) -> int:
        """Bytes of rows that it holds."""
        return self._writer.resident_bytes

    def write(self, start: int, rows: NDArray[Any]) -> None:
        """Take rows (count, n, width) from row `start`, in order."""
        self._writer.write(start, rows)

    def abort(self) -> None:
        """Give up: close and remove what was written. Leaving the block with an exception does the same."""
        self._writer.close(complete=False)
        discard(*self._staged)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._writer.close(complete=kind is None)
            if kind is None:
                put_in_place(self._finish(), self.path)
        finally:
            discard(*self._staged)
