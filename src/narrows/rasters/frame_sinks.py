"""Places for the lines of one image after another: files, or raw lines on a stream."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
import rasterio.shutil
from numpy.typing import DTypeLike, NDArray
from rasterio.errors import NotGeoreferencedWarning

from narrows.errors import InputError, OutputError
from narrows.rasters.gdal import GDAL_ERRORS, one_line
from narrows.rasters.sources import RasterSink
from narrows.rasters.staging import check_output_path, discard, put_in_place, temporary_path

__all__ = ["FrameFiles", "FrameSink", "PngSink", "RawFile", "RawStream"]


class FrameSink(Protocol):
    """A place for images: `frame(name)` is a context in which rows are written, and gives a row sink."""

    def frame(self, name: str) -> Any: ...


class PngSink(RasterSink):
    """Writes rows, uint8 or uint16 of 1 to 4 channels, to a PNG file, which appears when the block ends well."""

    def _finish(self) -> Path:
        staged = super()._finish()
        made = temporary_path(self.path, "png")
        self._staged = (*self._staged, made)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", NotGeoreferencedWarning)
                rasterio.shutil.copy(staged, made, driver="PNG")
        except GDAL_ERRORS as error:
            raise OutputError(f"{self.path}: can't be written as PNG: {one_line(error)}") from error
        return made


class FrameFiles:
    """Each image a file: `path` itself for the only one, or `path` / name + suffix in a folder.

    Args:
        path: of the file, whose ending is .tif, .tiff or .png; or of a folder, which is made.
        shape: (channels, rows, columns) of each image.
        dtype: of its numbers.
        suffix: of the files in a folder, which `path` then is; None if it is a file.
        overwrite: whether what is there may be replaced.

    Raises:
        OutputError: something is there already, or can't be written.
        InputError: PNG can't hold such images; while writing, a second image comes for one file.
    """

    def __init__(
        self, path: Path, shape: tuple[int, int, int], dtype: DTypeLike, *, suffix: str | None, overwrite: bool
    ):
        self.path, self.shape, self.dtype = path, shape, np.dtype(dtype)
        self._suffix, self._overwrite = suffix, overwrite
        self.count = 0
        self._png = (suffix or path.suffix).lower() == ".png"
        if self._png and (self.dtype.name not in ("uint8", "uint16") or not 1 <= shape[0] <= 4):
            raise InputError(
                f"{path}: PNG holds uint8 or uint16 of 1 to 4 channels, not {self.dtype.name} of {shape[0]}; "
                "write .tif, or give --as"
            )
        if suffix is None:
            check_output_path(path, overwrite=overwrite)
        elif path.exists() and not path.is_dir():
            raise OutputError(f"{path} is a file; name a folder")
        elif path.exists() and any(path.iterdir()) and not overwrite:
            raise OutputError(f"{path} holds files already; pass --overwrite to write among them")
        elif not path.parent.is_dir():
            raise OutputError(f"{path}: the folder {path.parent} doesn't exist; make it first")

    @contextmanager
    def frame(self, name: str) -> Iterator[RasterSink]:
        """A row sink for the next image."""
        if self._suffix is None and self.count:
            raise InputError(f"{self.path}: more than one image comes; name a folder, or raw lines")
        self.count += 1
        path = self.path
        if self._suffix is not None:
            path.mkdir(exist_ok=True)
            path = path / f"{name}{self._suffix}"
        channels, height, width = self.shape
        kind = PngSink if self._png else RasterSink
        with kind(
            path, width=width, height=height, count=channels, dtype=self.dtype, overwrite=self._overwrite
        ) as sink:  # fmt: skip
            yield sink


class RawStream:
    """Lines as numbers in this machine's byte order, without header, each handed on at once.

    Raises:
        OutputError: while writing, whoever reads the stream has closed it.
    """

    def __init__(self, stream: BinaryIO, *, planar: bool = False, name: str = "standard output"):
        self._stream, self._planar, self._name = stream, planar, name
        self.lines = 0

    @contextmanager
    def frame(self, name: str) -> Iterator[RawStream]:
        """The stream, which doesn't tell one image from the next."""
        yield self

    def write(self, start: int, rows: NDArray[Any]) -> None:
        """Take rows (channels, n, width)."""
        by_line = rows.transpose(1, 0, 2) if self._planar else rows.transpose(1, 2, 0)
        try:
            self._stream.write(np.ascontiguousarray(by_line).data)
            self._stream.flush()
        except (BrokenPipeError, ConnectionResetError) as error:
            raise OutputError(f"{self._name} was closed by its reader after {self.lines} lines") from error
        self.lines += rows.shape[1]


class RawFile:
    """A file of raw lines, beside its place until `close`.

    Raises:
        OutputError: as `check_output_path`.
    """

    def __init__(self, path: Path, *, planar: bool = False, overwrite: bool = False):
        check_output_path(path, overwrite=overwrite)
        self.path = path
        self._staged = temporary_path(path, "raw")
        self._file = open(self._staged, "wb")  # noqa: SIM115  (closed by __exit__)
        self._lines = RawStream(self._file, planar=planar, name=str(path))

    def frame(self, name: str) -> Any:
        """The file, which doesn't tell one image from the next."""
        return self._lines.frame(name)

    def __enter__(self) -> RawFile:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            self._file.close()
            if kind is None:
                put_in_place(self._staged, self.path)
        finally:
            discard(self._staged)


def to_null(descriptor: int) -> None:
    """Let what is still written to a closed pipe go nowhere, so that ending doesn't fail once more."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, descriptor)
    os.close(null)
