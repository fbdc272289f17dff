"""Water maps on disk, read again by rows: to compare them, and to add them up."""

from __future__ import annotations

import datetime
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window

from narrows.errors import InputError
from narrows.rasters.areas import pixel_areas
from narrows.rasters.dates import as_date, date_in_name
from narrows.rasters.gdal import GDAL_ERRORS, open_raster, read_failure
from narrows.water.classes import HIDDEN, LAND, NO_DATA, WATER
from narrows.water.grids import Grid, check_grid
from narrows.water.products import ACQUIRED, PIXEL_M2

__all__ = ["WaterMap", "is_map"]

_KNOWN = np.isin(np.arange(256), (LAND, WATER, HIDDEN, NO_DATA))


def is_map(path: str | Path) -> bool:
    """Whether `path` is a raster of one band of bytes, as water maps are, and not a scene."""
    if not Path(path).is_file() or Path(path).suffix.lower() not in (".tif", ".tiff", ".vrt"):
        return False
    try:
        dataset = open_raster(str(path))
    except InputError:
        return False
    with dataset:
        return bool(dataset.count == 1 and dataset.dtypes[0] == "uint8")


class WaterMap:
    """A water map (0 land, 1 water, 254 hidden, 255 no data) as rows. A context manager.

    `on` is the grid that it is wanted on. A map on another grid is refused, or with `align` brought there: each pixel
    takes the class of the pixel of the map that its centre lies in, and 255 where the map doesn't reach. Where neither
    has a georeference, equal size proves nothing: that both show the same ground must be said, with `by_pixel`.

    Raises:
        InputError: the file can't be read, is no such map, or lies on another grid.
    """

    def __init__(
        self, path: str | Path, *, on: Grid | None = None, of: str = "", align: bool = False, by_pixel: bool = False
    ):
        self.path, self.name = Path(path), Path(path).name
        if not self.path.exists():
            raise InputError(f"{path}: there is no such file")
        self._file = open_raster(str(path))
        self._read: Any = self._file
        self.aligned = False
        try:
            self._settle(on, of, align, by_pixel)
        except BaseException:
            self.close()
            raise

    def _settle(self, on: Grid | None, of: str, align: bool, by_pixel: bool) -> None:
        if self._file.count != 1 or self._file.dtypes[0] != "uint8":
            raise InputError(f"{self.name}: is no water map: that is one band of bytes, 0, 1, 254 and 255")
        own = self._file.transform
        self.grid = Grid(self._file.height, self._file.width, self._file.crs, None if own.is_identity else own)
        self.tags: dict[str, str] = self._file.tags()
        if on is None:
            return
        try:
            check_grid(self.grid, on, self.name, of)
            if self.grid.transform is None and on.transform is not None:
                raise InputError(f"{self.name}: has no georeference, where {of} has one")
        except InputError as error:
            if not align:
                raise InputError(f"{error}, or pass --align to bring it to the grid of {of}") from error
            self._align(on, of)

        if self.grid.transform is None and not self.aligned and not by_pixel:
            raise InputError(
                f"{self.name}: neither it nor {of} says where it lies; pass --by-pixel if both show the same ground, "
                "pixel by pixel"
            )

    def _align(self, on: Grid, of: str) -> None:
        if None in (self.grid.transform, self.grid.crs, on.transform, on.crs):
            raise InputError(f"{self.name}: can't be brought to the grid of {of}: one of them has no georeference")
        self._read = WarpedVRT(
            self._file,
            crs=on.crs,
            transform=on.transform,
            height=on.height,
            width=on.width,
            resampling=rasterio.enums.Resampling.nearest,
            src_nodata=NO_DATA,
            nodata=NO_DATA,
        )
        self.grid, self.aligned = on, True

    @property
    def day(self) -> datetime.date | None:
        """The day of its scene, by its tags or else by its name."""
        return as_date(self.tags.get(ACQUIRED)) or date_in_name(self.name)

    @property
    def transform(self) -> Affine | None:
        return self.grid.transform

    @property
    def crs(self) -> CRS | None:
        return self.grid.crs

    @property
    def cache_bytes(self) -> int:
        """The GDAL cache in bytes with which reading by rows decodes no block twice."""
        block_height, _ = self._file.block_shapes[0]
        return int(block_height * (self._file.width + 512))

    def pixel_areas(self, start: int, stop: int) -> NDArray[np.float64]:
        """Square metres of a pixel in each of the rows [start, stop), float64 (n,); NaN where nothing tells."""
        stated = self.tags.get(PIXEL_M2)
        side = float(stated) ** 0.5 if stated else None
        areas = pixel_areas(self.crs, self.transform, self.grid.width, start, stop, side)
        return np.full(stop - start, np.nan) if areas is None else areas

    def read(self, start: int, stop: int) -> NDArray[np.uint8]:
        """Rows [start, stop), uint8 (n, width).

        Raises:
            InputError: they can't be read, or hold another value than the four.
        """
        try:
            rows: NDArray[np.uint8] = self._read.read(1, window=Window(0, start, self.grid.width, stop - start))
        except GDAL_ERRORS as error:
            raise read_failure(self.name, (start, stop), error) from error
        if not (known := _KNOWN[rows]).all():
            raise InputError(f"{self.name}: holds {rows[~known][0]}; a water map holds 0, 1, 254 and 255")
        return rows

    def close(self) -> None:
        if self._read is not self._file:
            self._read.close()
        self._file.close()

    def __enter__(self) -> WaterMap:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
