"""Pixels that can be read by windows: a raster file, or an array."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.enums import MaskFlags
from rasterio.windows import Window

from narrows.errors import InputError
from narrows.rasters.gdal import GDAL_ERRORS, open_raster, read_failure

__all__ = ["Files", "Image", "RasterImage"]

# What GDAL keeps for each cached block besides its pixels.
_BLOCK_OVERHEAD = 256


class Image(Protocol):
    """One or more bands on one grid. `transform` is None where the file has no georeference.

    `by_pixel` says that all bands are stored together, so that reading one decodes all; `block_height` how many rows
    the file's blocks have.
    """

    name: str
    count: int
    height: int
    width: int
    crs: CRS | None
    transform: Affine | None
    by_pixel: bool
    block_height: int

    def dtype(self, index: int) -> np.dtype[Any]: ...

    def read(self, indexes: Sequence[int], rows: tuple[int, int], columns: tuple[int, int]) -> NDArray[Any]:
        """Bands `indexes` (from 1) over [start, stop) rows and columns, as (bands, rows, columns)."""
        ...

    def masked(self, rows: tuple[int, int], columns: tuple[int, int]) -> NDArray[np.bool_] | None:
        """Where the image's own mask or alpha says that nothing was seen, (rows, columns); None if it has neither."""
        ...

    def row_cache_bytes(self, indexes: Sequence[int], columns: tuple[int, int]) -> int:
        """Bytes of cache with which reading those bands and columns row by row decodes nothing twice."""
        ...

    def close(self) -> None: ...


class RasterImage:
    """A raster file (or one inside an archive or behind a URL), read by windows through GDAL."""

    def __init__(self, path: str, name: str | None = None):
        self._dataset = open_raster(path)
        dataset = self._dataset
        self.path = path
        self.name = name or path
        self.count: int = dataset.count
        self.height: int = dataset.height
        self.width: int = dataset.width
        self.crs: CRS | None = dataset.crs
        self.transform: Affine | None = None if dataset.transform == Affine.identity() else dataset.transform
        interleaving = dataset.interleaving
        self.by_pixel = dataset.count > 1 and interleaving is not None and interleaving.name == "pixel"
        self.block_height: int = dataset.block_shapes[0][0] if dataset.count else 1
        self.scales: tuple[float, ...] = dataset.scales
        self.offsets: tuple[float, ...] = dataset.offsets
        self.nodata: tuple[float | None, ...] = dataset.nodatavals
        self.descriptions: tuple[str | None, ...] = dataset.descriptions
        self.colours: tuple[str, ...] = tuple(colour.name for colour in dataset.colorinterp)
        self._has_mask = MaskFlags.per_dataset in dataset.mask_flag_enums[0]
        # GDAL takes an alpha band for a mask only in files of two or four bands.
        self._alpha = self.colours.index("alpha") + 1 if "alpha" in self.colours else None
        if not self.height or not self.width:
            self.close()
            raise InputError(f"{self.name}: the raster is empty ({self.height} x {self.width} pixels)")

    def dtype(self, index: int) -> np.dtype[Any]:
        return np.dtype(self._dataset.dtypes[index - 1])

    def tags(self, index: int = 0, namespace: str | None = None) -> dict[str, str]:
        """The file's tags, or those of band `index`."""
        return self._dataset.tags(index, ns=namespace) if namespace else self._dataset.tags(index)

    def read(self, indexes: Sequence[int], rows: tuple[int, int], columns: tuple[int, int]) -> NDArray[Any]:
        window = Window(columns[0], rows[0], columns[1] - columns[0], rows[1] - rows[0])
        try:
            return self._dataset.read(list(indexes), window=window)
        except GDAL_ERRORS as error:
            raise read_failure(self.name, rows, error) from error

    def masked(self, rows: tuple[int, int], columns: tuple[int, int]) -> NDArray[np.bool_] | None:
        if self._alpha is not None:
            return self.read([self._alpha], rows, columns)[0] == 0
        if not self._has_mask:
            return None
        window = Window(columns[0], rows[0], columns[1] - columns[0], rows[1] - rows[0])
        try:
            return self._dataset.read_masks(1, window=window) == 0
        except GDAL_ERRORS as error:
            raise read_failure(self.name, rows, error) from error

    def row_cache_bytes(self, indexes: Sequence[int], columns: tuple[int, int]) -> int:
        dataset = self._dataset
        bands = range(dataset.count) if self.by_pixel else [index - 1 for index in indexes]
        total = 0
        for band in bands:
            block_height, block_width = dataset.block_shapes[band]
            across = math.ceil(columns[1] / block_width) - columns[0] // block_width
            pixels = block_height * block_width * np.dtype(dataset.dtypes[band]).itemsize
            total += across * (pixels + _BLOCK_OVERHEAD)
        return total

    def close(self) -> None:
        self._dataset.close()


class Files:
    """Opens each file of a scene once, and closes all of them."""

    def __init__(self) -> None:
        self._images: dict[str, RasterImage] = {}

    def open(self, path: str, name: str | None = None) -> RasterImage:
        """The image at `path`, called `name` in messages."""
        if path not in self._images:
            self._images[path] = RasterImage(path, name)
        return self._images[path]

    def close(self) -> None:
        for image in self._images.values():
            image.close()
        self._images.clear()
