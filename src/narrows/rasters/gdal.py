"""GDAL, set up in one place: its cache, how it opens files, and its errors in the user's terms."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import rasterio
from rasterio._err import CPLE_BaseError
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from narrows.errors import InputError

__all__ = ["DEFAULT_CACHE_BYTES", "GDAL_ERRORS", "one_line", "open_raster", "raster_environment", "read_failure"]

DEFAULT_CACHE_BYTES = 64 * 2**20

# What rasterio raises when GDAL fails. (Some of GDAL's errors reach the caller bare.)
GDAL_ERRORS = (RasterioError, CPLE_BaseError, OSError)

# A file over the net is opened without listing its folder; its blocks are read by ranges, close ones together.
_REMOTE = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_HTTP_MERGE_CONSECUTIVE_RANGES": "YES",
    "GDAL_HTTP_MULTIRANGE": "YES",
    "GDAL_HTTP_MAX_RETRY": 3,
    "GDAL_HTTP_RETRY_DELAY": 1,
    "CPL_VSIL_CURL_CACHE_SIZE": 16 * 2**20,
    "VSI_CACHE": False,
}
_HTTP = {key: value for key, value in _REMOTE.items() if key != "GDAL_DISABLE_READDIR_ON_OPEN"}


@contextmanager
def raster_environment(cache_bytes: int = DEFAULT_CACHE_BYTES) -> Iterator[None]:
    """GDAL for reading and writing by rows, its block cache limited to `cache_bytes` bytes of memory.

    GDAL's own default is 5 % of the machine's memory. The cache is one for the whole process and all its threads.
    """
    if cache_bytes < 1:
        raise ValueError(f"cache_bytes must be positive, not {cache_bytes}")
    with rasterio.Env(GDAL_CACHEMAX=int(cache_bytes), **_HTTP):
        yield


def open_raster(path: str) -> Any:
    """The rasterio dataset at `path` (a file name or a GDAL path), open for reading.

    Raises:
        InputError: there is no such file, or GDAL can't read it.
    """
    # Side files beside a local file (a world file, an .aux.xml) count, so only remote folders go unlisted.
    remote = path.startswith(("http://", "https://", "/vsicurl", "/vsis3", "s3://"))
    environment = rasterio.Env(**_REMOTE) if remote else contextlib.nullcontext()
    try:
        with warnings.catch_warnings(), environment:
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            dataset = rasterio.open(path, sharing=False)
    except GDAL_ERRORS as error:
        shown = path.removeprefix("/vsicurl/")
        raise InputError(f"{shown}: can't be opened as a raster: {_unnamed(error, path)}") from error
    if dataset.count == 0:
        names = list(dataset.subdatasets[:1])
        dataset.close()
        hint = f"; it holds sub-datasets such as {names[0]}, name one" if names else ""
        raise InputError(f"{path}: the file has no bands{hint}")
    return dataset


def read_failure(name: str, rows: tuple[int, int], error: BaseException) -> InputError:
    """The error for pixels that can't be read: a file cut short, damaged, or gone."""
    cause = error.__cause__ or error
    return InputError(
        f"{name}: rows {rows[0]} to {rows[1] - 1} can't be read; the file is damaged or cut short: {one_line(cause)}"
    )


def one_line(error: BaseException) -> str:
    """The message of `error` as one line."""
    return " ".join(str(error).split()) or type(error).__name__


def _unnamed(error: BaseException, path: str) -> str:
    """The message of `error` without the path that a sentence begins with already."""
    return one_line(error).replace(f"'{path}'", "").removeprefix(f"{path}:").strip()
