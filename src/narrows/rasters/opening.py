"""Opens whatever is on disk, behind a URL or in memory as a `Scene`."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from narrows.errors import InputError
from narrows.rasters.containers import Container, open_container
from narrows.rasters.geotiff import BandOption, read_files, read_raster
from narrows.rasters.hls import is_hls, read_hls
from narrows.rasters.images import Files
from narrows.rasters.landsat import is_landsat, read_landsat
from narrows.rasters.naming import parse_bands
from narrows.rasters.product import Product
from narrows.rasters.scaling import Overrides, PerBand
from narrows.rasters.scene import Scene
from narrows.rasters.sensors import Sensor, find_sensor
from narrows.rasters.sentinel2 import is_sentinel2, read_sentinel2
from narrows.rasters.stac import is_item_address, read_item

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["open_scene"]

logger = logging.getLogger(__name__)

_ARCHIVES = (".tar", ".zip", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
_SAMPLE_WINDOWS = 4
_SAMPLE_SIDE = 64
_IMPLAUSIBLE_SHARE = 0.25
_CLEARLY_NEGATIVE = -0.03

FileOption = Mapping[str, str | os.PathLike[str]] | Sequence[str | os.PathLike[str]]


def open_scene(
    path: str | os.PathLike[str] | FileOption | xr.DataArray | xr.Dataset | None,
    *,
    sensor: str | None = None,
    bands: str | BandOption | None = None,
    scale: PerBand | None = None,
    offset: PerBand | None = None,
    nodata: float | None = None,
    files: FileOption | None = None,
) -> Scene:
    """Open a scene as six bands of reflectance.

    `path` is one of: a GeoTIFF, COG or other raster of several bands; a Landsat folder or .tar; a Sentinel-2 SAFE
    folder or .zip; an HLS folder; a STAC item (a JSON file or its http address); an xarray array or dataset; or, here
    or as `files`, six single-band files as a list in the order of `BANDS` or a mapping from band to file.

    Rasters, files, STAC items and xarray objects of blue, green, red and nir alone are read as well: both bands of
    shortwave infrared are 1 then, and `scene.lacks` names them.

    The rest overrides what the scene says of itself: `sensor` (see `SENSORS`), `bands` (a name for each band of the
    file, six numbers or four, or a mapping), `scale` and `offset` (reflectance = number x scale + offset; one number,
    or six, or four, in the order of `BANDS`), `nodata` (NaN for none).

    Besides metadata, a few small windows are read, to see whether the reflectance is plausible.
    What is applied is logged, and stands in `scene.applied`. ::

        with open_scene("LC09_L2SP_231062_20230723_20230802_02_T1") as scene:
            top = scene.read(0, 256)

    Raises:
        InputError: it can't be read, a band is missing, or nothing says the bands' order or their scaling.
    """
    chosen = find_sensor(sensor) if sensor is not None else None
    overrides = Overrides.of(scale, offset, nodata)
    order = parse_bands(bands) if isinstance(bands, str) else bands
    opened = Files()
    try:
        product = _read(path, files, opened, chosen, order, overrides)
        scene = Scene(product, opened.close)
        _report(scene)
        _check_plausible(scene, product)
    except BaseException:
        opened.close()
        raise
    return scene


def _read(
    path: Any,
    files: FileOption | None,
    opened: Files,
    sensor: Sensor | None,
    bands: BandOption | None,
    overrides: Overrides,
) -> Product:
    if type(path).__module__.partition(".")[0] == "xarray":
        # Importing xarray takes some 80 MB, which a scene on disk has no use for.
        from narrows.rasters.xarrays import read_xarray

        return read_xarray(path, sensor, bands, overrides)
    if files is None and isinstance(path, Mapping | Sequence) and not isinstance(path, str):
        path, files = None, path
    if files is not None:
        if path is not None:
            raise InputError("give either a scene or its files, not both")
        named = (
            {key: os.fspath(value) for key, value in files.items()}
            if isinstance(files, Mapping)
            else [os.fspath(value) for value in files]
        )
        return read_files(named, opened, sensor, overrides)
    if path is None:
        raise InputError("no scene is named")
    text = os.fspath(path)
    container = os.path.isdir(text) or text.lower().endswith(_ARCHIVES) or _is_metadata_file(text)
    item = not container and is_item_address(text)
    if bands is not None and (container or item):
        raise InputError(f"{text}: --bands is for raster files; a product and a STAC item name their bands themselves")
    if item:
        return read_item(text, opened, sensor, overrides)
    if text.startswith(("http://", "https://")):
        return read_raster(f"/vsicurl/{text}", opened, sensor, bands, overrides)
    if not text.startswith("/vsi") and not os.path.exists(text) and ":" not in text:
        raise InputError(f"{text}: there is no such file or folder")
    if container:
        path = Path(text).parent if _is_metadata_file(text) else Path(text)
        return _read_container(open_container(path), opened, sensor, overrides)
    return read_raster(text, opened, sensor, bands, overrides)


def _is_metadata_file(text: str) -> bool:
    name = Path(text).name.upper()
    return name.endswith(("_MTL.TXT", "_MTL.XML", "_MTL.JSON")) or name.startswith("MTD_MSI")


def _read_container(container: Container, opened: Files, sensor: Sensor | None, overrides: Overrides) -> Product:
    readers = ((is_sentinel2, read_sentinel2), (is_hls, read_hls), (is_landsat, read_landsat))
    for matches, read in readers:
        if matches(container):
            product = read(container, opened, overrides)
            if sensor is not None and sensor != product.sensor:
                raise InputError(
                    f"{container.path}: --sensor {sensor.name}, but it is of {product.sensor.name}; leave it out"
                )
            return product
    raise InputError(
        f"{container.path}: is no product that is known: there is no Landsat MTL file, no Sentinel-2 MTD_MSIL1C.xml or "
        "MTD_MSIL2A.xml, and no HLS file"
    )


def _report(scene: Scene) -> None:
    for key, value in scene.applied.items():
        level = logging.WARNING if key == "caution" else logging.INFO
        logger.log(level, "%s: %s: %s", scene.name, key.replace("_", " "), value)
    if scene.crs is None:
        logger.warning("%s: has no CRS, so its outputs will have none", scene.name)


def _check_plausible(scene: Scene, product: Product) -> None:
    """Look at a few windows: metadata of catalogues sometimes contradict the pixels."""
    layers = product.layers[: len(product.layers) - len(scene.lacks)]
    inside = [(at + 1) / (_SAMPLE_WINDOWS + 1) for at in range(_SAMPLE_WINDOWS)]
    seen = [_sample(scene, share, share) for share in inside]
    pixels = np.concatenate(seen, axis=1)
    doubts = []
    for doubtful, what in (
        (
            pixels[:3].mean(axis=0) < _CLEARLY_NEGATIVE,
            "clearly negative: the offset may be in them already (--offset 0)",
        ),
        (pixels.mean(axis=0) >= 1.5, "far above 1: the scale may be wrong (--scale)"),
    ):
        if doubtful.size and doubtful.mean() > _IMPLAUSIBLE_SHARE:
            doubts.append(f"{doubtful.mean():.0%} of the pixels sampled have a reflectance {what}")
    if not any(layer.fills for layer in layers):
        # What a camera didn't see lies at the corners of its scene, if anywhere.
        seen += [_sample(scene, down, across) for down in (0, 1) for across in (0, 1)]
        of_zero = np.array([[layer.offset] for layer in layers], dtype=np.float32)
        blank = max(((part == of_zero).all(axis=0).mean() if part.size else 0.0) for part in seen)
        if blank > _IMPLAUSIBLE_SHARE:
            doubts.append("blocks of zeros in all bands: nothing says that those have no data (--nodata 0)")
    for doubt in doubts:
        logger.warning("%s: %s", scene.name, doubt)
    if doubts:
        scene.note("doubt", "; ".join(doubts))


def _sample(scene: Scene, down: float, across: float) -> NDArray[np.float32]:
    """The observed pixels of a small window at these shares of the scene's height and width, in the bands it has."""
    top, left = (
        max(0, min(int(size * share), size - _SAMPLE_SIDE))
        for size, share in ((scene.height, down), (scene.width, across))
    )
    bottom, right = min(scene.height, top + _SAMPLE_SIDE), min(scene.width, left + _SAMPLE_SIDE)
    part = scene.window((top, bottom), (left, right))
    rows = part.read(0, part.height)
    return rows.reflectance[: 6 - len(scene.lacks), rows.observed]
