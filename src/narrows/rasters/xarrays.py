"""xarray arrays as scenes: rioxarray's conventions, and never scaled twice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS

from narrows.errors import InputError
from narrows.rasters.absent import with_shortwave
from narrows.rasters.geotiff import BandOption, settle_scaling
from narrows.rasters.naming import BandOrder, order_from_names, order_from_option
from narrows.rasters.product import Layer, Product
from narrows.rasters.scaling import Overrides, Scaling, describe
from narrows.rasters.sensors import BANDS, UNKNOWN_SENSOR, Sensor

__all__ = ["ArrayImage", "read_xarray"]

_ROWS = ("y", "lat", "latitude", "northing")
_COLUMNS = ("x", "lon", "longitude", "easting")


class ArrayImage:
    """One band of an xarray object, computed by windows; a dask-backed one by whole rows of its chunks."""

    count = 1
    by_pixel = False
    block_height = 1

    def __init__(self, array: xr.DataArray, name: str):
        self.name = name
        rows = next((dim for dim in array.dims if str(dim).lower() in _ROWS), None)
        columns = next((dim for dim in array.dims if str(dim).lower() in _COLUMNS), None)
        if rows is None or columns is None or array.ndim != 2:
            raise InputError(
                f"{name}: has dimensions {', '.join(map(str, array.dims))}; rows (y) and columns (x) are wanted"
            )
        self._array = array.transpose(rows, columns)
        self.height, self.width = self._array.shape
        if not self.height or not self.width:
            raise InputError(f"{name}: the array is empty ({self.height} x {self.width} pixels)")
        self.crs, self.transform = _georeference(self._array, str(rows), str(columns))
        self._kept: tuple[tuple[int, int], tuple[int, int], NDArray[Any]] | None = None

    def dtype(self, index: int) -> np.dtype[Any]:
        return self._array.dtype

    def read(self, indexes: Sequence[int], rows: tuple[int, int], columns: tuple[int, int]) -> NDArray[Any]:
        if self._array.chunks is None:
            return self._array[rows[0] : rows[1], columns[0] : columns[1]].values[None]
        chunks = np.concatenate([[0], np.cumsum(self._array.chunks[0])])
        first = int(chunks[np.searchsorted(chunks, rows[0], side="right") - 1])
        last = int(chunks[np.searchsorted(chunks, rows[1], side="left")])
        kept = self._kept
        if kept is None or kept[1] != columns or first < kept[0][0] or last > kept[0][1]:
            kept = self._kept = ((first, last), columns, self._array[first:last, columns[0] : columns[1]].values)
        (top, _), _, values = kept
        return values[None, rows[0] - top : rows[1] - top]

    def masked(self, rows: tuple[int, int], columns: tuple[int, int]) -> NDArray[np.bool_] | None:
        return None

    def row_cache_bytes(self, indexes: Sequence[int], columns: tuple[int, int]) -> int:
        if self._array.chunks is None:
            return 0
        return 2 * max(self._array.chunks[0]) * (columns[1] - columns[0]) * self._array.dtype.itemsize

    def close(self) -> None:
        self._kept = None


def read_xarray(
    data: xr.DataArray | xr.Dataset, sensor: Sensor | None, bands: BandOption | None, overrides: Overrides
) -> Product:
    """The six bands, or four, of an array with a band dimension, or of a dataset with a variable for each (or a band
    dimension).

    A scale that stands in `attrs` is still to be applied; one in `encoding` was applied when the file was decoded. Fill
    values count wherever they stand.

    Raises:
        InputError: bands are missing, or their order or scaling isn't known.
    """
    name = str(getattr(data, "name", None) or "the array")
    arrays, names = _bands(data, name)
    if bands is not None:
        order = order_from_option(bands, len(arrays), name)
    else:
        found = order_from_names(names, sensor, name)
        if found is None and sensor is not None and len(arrays) == len(sensor.order):
            indexes = {band: sensor.order.index(code) + 1 for band, code in sensor.bands.items()}
            found = BandOrder(indexes, sensor, f"the order of {sensor.title}")
        if found is None:
            raise InputError(
                f"{name}: its {len(arrays)} bands have no names, so their order isn't known; name the band "
                f"coordinate, or give bands=({', '.join(repr(band) for band in BANDS)}), without shortwave infrared "
                "the first four"
            )
        order = found
    sensor = sensor or order.sensor or UNKNOWN_SENSOR
    picked = [arrays[order.indexes[band] - 1] for band in order.bands]
    images = [ArrayImage(array, f"{name}/{band}") for array, band in zip(picked, order.bands, strict=True)]
    fills = tuple(_fills(array) for array in picked)
    attached = [(_attached(array, "scale_factor"), _attached(array, "add_offset")) for array in picked]
    stated: Scaling | None = None
    if any(pair != (None, None) for pair in attached):
        stated = Scaling(
            tuple(1.0 if scale is None else scale for scale, _ in attached),
            tuple(offset or 0.0 for _, offset in attached),
            fills,
            "scale_factor and add_offset of the array's attributes",
        )
    elif all("scale_factor" in array.encoding and array.dtype.kind == "f" for array in picked):
        stated = Scaling.uniform(1.0, 0.0, (), "scaled when it was decoded, as its encoding says", len(picked))
    pairs = [(image, 1) for image in images]
    scaling = settle_scaling(name, pairs, stated, fills, sensor, overrides)
    layers = tuple(
        Layer(image, 1, scale, offset, fill)
        for image, scale, offset, fill in zip(images, scaling.scale, scaling.offset, scaling.fills, strict=True)
    )
    listing = ", ".join(f"{band} {order.indexes[band]}" for band in order.bands)
    applied = {"sensor": sensor.title, "bands": f"{listing} ({order.where})", **describe(scaling)}
    return Product(name, sensor, with_shortwave(layers), applied, fill_gaps=sensor.name == "landsat-etm")


def _bands(data: xr.DataArray | xr.Dataset, name: str) -> tuple[list[xr.DataArray], list[str | None]]:
    if isinstance(data, xr.Dataset):
        flat = {str(key): variable for key, variable in data.data_vars.items() if variable.ndim == 2}
        if flat:
            return list(flat.values()), list(flat)
        cubes = [variable for variable in data.data_vars.values() if variable.ndim == 3]
        if len(cubes) != 1:
            raise InputError(f"{name}: the dataset has neither a variable for each band nor one with a band dimension")
        return _bands(cubes[0], name)
    if data.ndim != 3:
        raise InputError(f"{name}: has dimensions {', '.join(map(str, data.dims))}; band, y and x are wanted")
    dimension = next((dim for dim in data.dims if str(dim).lower() not in (*_ROWS, *_COLUMNS)), data.dims[0])
    arrays = [data.isel({dimension: number}) for number in range(data.sizes[dimension])]
    labels: list[str | None] = [None] * len(arrays)
    coordinate = data.coords.get(dimension)
    if coordinate is not None and coordinate.dtype.kind in "UO":
        labels = [str(value) for value in coordinate.values]
    elif isinstance(data.attrs.get("long_name"), tuple | list) and len(data.attrs["long_name"]) == len(arrays):
        labels = [str(value) for value in data.attrs["long_name"]]
    return arrays, labels


def _attached(array: xr.DataArray, key: str) -> float | None:
    value = array.attrs.get(key)
    neutral = {"scale_factor": 1.0, "add_offset": 0.0}[key]
    # rioxarray attaches the neutral pair to every array; it says nothing.
    return None if value is None or float(value) == neutral else float(value)


def _fills(array: xr.DataArray) -> tuple[float, ...]:
    values = [array.attrs.get(key) for key in ("_FillValue", "missing_value", "nodata")]
    if array.dtype.kind != "f" or "scale_factor" not in array.encoding:
        values.append(array.encoding.get("_FillValue"))
    return tuple(dict.fromkeys(float(value) for value in values if value is not None and float(value) == float(value)))


def _georeference(array: xr.DataArray, rows: str, columns: str) -> tuple[CRS | None, Affine | None]:
    import rioxarray  # noqa: F401  (registers the accessor)

    placed = array.rio.set_spatial_dims(x_dim=columns, y_dim=rows)
    crs = placed.rio.crs
    spatial = rows in array.coords and columns in array.coords
    if not spatial and "GeoTransform" not in array.coords.get("spatial_ref", xr.DataArray(0)).attrs:
        return crs, None
    if min(array.shape) < 2 and "GeoTransform" not in array.coords.get("spatial_ref", xr.DataArray(0)).attrs:
        return crs, None
    transform = placed.rio.transform()
    return crs, None if transform == Affine.identity() else transform
