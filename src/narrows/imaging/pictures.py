"""A user's PNG, TIFF or JPEG, read by rows and written by rows."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import rasterio
import rasterio.shutil
from numpy.typing import NDArray
from rasterio.enums import ColorInterp
from rasterio.windows import Window

from narrows.errors import InputError, OutputError
from narrows.imaging.headers import Header, read_header
from narrows.rasters.gdal import GDAL_ERRORS, open_raster, read_failure
from narrows.rasters.integrity import check_whole
from narrows.rasters.staged_sink import StagedSink
from narrows.rasters.staging import check_output_path, check_room, temporary_path
from narrows.rasters.tiles import TileWriter, write_failure

__all__ = ["FORMATS", "Picture", "PictureSink", "format_of"]

FORMATS = {".png": "PNG", ".tif": "GTiff", ".tiff": "GTiff", ".jpg": "JPEG", ".jpeg": "JPEG"}
"""GDAL's driver for each ending that an output may have."""
_CHUNK = 2**20
"""Bytes of the six float32 planes of the rows that are read, or written, at once."""
_BLOCK = 64
"""Rows and columns of a tile of what is written: low, for a row of tiles is held."""


def format_of(path: Path) -> str:
    """The driver that writes `path`, by its ending.

    Raises:
        OutputError: for an ending that is neither PNG's nor TIFF's nor JPEG's.
    """
    if path.suffix.lower() not in FORMATS:
        raise OutputError(f"{path}: the output's ending says its format: {', '.join(FORMATS)}")
    return FORMATS[path.suffix.lower()]


class Picture:
    """An image file as rows of display values. A context manager.

    Attributes:
        path: its place.
        channels: 1 (grey) or 3 (red, green, blue), alpha not counted.
        alpha: whether it has an alpha channel.
        depth: 8 or 16, bits of a value.
        height, width: in pixels.
        header: what its first bytes say.

    Raises:
        InputError: it is no PNG, TIFF or JPEG, is damaged, holds other than 8 or 16 bits, or has more channels.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.header: Header = read_header(path)
        self._dataset = open_raster(str(path))
        try:
            self._look()
        except InputError:
            self.close()
            raise

    def _look(self) -> None:
        dataset = self._dataset
        self.height, self.width = int(dataset.height), int(dataset.width)
        kinds = set(dataset.dtypes)
        if not self.height or not self.width:
            raise InputError(f"{self.path}: the image is empty ({self.height} x {self.width} pixels)")
        if kinds - {"uint8", "uint16"} or len(kinds) != 1:
            raise InputError(f"{self.path}: holds {', '.join(sorted(kinds))}; images of 8 or 16 bits can be enhanced")
        space = dataset.tags(ns="IMAGE_STRUCTURE").get("SOURCE_COLOR_SPACE", "RGB")
        if space in ("CMYK", "YCbCrK", "CIELAB", "LAB"):
            raise InputError(f"{self.path}: its colours are {space}; save it as red, green, blue first")
        colours = list(dataset.colorinterp)
        self._table = self._colour_table() if colours[0] == ColorInterp.palette else None
        self.alpha = ColorInterp.alpha in colours
        bands = [i for i, colour in enumerate(colours, 1) if colour != ColorInterp.alpha]
        if self._table is not None:
            bands, self.alpha = [1], self._table.shape[0] == 4
        if len(bands) not in (1, 3):
            raise InputError(
                f"{self.path}: has {len(bands)} channels besides alpha; an image has 1 (grey) or 3 (red, green, blue)"
            )
        self._alpha_band = None if self._table is not None or not self.alpha else colours.index(ColorInterp.alpha) + 1
        self._bands = bands
        self.channels = 3 if self._table is not None else len(bands)
        self.depth = 8 if kinds == {"uint8"} else 16
        bits = dataset.tags(1, ns="IMAGE_STRUCTURE").get("NBITS")
        self._white = np.float32(2 ** (int(bits) if bits and self._table is None else self.depth) - 1)
        self._negative = dataset.tags(ns="IMAGE_STRUCTURE").get("MINISWHITE") == "YES"
        profile = dataset.tags(ns="COLOR_PROFILE").get("SOURCE_ICC_PROFILE")
        self.colour_profile: str | None = profile
        self.georeference: dict[str, Any] = {}
        if dataset.crs is not None or not dataset.transform.is_identity:
            self.georeference = {"crs": dataset.crs, "transform": dataset.transform}

    def _colour_table(self) -> NDArray[np.uint8]:
        """Red, green, blue and, where any is transparent, alpha of each index: (3 or 4, 256)."""
        table = np.zeros((256, 4), np.uint8)
        table[:, 3] = 255
        for index, colour in self._dataset.colormap(1).items():
            table[index] = colour
        return table.T if (table[:, 3] < 255).any() else table.T[:3]

    @property
    def row_bytes(self) -> int:
        """Bytes of a row as stored, of all channels."""
        return self.width * sum(np.dtype(kind).itemsize for kind in self._dataset.dtypes)

    @property
    def cache_bytes(self) -> int:
        """Bytes of GDAL's cache with which reading row by row decodes nothing twice."""
        block_height, block_width = self._dataset.block_shapes[0]
        across = -(-self.width // block_width) * block_width
        stored = sum(np.dtype(kind).itemsize for kind in self._dataset.dtypes)
        return block_height * across * stored + self._chunk_rows * self.row_bytes

    @property
    def decoder_bytes(self) -> int:
        """Bytes that the decoder holds of an image that can't be decoded row by row: the image itself for an
        interlaced PNG, 16 bits a value for a progressive JPEG.
        """
        if not self.header.decoded_whole:
            return 0
        return self.height * self.row_bytes * (2 if self.header.format == "JPEG" else 1)

    @property
    def _chunk_rows(self) -> int:
        return max(1, _CHUNK // (24 * self.width))

    @property
    def working_bytes(self) -> int:
        """Bytes that converting rows takes besides what comes of it, in reading and in writing together."""
        return 4 * max(_CHUNK, 24 * self.width)

    def chunks(self, start: int, stop: int) -> list[tuple[int, int]]:
        """Rows [start, stop) cut to a few at a time.

        Converting them all at once would take several times their memory; and in a file that stores its channels
        together, reading many rows one channel after the other would decode them again for each.
        """
        step = self._chunk_rows
        return [(row, min(row + step, stop)) for row in range(start, stop, step)]

    def values(self, start: int, stop: int) -> NDArray[np.float32]:
        """Rows [start, stop) without alpha: float32 (channels, n, width), 0 to 1."""
        stored = self._read(self._bands, start, stop)
        if self._table is not None:
            stored = self._table[:3, stored[0]]
        values = stored.astype(np.float32)
        values /= self._white
        return 1 - values if self._negative else values

    def alpha_rows(self, start: int, stop: int) -> NDArray[Any]:
        """Rows [start, stop) of alpha as stored: (1, n, width)."""
        if self._table is not None:
            return self._table[3:, self._read([1], start, stop)[0]]
        return self._read([self._alpha_band], start, stop)

    def _read(self, bands: list[Any], start: int, stop: int) -> NDArray[Any]:
        window = Window(0, start, self.width, stop - start)
        try:
            return self._dataset.read(bands, window=window)
        except GDAL_ERRORS as error:
            raise read_failure(str(self.path), (start, stop), error) from error

    def close(self) -> None:
        self._dataset.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class PictureSink(StagedSink):
    """Writes rows of display values as a PNG, TIFF or JPEG; alpha, depth and (where grey stays grey or colour
    colour) colour profile are `like`'s.

    The rows go to a tiled TIFF beside the output first; PNG and JPEG are made of it at the end, row by row. The file
    appears at `path` when the block ends well.

    Args:
        path: where it goes; its ending says the format.
        like: the picture that is being repaired; its alpha is read again from `alpha_of`, a picture of the same file.
        channels: 1 or 3, alpha not counted.
        quality: of a JPEG, 1 to 100.

    Raises:
        OutputError: it exists, its folder doesn't, the disk is too full, or the format can't hold it.
    """

    def __init__(
        self,
        path: Path,
        like: Picture,
        channels: int,
        *,
        alpha_of: Picture | None = None,
        quality: int = 95,
        overwrite: bool = False,
    ) -> None:
        self._driver = format_of(path)
        check_output_path(path, overwrite=overwrite)
        depth = 8 if self._driver == "JPEG" else like.depth
        self._white = 2**depth - 1
        self._dtype = np.dtype(f"uint{depth}")
        self._alpha = alpha_of if like.alpha else None
        self._quality = quality
        if like.alpha and self._driver == "JPEG":
            raise OutputError(f"{path}: JPEG has no alpha, which {like.path.name} has; name a .png or .tif")
        if self._driver == "JPEG" and max(like.height, like.width) > 65500:
            raise OutputError(f"{path}: JPEG holds 65,500 rows and columns at most; name a .png or .tif")
        self._coefficient_bytes = 0
        if self._driver == "JPEG":
            # Each plane goes in squares of 16 pixels.
            squares = -(-like.height // 16) * -(-like.width // 16)
            self._coefficient_bytes = squares * 256 * (3 if channels == 3 else 2)
        count = channels + (self._alpha is not None)
        size = like.width * like.height * count * self._dtype.itemsize
        check_room(path, size if self._driver == "GTiff" else 2 * size)
        tiles, final = temporary_path(path, "tiles"), temporary_path(path, "picture")
        profile: dict[str, Any] = {
            "photometric": "RGB" if channels == 3 else "MINISBLACK",
            "interleave": "pixel",
            "compress": "deflate",
            "predictor": 2,
            "zlevel": 6 if self._driver == "GTiff" else 1,
            **like.georeference,
        }
        if self._alpha is not None:
            profile["alpha"] = "YES"
        writer = TileWriter(
            tiles, str(path), width=like.width, height=like.height, count=count, dtype=self._dtype,
            profile=profile, block=_BLOCK,
        )  # fmt: skip
        if like.colour_profile is not None and channels == like.channels:
            # As a tag: rasterio puts the values of creation options into capitals. PNG and JPEG take it from the TIFF.
            writer.dataset.update_tags(ns="COLOR_PROFILE", SOURCE_ICC_PROFILE=like.colour_profile)
        super().__init__(path, writer, tiles, final, final.with_name(final.name + ".aux.xml"))

    @property
    def cache_bytes(self) -> int:
        """Bytes of GDAL's cache for a row of tiles."""
        return self.resident_bytes + _BLOCK * _BLOCK * 16

    @property
    def encoder_bytes(self) -> int:
        """Bytes that the encoder holds at the end: of a JPEG every coefficient, in 16 bits and for two of its three
        colours at half the size, for GDAL has the code table fitted to the image.
        """
        return self._coefficient_bytes

    def write(self, start: int, rows: NDArray[Any]) -> None:
        """Take rows (channels, n, width) of display values; what is below 0 or above 1 is clipped. Give few at a time:
        it takes as much memory again (see `Picture.chunks`).
        """
        values = np.clip(rows, 0, 1)
        values *= np.float32(self._white)
        stored = np.rint(values, out=values).astype(self._dtype)
        if self._alpha is not None:
            stored = np.concatenate([stored, self._alpha.alpha_rows(start, start + rows.shape[1])])
        self._writer.write(start, stored)

    def _finish(self) -> Path:
        tiles, final = self._staged[:2]
        check_whole(tiles, str(self.path))
        if self._driver == "GTiff":
            return tiles
        options = {"QUALITY": self._quality} if self._driver == "JPEG" else {}
        try:
            with rasterio.Env(GDAL_PAM_ENABLED=False):
                rasterio.shutil.copy(tiles, final, driver=self._driver, **options)
            _check_readable(final)
        except GDAL_ERRORS as error:
            raise write_failure(str(self.path), error) from error
        return final


def _check_readable(path: Path) -> None:
    """See that the last row of what was written can be read: GDAL tells nobody of what fails as it closes a file."""
    with open_raster(str(path)) as dataset:
        dataset.read(window=Window(0, dataset.height - 1, dataset.width, 1))
