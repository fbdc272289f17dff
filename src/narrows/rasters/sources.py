"""Any raster as a source of rows, and any rows as a GeoTIFF: what `narrows run` reads and writes."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import DTypeLike, NDArray
from rasterio.crs import CRS

from narrows.errors import InputError
from narrows.rasters.images import RasterImage
from narrows.rasters.integrity import check_whole
from narrows.rasters.staged_sink import StagedSink
from narrows.rasters.staging import check_output_path, check_room, temporary_path
from narrows.rasters.tiles import TileWriter

__all__ = ["RasterSink", "RasterSource", "scaled_transform"]


class RasterSource:
    """The bands of a raster file as rows, as stored: no scaling. A row source and a context manager.

    `bands` picks bands by number (from 1); all of them, in order, if None. They must have one dtype, unless `dtype` is
    given, to which they are then cast.

    Raises:
        InputError: the file can't be read, or its bands differ in dtype.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, bands: Sequence[int] | None = None, dtype: DTypeLike | None = None
    ):
        text = os.fspath(path)
        if not text.startswith("/vsi") and "://" not in text and ":" not in text and not os.path.exists(text):
            raise InputError(f"{text}: there is no such file")
        self._image = RasterImage(text)
        self._bands = list(bands) if bands is not None else list(range(1, self._image.count + 1))
        try:
            self._check_bands()
        except InputError:
            self.close()
            raise
        dtypes = {self._image.dtype(band) for band in self._bands}
        if dtype is None and len(dtypes) > 1:
            self.close()
            raise InputError(
                f"{text}: its bands hold different kinds of numbers ({', '.join(map(str, sorted(dtypes)))})"
            )
        self._dtype = np.dtype(dtype) if dtype is not None else dtypes.pop()

    def _check_bands(self) -> None:
        for band in self._bands:
            if not 1 <= band <= self._image.count:
                raise InputError(f"{self._image.name}: there is no band {band}; it has {self._image.count}")

    @property
    def name(self) -> str:
        return self._image.name

    @property
    def shape(self) -> tuple[int, int, int]:
        """(bands, height, width)."""
        return len(self._bands), self._image.height, self._image.width

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._dtype

    @property
    def crs(self) -> CRS | None:
        return self._image.crs

    @property
    def transform(self) -> Affine | None:
        """None where the file has no georeference."""
        return self._image.transform

    @property
    def nodata(self) -> float | None:
        return self._image.nodata[self._bands[0] - 1]

    @property
    def cache_bytes(self) -> int:
        """The GDAL cache in bytes with which reading by rows decodes no block twice."""
        return self._image.row_cache_bytes(self._bands, (0, self._image.width))

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Rows [start, stop) as (bands, n, width) of `dtype`."""
        rows = self._image.read(self._bands, (start, stop), (0, self._image.width))
        return rows.astype(self._dtype, copy=False)

    def close(self) -> None:
        self._image.close()

    def __enter__(self) -> RasterSource:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class RasterSink(StagedSink):
    """Writes rows to a tiled, compressed GeoTIFF. A row sink and a context manager.

    The file appears at `path` when the block ends well; after any exception nothing is left. For a Cloud Optimized
    GeoTIFF with overviews use `CogSink`. `transform` is that of the output's own grid (see `scaled_transform`).

    Raises:
        OutputError: as `CogSink`.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        width: int,
        height: int,
        count: int,
        dtype: DTypeLike,
        crs: CRS | None = None,
        transform: Affine | None = None,
        nodata: float | None = None,
        tags: Mapping[str, str] | None = None,
        descriptions: Sequence[str] | None = None,
        overwrite: bool = False,
    ):
        path = Path(path)
        check_output_path(path, overwrite=overwrite)
        kind, size = np.dtype(dtype).kind, np.dtype(dtype).itemsize
        check_room(path, width * height * count * size)
        staged = temporary_path(path, "tiles")
        profile = {
            "crs": crs,
            "transform": transform,
            "nodata": nodata,
            "compress": "deflate",
            "zlevel": 1 if kind == "f" else 6,
            "predictor": 3 if kind == "f" else 2 if size > 1 else 1,
            "interleave": "band",
        }
        # Many channels make for thin rows of tiles, so that one row of them stays a few megabytes.
        block = 256 if count * width * size * 512 > 64 * 2**20 else 512
        writer = TileWriter(
            staged, str(path), width=width, height=height, count=count, dtype=dtype, profile=profile, block=block
        )
        super().__init__(path, writer, staged)
        writer.label(tags or {}, descriptions or (), {})

    def _finish(self) -> Path:
        (staged,) = self._staged
        check_whole(staged, str(self.path))
        return staged


def scaled_transform(transform: Affine | None, size: tuple[int, int], output: tuple[int, int]) -> Affine | None:
    """The transform of an output of `output` (height, width) that covers what an image of `size` covers."""
    if transform is None:
        return None
    return transform @ Affine.scale(size[1] / output[1], size[0] / output[0])
