"""A scene: six bands of reflectance on one grid, read by rows, whatever is on disk."""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS

from narrows.errors import InputError
from narrows.rasters.absent import AbsentBands
from narrows.rasters.areas import pixel_areas
from narrows.rasters.clouds import hidden
from narrows.rasters.gaps import GAP_REACH, fill_gaps
from narrows.rasters.images import Image
from narrows.rasters.product import Layer, Product
from narrows.rasters.resample import any_neighbour, double_bilinear, needed_range, repeat_nearest
from narrows.rasters.scaling import LIMITS
from narrows.rasters.sensors import BANDS, Sensor

__all__ = ["Rows", "Scene"]

_LESS_SURE = "no shortwave infrared: the map is less sure"

# Rows from which a block counts as a tile and no longer as a strip of a few lines.
_TALL_BLOCK = 32


@dataclass(frozen=True)
class Rows:
    """Rows [`start`, `stop`) of a scene.

    `reflectance`: float32 (6, n, width), finite everywhere, in the order of `BANDS`; kept within -0.2 to 1.6 (a
    saturated pixel has the largest value its product can say, a negative one stays negative), and 1 in bands that the
    scene `lacks`. `observed`: bool (n, width), false where any of the others is fill, no-data or not finite. There the
    reflectance is 0 in all bands, except in `filled` pixels, bool (n, width): gaps of ETM+ interpolated down the
    columns for the network; they are not observed either.
    """

    start: int
    stop: int
    reflectance: NDArray[np.float32]
    observed: NDArray[np.bool_]
    filled: NDArray[np.bool_]


@dataclass(frozen=True)
class _Group:
    """Layers that come from one image, with `factor` fine pixels to each of its own along both axes."""

    image: Image
    factor: int
    places: tuple[int, ...]
    layers: tuple[Layer, ...]

    @property
    def indexes(self) -> list[int]:
        return [layer.index for layer in self.layers]


class Scene:
    """Six bands of surface or top-of-atmosphere reflectance as rows. Made by `open_scene`; a context manager.

    Attributes:
        height, width: pixels.
        crs, transform: of the grid, each None where the files have none.
        bands: the names, `BANDS`.
        sensor: a `Sensor`.
        name: what to call the scene in messages.

    Reading is by windows of the files only. Reads are meant to come in ascending order (any order is right, but slow);
    `read` and `read_clouds` may each be called from a thread of its own, but no two `read` at once, and a cropped
    scene shares its files with the whole one.
    """

    bands = BANDS

    def __init__(self, product: Product, close: Callable[[], None]):
        self._product = product
        self._close = close
        _check_numbers(product)
        self._groups = _check_grids(product)
        finest = next(group.image for group in self._groups if group.factor == 1)
        self._full = (finest.height, finest.width)
        self._base_transform = finest.transform
        self.crs: CRS | None = finest.crs if finest.transform is not None else None
        self.name = product.name
        self.sensor: Sensor = product.sensor
        self._origin = (0, 0)
        self.height, self.width = self._full
        self._buffer = _RowBuffer(self._read_plain)
        self._notes: dict[str, str] = {}

    @property
    def applied(self) -> Mapping[str, str]:
        """What was applied to the numbers and where it was read, in words, for logs and tags; and as ``caution`` what
        the scene lacks."""
        caution = {"caution": _LESS_SURE} if self.lacks else {}
        return {**self._product.applied, **caution, **self._notes}

    @property
    def lacks(self) -> tuple[str, ...]:
        """The bands that the scene's sensor or files don't have, ``("swir1", "swir2")`` or none. They read as 1."""
        layers = self._product.layers
        return tuple(band for band, layer in zip(BANDS, layers, strict=True) if isinstance(layer.image, AbsentBands))

    def note(self, key: str, text: str) -> None:
        """Add a line to `applied`."""
        self._notes[key] = text

    @property
    def acquired(self) -> datetime.date | None:
        """The day of the image, by the product's metadata; None where they don't say."""
        return self._product.acquired

    @property
    def transform(self) -> Affine | None:
        if self._base_transform is None:
            return None
        return self._base_transform @ Affine.translation(self._origin[1], self._origin[0])

    @property
    def shape(self) -> tuple[int, int, int]:
        """(6, height, width)."""
        return len(BANDS), self.height, self.width

    @property
    def grid_origin(self) -> tuple[int, int]:
        """The row and column of the top-left pixel on the absolute grid: origin / pixel size, counted down and right.

        A crop and its scene agree on it. Without a georeference, or on a rotated grid, it starts at the corner.
        """
        row, column = self._origin
        place = self._base_transform
        if place is None or place.b or place.d:
            return row, column
        # A pixel grid may sit at any phase (Landsat's is at half pixels); the tolerance absorbs rounding in the file.
        return math.floor(place.f / place.e + 1e-3) + row, math.floor(place.c / place.a + 1e-3) + column

    @property
    def cache_bytes(self) -> int:
        """The GDAL cache in bytes with which reading this scene by rows decodes no block twice."""
        wanted = [(group.image, group.indexes) for group in self._groups]
        if self._product.clouds is not None:
            wanted.append((self._product.clouds.image, [1]))
        left, right = self._origin[1], self._origin[1] + self.width
        total = 0
        for image, indexes in wanted:
            factor = max(1, round(self._full[1] / image.width))
            columns = max(0, left // factor - 1), min(image.width, -(-right // factor) + 1)
            total += image.row_cache_bytes(indexes, columns if factor > 1 else (left, right))
        return total

    def read_bytes(self, rows: int) -> int:
        """The most memory that `read` takes for `rows` rows, its result of 26 bytes a pixel included, GDAL's cache not.

        Where ETM+ gaps are filled, that includes the rows kept from one strip to the next.
        """
        raw = 0.0
        for group in self._groups:
            numbers = sum(group.image.dtype(index).itemsize for index in group.indexes)
            # A coarser band passes through a few arrays of 32-bit numbers on its way to the grid.
            raw = max(raw, numbers + 2.0 if group.factor == 1 else numbers / group.factor**2 + 20.0)
        pixels = rows * self.width
        total = pixels * (4 * len(BANDS) + 3 + raw)
        if self._product.fill_gaps:
            beyond = (rows + 2 * GAP_REACH) * self.width
            total += beyond * (2 * (4 * len(BANDS) + 1) + 4 * 4 + 8 * len(BANDS))
        return int(total)

    @property
    def has_clouds(self) -> bool:
        """Whether the product has a cloud mask for `read_clouds`."""
        return self._product.clouds is not None

    def window(self, rows: tuple[int, int], columns: tuple[int, int]) -> Scene:
        """The part of the scene in rows and columns [start, stop). It shares this scene's files.

        Raises:
            InputError: the window isn't inside the scene.
        """
        if not (0 <= rows[0] < rows[1] <= self.height and 0 <= columns[0] < columns[1] <= self.width):
            raise InputError(
                f"{self.name}: rows {rows[0]} to {rows[1]} and columns {columns[0]} to {columns[1]} are not inside its "
                f"{self.height} x {self.width} pixels"
            )
        part = Scene.__new__(Scene)
        part.__dict__.update(self.__dict__)
        part._origin = (self._origin[0] + rows[0], self._origin[1] + columns[0])
        part.height, part.width = rows[1] - rows[0], columns[1] - columns[0]
        part._buffer = _RowBuffer(part._read_plain)
        return part

    def crop(self, bounds: tuple[float, float, float, float]) -> Scene:
        """The part of the scene that holds the box `bounds`: west, south, east, north in the scene's CRS, whole pixels.

        Raises:
            InputError: the scene has no georeference, or the box doesn't touch it.
        """
        transform = self.transform
        if transform is None:
            raise InputError(f"{self.name}: the scene has no georeference; cut it by rows and columns")
        west, south, east, north = bounds
        corners = [~transform @ corner for corner in ((west, north), (east, north), (west, south), (east, south))]
        left, right = min(x for x, _ in corners), max(x for x, _ in corners)
        top, bottom = min(y for _, y in corners), max(y for _, y in corners)
        rows = max(0, math.floor(top + 1e-6)), min(self.height, math.ceil(bottom - 1e-6))
        columns = max(0, math.floor(left + 1e-6)), min(self.width, math.ceil(right - 1e-6))
        if rows[0] >= rows[1] or columns[0] >= columns[1]:
            raise InputError(
                f"{self.name}: the box {', '.join(f'{value:g}' for value in bounds)} doesn't touch the scene"
            )
        return self.window(rows, columns)

    def read(self, start: int, stop: int) -> Rows:
        """Rows [start, stop) of the scene.

        Raises:
            InputError: the rows aren't in the scene, or the file can't be read there.
        """
        self._check_rows(start, stop)
        if not self._product.fill_gaps:
            reflectance, observed = self._read_plain(start, stop)
            _blank(reflectance, observed)
            return Rows(start, stop, reflectance, observed, np.zeros_like(observed))
        # Gap filling looks beyond the strip, also beyond a crop, so that a crop and its scene agree.
        top = max(-self._origin[0], start - GAP_REACH)
        bottom = min(self._full[0] - self._origin[0], stop + GAP_REACH)
        reflectance, observed = self._buffer.read(top, bottom)
        filled = fill_gaps(reflectance, observed, start - top, stop - top)
        inner = slice(start - top, stop - top)
        reflectance, observed = reflectance[:, inner].copy(), observed[inner].copy()
        _blank(reflectance, observed | filled)
        return Rows(start, stop, reflectance, observed, filled)

    def read_clouds(self, start: int, stop: int) -> NDArray[np.uint8] | None:
        """Rows [start, stop) of the product's own cloud mask, uint8 (n, width): 1 cloud, its margin or shadow, else 0.

        None where the product has none. A coarser mask is repeated on the scene's grid.
        """
        self._check_rows(start, stop)
        clouds = self._product.clouds
        if clouds is None:
            return None
        image = clouds.image
        factor = max(1, round(self._full[0] / image.height))
        rows, columns = self._in_file(start, stop)
        coarse_rows = rows[0] // factor, min(image.height, -(-rows[1] // factor))
        coarse_columns = columns[0] // factor, min(image.width, -(-columns[1] // factor))
        raw = image.read([1], coarse_rows, coarse_columns)[0]
        mask = hidden(raw, clouds.kind)
        if factor == 1:
            return mask
        return repeat_nearest(mask, rows, columns, (coarse_rows[0], coarse_columns[0]), factor)

    def pixel_areas(self, start: int, stop: int) -> NDArray[np.float64] | None:
        """Square metres of a pixel in each of the rows [start, stop), float64 (n,); None where nothing tells its size.

        See `narrows.rasters.areas.pixel_areas`.
        """
        return pixel_areas(self.crs, self.transform, self.width, start, stop, self._product.pixel_size)

    def close(self) -> None:
        """Close the scene's files."""
        self._close()

    def __enter__(self) -> Scene:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        crs = self.crs.to_string() if self.crs else "no CRS"
        return f"<Scene {self.name}: {self.height} x {self.width}, {self.sensor.title}, {crs}>"

    def _check_rows(self, start: int, stop: int) -> None:
        if not 0 <= start < stop <= self.height:
            raise InputError(f"{self.name}: rows {start} to {stop} are not inside its {self.height} rows")

    def _in_file(self, start: int, stop: int) -> tuple[tuple[int, int], tuple[int, int]]:
        row, column = self._origin
        return (start + row, stop + row), (column, column + self.width)

    def _read_plain(self, start: int, stop: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Reflectance (6, n, width) as the files have it, within `LIMITS` or NaN, and where it is observed."""
        parts = [self._read_part(*part) for part in self._within_tiles(start, stop)]
        if len(parts) == 1:
            return parts[0]
        return np.concatenate([part[0] for part in parts], axis=1), np.concatenate([part[1] for part in parts])

    def _within_tiles(self, start: int, stop: int) -> Iterator[tuple[int, int]]:
        """Rows [start, stop) cut where rows of tiles end. The cache holds one row of tiles of every band: going band by
        band over two at a time would decode each tile twice."""
        tall = max(group.image.block_height for group in self._groups if group.factor == 1)
        while start < stop:
            end = stop
            if tall >= _TALL_BLOCK:
                end = min(stop, start + tall - (start + self._origin[0]) % tall)
            yield start, end
            start = end

    def _read_part(self, start: int, stop: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        rows, columns = self._in_file(start, stop)
        shape = stop - start, self.width
        reflectance = np.empty((len(BANDS), *shape), dtype=np.float32)
        missing = np.zeros(shape, dtype=bool)
        for group in self._groups:
            if group.factor == 1:
                raw = group.image.read(group.indexes, rows, columns)
                masked = group.image.masked(rows, columns)
                if masked is not None:
                    missing |= masked
                for number, (place, layer) in enumerate(zip(group.places, group.layers, strict=True)):
                    _mark_missing(raw[number], layer.fills, missing)
                    _scale(raw[number], layer, reflectance[place])
                continue
            size = group.image.height, group.image.width
            coarse_rows = needed_range(*rows, size[0])
            coarse_columns = needed_range(*columns, size[1])
            raw = group.image.read(group.indexes, coarse_rows, coarse_columns)
            masked = group.image.masked(coarse_rows, coarse_columns)
            where = (rows, columns, (coarse_rows[0], coarse_columns[0]), size)
            for number, (place, layer) in enumerate(zip(group.places, group.layers, strict=True)):
                coarse_missing = np.zeros(raw.shape[1:], dtype=bool) if masked is None else masked.copy()
                _mark_missing(raw[number], layer.fills, coarse_missing)
                if coarse_missing.any():
                    missing |= any_neighbour(coarse_missing, *where)
                _scale(double_bilinear(raw[number], *where), layer, reflectance[place])
        np.clip(reflectance, *LIMITS, out=reflectance)
        return reflectance, ~missing


class _RowBuffer:
    """Keeps the rows last read, so that windows that overlap read only what is new."""

    def __init__(self, read: Callable[[int, int], tuple[NDArray[np.float32], NDArray[np.bool_]]]):
        self._read = read
        self._rows = (0, 0)
        self._kept: tuple[NDArray[np.float32], NDArray[np.bool_]] | None = None

    def read(self, start: int, stop: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        first, last = self._rows
        if self._kept is not None and first <= start < last <= stop:
            reflectance, observed = self._kept[0][:, start - first :], self._kept[1][start - first :]
            if last < stop:
                more = self._read(last, stop)
                reflectance = np.concatenate([reflectance, more[0]], axis=1)
                observed = np.concatenate([observed, more[1]], axis=0)
        else:
            reflectance, observed = self._read(start, stop)
        self._rows, self._kept = (start, stop), (reflectance, observed)
        return reflectance, observed


def _mark_missing(raw: NDArray[Any], fills: tuple[float, ...], missing: NDArray[np.bool_]) -> None:
    if raw.dtype.kind == "f":
        missing |= ~np.isfinite(raw)
        for fill in fills:
            # A no-data value beyond the range of the numbers is their infinity.
            with np.errstate(over="ignore"):
                missing |= raw == raw.dtype.type(fill)
        return
    limits = np.iinfo(raw.dtype)
    for fill in fills:
        if float(fill).is_integer() and limits.min <= fill <= limits.max:
            missing |= raw == int(fill)


def _scale(raw: NDArray[Any], layer: Layer, out: NDArray[np.float32]) -> None:
    with np.errstate(over="ignore", invalid="ignore"):
        np.multiply(raw, np.float32(layer.scale), out=out, dtype=np.float32, casting="unsafe")
        if layer.offset:
            out += np.float32(layer.offset)


def _blank(reflectance: NDArray[np.float32], known: NDArray[np.bool_]) -> None:
    if not known.all():
        np.copyto(reflectance, np.float32(0), where=~known)


def _check_numbers(product: Product) -> None:
    for layer in product.layers:
        dtype = layer.image.dtype(layer.index)
        if dtype.kind not in "uif":
            raise InputError(f"{layer.image.name}: holds {dtype.name} numbers; integers or floats are wanted")


def _check_grids(product: Product) -> tuple[_Group, ...]:
    """Group the layers by image, after seeing that all lie on one grid."""
    images = list(dict.fromkeys(layer.image for layer in product.layers))
    finest = max(images, key=lambda image: (image.height, image.width))
    groups = []
    for image in images:
        factor = _factor(product, finest, image)
        places = tuple(place for place, layer in enumerate(product.layers) if layer.image is image)
        # Bands stored apart are read one after another, which takes less memory.
        for together in [places] if image.by_pixel else [(place,) for place in places]:
            groups.append(_Group(image, factor, together, tuple(product.layers[place] for place in together)))
    if product.clouds is not None:
        _factor(product, finest, product.clouds.image, any_factor=True)
    return tuple(groups)


def _factor(product: Product, finest: Image, image: Image, any_factor: bool = False) -> int:
    sizes = f"{finest.name} is {finest.height} x {finest.width}, {image.name} is {image.height} x {image.width}"
    factor = max(1, round(finest.height / image.height))
    allowed = factor >= 1 if any_factor else factor in (1, 2)
    if not (allowed and image.height == -(-finest.height // factor) and image.width == -(-finest.width // factor)):
        raise InputError(f"{product.name}: the sizes of its bands don't fit together: {sizes} pixels")
    if (finest.crs is None) != (image.crs is None) or (finest.crs is not None and finest.crs != image.crs):
        names = [each.crs.to_string() if each.crs else "none" for each in (finest, image)]
        raise InputError(
            f"{product.name}: its bands are in different CRSs: {finest.name} in {names[0]}, {image.name} in {names[1]}"
        )
    if finest.transform is not None and image.transform is not None:
        wanted = finest.transform @ Affine.scale(factor)
        tolerance = 0.01 * math.sqrt(abs(finest.transform.determinant))
        corners = [(0, 0), (image.width, image.height)]
        apart = max(math.dist(wanted @ corner, image.transform @ corner) for corner in corners)
        if apart > tolerance * factor * (1 + image.width / 1000):
            raise InputError(
                f"{product.name}: its bands lie on different grids: {image.name} is {apart:.6g} units off {finest.name}"
            )
    return factor
