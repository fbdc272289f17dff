"""Cloud Optimized GeoTIFF by rows: a tiled temporary file first, then GDAL's COG driver makes the copy."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import rasterio
import rasterio.shutil
from affine import Affine
from numpy.typing import DTypeLike
from rasterio.crs import CRS

from narrows.rasters.gdal import GDAL_ERRORS
from narrows.rasters.integrity import check_whole
from narrows.rasters.staged_sink import StagedSink
from narrows.rasters.staging import check_output_path, check_room, temporary_path
from narrows.rasters.tiles import BLOCK, TileWriter, write_failure

__all__ = ["CogSink"]

_OVERVIEWS_SHARE = 4 / 3


class CogSink(StagedSink):
    """Writes rows to a Cloud Optimized GeoTIFF with overviews. A context manager; a row sink.

    The file appears at `path` when the block ends well; after any exception, also an interrupt, nothing is left.
    In memory it holds one row of tiles (`resident_bytes`), and GDAL its cache (see `raster_environment`). The copy at
    the end takes some 40 MB more (measured at 7,741 columns and 7,591 rows; 8 MB more again at 30,000 rows).

    Args:
        path: where it goes.
        width, height, count, dtype: of the raster.
        crs, transform: its georeference, each None where there is none.
        nodata: the value of pixels without data.
        tags: of the file.
        colormap: for one band of uint8: value to (red, green, blue) or (red, green, blue, alpha).
        descriptions: one a band.
        overviews: how a pixel of an overview is made: "nearest" for classes, "average" for amounts (no-data left out),
            "mode" for the commonest class.
        overwrite: whether a file at `path` may be replaced.

    Raises:
        OutputError: when made: the file exists, its folder doesn't or can't be written to, the disk is too full; while
            writing: the disk fills up, or rows are missing at the end.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        width: int,
        height: int,
        count: int = 1,
        dtype: DTypeLike = "uint8",
        crs: CRS | None = None,
        transform: Affine | None = None,
        nodata: float | None = None,
        tags: Mapping[str, str] | None = None,
        colormap: Mapping[int, tuple[int, ...]] | None = None,
        descriptions: Sequence[str] | None = None,
        overviews: Literal["nearest", "average", "mode"] = "nearest",
        overwrite: bool = False,
    ):
        path = Path(path)
        check_output_path(path, overwrite=overwrite)
        check_room(path, self.needed_bytes(width=width, height=height, count=count, dtype=dtype))
        self._overviews = overviews
        self._predictor = {"f": "3"}.get(np.dtype(dtype).kind, "1" if np.dtype(dtype).itemsize == 1 else "2")
        self._tiles, self._copy = temporary_path(path, "tiles"), temporary_path(path, "cog")
        profile = {
            "crs": crs,
            "transform": transform,
            "nodata": nodata,
            "compress": "deflate",
            "zlevel": 1,
            "interleave": "pixel",
        }
        writer = TileWriter(
            self._tiles, str(path), width=width, height=height, count=count, dtype=dtype, profile=profile
        )
        super().__init__(path, writer, self._tiles, self._copy)
        writer.label(tags or {}, descriptions or (), colormap or {})

    @staticmethod
    def needed_bytes(*, width: int, height: int, count: int = 1, dtype: DTypeLike = "uint8") -> int:
        """Disk that writing may take at most: temporary file and copy, as if neither could be compressed."""
        return int(width * height * count * np.dtype(dtype).itemsize * (1 + _OVERVIEWS_SHARE))

    def _finish(self) -> Path:
        self._convert()
        return self._copy

    def _convert(self) -> None:
        try:
            rasterio.shutil.copy(
                self._tiles,
                self._copy,
                driver="COG",
                compress="DEFLATE",
                level=6,
                predictor=self._predictor,
                blocksize=BLOCK,
                overview_resampling=self._overviews.upper(),
                # Threads of its own would hold more tiles than the cache accounts for.
                num_threads=1,
                bigtiff="IF_SAFER",
            )
        except GDAL_ERRORS as error:
            raise write_failure(str(self.path), error) from error
        check_whole(self._copy, str(self.path))
