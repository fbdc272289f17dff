"""Rows gathered into whole rows of tiles, so that each tile is compressed and written once."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import DTypeLike, NDArray
from rasterio.errors import NotGeoreferencedWarning
from rasterio.windows import Window

from narrows.errors import OutputError
from narrows.rasters.gdal import GDAL_ERRORS, one_line

__all__ = ["BLOCK", "TileWriter"]

BLOCK = 512


class TileWriter:
    """A tiled GeoTIFF at `path`, written by rows from the top. `name` stands for it in messages.

    It keeps one row of tiles: `resident_bytes`. GDAL's cache comes on top.
    """

    def __init__(
        self,
        path: Path,
        name: str,
        *,
        width: int,
        height: int,
        count: int,
        dtype: DTypeLike,
        profile: Mapping[str, Any],
        block: int = BLOCK,
    ):
        self._name = name
        self._shape = (count, height, width)
        self._rows = np.empty((count, min(block, height), width), dtype=dtype)
        self._next = 0
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", NotGeoreferencedWarning)
                self.dataset = rasterio.open(
                    path,
                    "w",
                    driver="GTiff",
                    width=width,
                    height=height,
                    count=count,
                    dtype=np.dtype(dtype).name,
                    tiled=True,
                    blockxsize=block,
                    blockysize=block,
                    bigtiff="if_safer",
                    **profile,
                )
        except GDAL_ERRORS as error:
            raise self._failure(error) from error

    @property
    def resident_bytes(self) -> int:
        return self._rows.nbytes

    def label(
        self, tags: Mapping[str, str], descriptions: Sequence[str], colormap: Mapping[int, tuple[int, ...]]
    ) -> None:
        """Give the file tags, its bands descriptions, and the first band a colour table."""
        if tags:
            self.dataset.update_tags(**tags)
        for band, text in enumerate(descriptions, start=1):
            self.dataset.set_band_description(band, text)
        if colormap:
            self.dataset.write_colormap(1, dict(colormap))

    def write(self, start: int, rows: NDArray[Any]) -> None:
        """Take rows (count, n, width) from row `start`, which must be the next one."""
        count, height, width = self._shape
        if start != self._next or rows.shape[0] != count or rows.shape[2] != width or start + rows.shape[1] > height:
            raise ValueError(f"rows {start} on of shape {rows.shape} don't follow row {self._next} of {self._shape}")
        taken = 0
        while taken < rows.shape[1]:
            at = self._next % self._rows.shape[1]
            step = min(self._rows.shape[1] - at, rows.shape[1] - taken)
            self._rows[:, at : at + step] = rows[:, taken : taken + step]
            taken += step
            self._next += step
            if at + step == self._rows.shape[1] or self._next == height:
                self._flush(at + step)

    def _flush(self, filled: int) -> None:
        window = Window(0, self._next - filled, self._shape[2], filled)
        try:
            self.dataset.write(self._rows[:, :filled], window=window)
        except GDAL_ERRORS as error:
            raise self._failure(error) from error

    def close(self, *, complete: bool) -> None:
        """Close the file; `complete` asks for all rows to have been written."""
        try:
            self.dataset.close()
        except GDAL_ERRORS as error:
            if complete:
                raise self._failure(error) from error
        if complete and self._next != self._shape[1]:
            raise OutputError(f"{self._name}: only {self._next} of {self._shape[1]} rows were written")

    def _failure(self, error: BaseException) -> OutputError:
        return write_failure(self._name, error)


def write_failure(name: str, error: BaseException) -> OutputError:
    """The error for a file that can't be written, in most cases because the disk is full."""
    return OutputError(f"{name}: can't be written; is the disk full? {one_line(error.__cause__ or error)}")
