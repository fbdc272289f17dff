"""Images that come one after another, row by row: a file, a folder of files, a video, raw lines from a camera's driver.

Each source has a `shape` (channels, rows or None, columns), a NumPy `dtype`, and `frames()`, which gives for each image
its name and its rows, (channels, 1, columns) each, from the top. The rows of one image are taken before the next.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from queue import Queue
from time import perf_counter
from typing import Any, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

from narrows.errors import InputError
from narrows.rasters.gdal import one_line
from narrows.rasters.sources import RasterSource

__all__ = ["Frame", "FrameSource", "ImageFrames", "RawLines", "VideoFrames", "open_frames"]

Frame = tuple[str, Iterator[NDArray[Any]]]
IMAGES = (".png", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp", ".jp2", ".webp", ".pgm", ".ppm", ".pnm")
VIDEOS = (".mp4", ".mkv", ".avi", ".mov", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv", ".ogv", ".gif")
_BLOCK = 64
# Lines that a driver may be ahead of the network before it has to wait.
_AHEAD = 64


class FrameSource(Protocol):
    """Images one after another; `arrived` tells when the row that was given last had come, in `perf_counter` seconds,
    or None where rows don't come but are fetched."""

    @property
    def shape(self) -> tuple[int, int | None, int]: ...

    @property
    def dtype(self) -> np.dtype[Any]: ...

    @property
    def arrived(self) -> float | None: ...

    def frames(self) -> Iterator[Frame]: ...


class Unbuffered(Protocol):
    """A stream of bytes: `readinto` fills a part of the buffer and says how much, 0 at the end."""

    def readinto(self, buffer: memoryview, /) -> int | None: ...


class _Fetched:
    @property
    def arrived(self) -> float | None:
        return None


class ImageFrames(_Fetched):
    """Image files of one size, each a frame, as they are stored: no scaling.

    Raises:
        InputError: one can't be read, or has another size, number of bands or kind of numbers than the first.
    """

    def __init__(self, paths: list[Path]):
        self.paths = paths
        for place, path in enumerate(paths):
            with closing(RasterSource(path)) as source:
                found = source.shape, source.dtype
            if not place:
                first = found
            elif found != first:
                raise InputError(f"{path}: {_called(*found)}, but {paths[0].name} {_called(*first)}")
        (self.shape, self.dtype) = first

    def frames(self) -> Iterator[Frame]:
        for path in self.paths:
            with closing(RasterSource(path)) as source:
                if (source.shape, source.dtype) != (self.shape, self.dtype):
                    raise InputError(f"{path}: the file has changed since it was opened first")
                yield path.stem, self._rows(source)

    def _rows(self, source: RasterSource) -> Iterator[NDArray[Any]]:
        height = source.shape[1]
        for top in range(0, height, _BLOCK):
            block = source.read(top, min(top + _BLOCK, height))
            for row in range(block.shape[1]):
                yield block[:, row : row + 1]


class VideoFrames(_Fetched):
    """The frames of a video, as RGB or, for `channels` 1, grey; 8 bits.

    Raises:
        InputError: it can't be read, or has no frames; PyAV isn't there.
    """

    dtype: np.dtype[Any] = np.dtype(np.uint8)

    def __init__(self, path: Path, channels: int = 3):
        if channels not in (1, 3):
            raise InputError(f"{path}: a video has 3 channels, or 1 as grey; the network takes {channels}")
        try:
            import av
        except ImportError:
            raise InputError("reading a video needs PyAV: pip install 'narrows[video]'") from None
        self._av = av
        self.path = path
        first = next(self._decoded(), None)
        if first is None:
            raise InputError(f"{path}: the video has no frames")
        self.shape = (channels, first.height, first.width)

    def frames(self) -> Iterator[Frame]:
        channels, height, width = self.shape
        for number, frame in enumerate(self._decoded(), start=1):
            if (frame.height, frame.width) != (height, width):
                raise InputError(
                    f"{self.path}: frame {number} is {frame.height} x {frame.width}, the first one {height} x {width}"
                )
            pixels = frame.to_ndarray(format="gray" if channels == 1 else "rgb24").reshape(height, width, channels)
            yield f"frame_{number:06}", (row.T[:, None] for row in pixels)

    def _decoded(self) -> Iterator[Any]:
        try:
            with self._av.open(str(self.path)) as container:
                if not container.streams.video:
                    raise InputError(f"{self.path}: there is no video in the file")
                yield from container.decode(video=0)
        except self._av.EOFError:  # a header, and nothing after it
            return
        except self._av.FFmpegError as error:
            raise InputError(f"{self.path}: can't be read as a video: {one_line(error)}") from error


class RawLines:
    """Lines as a line-scan camera's driver pipes them: numbers in this machine's byte order, no header.

    Args:
        stream: where they come from, unbuffered; read on a thread of its own, so that it is known when each one came.
        width: pixels of a line.
        channels: of each. Values stand pixel by pixel, or with `planar` channel by channel.
        dtype: uint8, uint16 or float32.
        rows: lines of an image; None if all that come are one.
        name: of the stream, for messages.

    Attributes:
        most_waiting: the most lines that stood between the driver and the network.

    Raises:
        InputError: a size is 0, or the dtype another one; while reading, the stream ends within a line or an image.
    """

    def __init__(
        self,
        stream: Unbuffered,
        width: int,
        channels: int,
        dtype: DTypeLike = "uint8",
        rows: int | None = None,
        *,
        planar: bool = False,
        name: str = "standard input",
    ):
        if min(width, channels, 1 if rows is None else rows) < 1:
            raise InputError(f"a line has at least one column and channel, and an image one row: {width} x {channels}")
        self.dtype = np.dtype(dtype)
        if self.dtype.name not in ("uint8", "uint16", "float32"):
            raise InputError(f"lines hold uint8, uint16 or float32, not {self.dtype.name}")
        self.shape: tuple[int, int | None, int] = (channels, rows, width)
        self.most_waiting = 0
        self._stream, self._planar, self._name = stream, planar, name
        self._bytes = width * channels * self.dtype.itemsize
        self._came: Queue[tuple[float, bytes] | BaseException | None] = Queue(_AHEAD)
        self._thread = threading.Thread(target=self._read, name="narrows-lines", daemon=True)
        self._arrived: float | None = None
        self._ended = False
        self._lines = 0

    @property
    def arrived(self) -> float | None:
        return self._arrived

    def frames(self) -> Iterator[Frame]:
        self._thread.start()
        rows = self.shape[1]
        number = 0
        while (first := self._next()) is not None:
            number += 1
            yield f"frame_{number:06}", self._rows(first, rows, number)
        if not number:
            raise InputError(f"{self._name}: no lines came")

    def _rows(self, line: NDArray[Any] | None, rows: int | None, number: int) -> Iterator[NDArray[Any]]:
        taken = 0
        while line is not None:
            taken += 1
            yield line
            if taken == rows:
                return
            line = self._next()
        if rows is not None:
            raise InputError(f"{self._name} ended after {taken} of {rows} lines of image {number}")

    def _next(self) -> NDArray[Any] | None:
        if self._ended:
            return None
        self.most_waiting = max(self.most_waiting, self._came.qsize())
        came = self._came.get()
        if came is None:
            self._ended = True
            return None
        if isinstance(came, BaseException):
            raise came
        self._arrived, line = came
        channels, _, width = self.shape
        values = np.frombuffer(line, self.dtype)
        if self._planar:
            return values.reshape(channels, 1, width)
        return values.reshape(width, channels).T[:, None]

    def _read(self) -> None:
        try:
            while line := self._line():
                if len(line) < self._bytes:
                    raise InputError(
                        f"{self._name} ended in the middle of line {self._lines + 1}: "
                        f"{len(line)} of its {self._bytes} bytes came"
                    )
                self._lines += 1
                self._came.put((perf_counter(), line))
            self._came.put(None)
        except BaseException as error:
            self._came.put(error)

    def _line(self) -> bytes:
        """The next line, shorter where the stream ends within it; a pipe gives it in pieces."""
        line = bytearray(self._bytes)
        rest = memoryview(line)
        while rest and (count := self._stream.readinto(rest)):
            rest = rest[count:]
        return bytes(line[: self._bytes - len(rest)])


def open_frames(path: str | os.PathLike[str], channels: int | None = None) -> FrameSource:
    """The frames of an image file, a folder of them (in the order of their names, numbers by value) or a video.

    `channels` are those that the network takes; a video is given as grey for 1.

    Raises:
        InputError: there is no such file, it is neither, or the folder holds no images.
    """
    place = Path(path)
    if place.is_dir():
        found = sorted((each for each in place.iterdir() if each.suffix.lower() in IMAGES), key=_in_order)
        if not found:
            raise InputError(f"{place}: the folder holds no images ({', '.join(IMAGES)})")
        return ImageFrames(found)
    if not place.exists():
        raise InputError(f"{place}: there is no such file")
    if place.suffix.lower() in VIDEOS:
        return VideoFrames(place, 3 if channels is None else channels)
    return ImageFrames([place])


def _in_order(path: Path) -> list[tuple[int, str]]:
    parts = re.split(r"(\d+)", path.name)
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]


def _called(shape: tuple[int, int, int], dtype: np.dtype[Any]) -> str:
    channels, height, width = shape
    return f"is {height} x {width} of {channels} {'band' if channels == 1 else 'bands'}, {dtype.name}"
