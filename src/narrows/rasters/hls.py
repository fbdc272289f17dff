"""Harmonized Landsat and Sentinel-2 (HLS) version 2: a folder of one file per band."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from narrows.errors import InputError
from narrows.rasters.containers import Container
from narrows.rasters.images import Files
from narrows.rasters.product import CloudLayer, Layer, Product
from narrows.rasters.scaling import Overrides, Scaling, describe
from narrows.rasters.sensors import BANDS, SENSORS

__all__ = ["is_hls", "read_hls"]

_NAME = re.compile(r"(HLS\.([LS]30)\.T\w{5}\.\d{7}T\d{6}\.v\d+\.\d+)\.(\w+)\.tif", re.IGNORECASE)


def is_hls(container: Container) -> bool:
    """Whether files are named as those of HLS."""
    return any(_NAME.fullmatch(PurePosixPath(name).name) for name in container.names)


def read_hls(container: Container, files: Files, overrides: Overrides) -> Product:
    """The granule in `container`: reflectance x 10000 with fill -9999, and its Fmask.

    Raises:
        InputError: a band's file is missing, or there are several granules.
    """
    found: dict[str, dict[str, str]] = {}
    kinds: dict[str, str] = {}
    for name in container.names:
        match = _NAME.fullmatch(PurePosixPath(name).name)
        if match:
            found.setdefault(match[1], {})[match[3].upper()] = name
            kinds[match[1]] = match[2].lower()
    if len(found) > 1:
        raise InputError(
            f"{container.path}: holds {len(found)} HLS granules ({', '.join(sorted(found)[:2])}, …); name one"
        )
    granule, bands = next(iter(found.items()))
    sensor = SENSORS[f"hls-{kinds[granule]}"]
    images = []
    for band in BANDS:
        code = sensor.bands[band]
        if code not in bands:
            raise InputError(f"{container.path}: the {band} band is missing: there is no {granule}.{code}.tif")
        images.append(files.open(container.gdal_path(bands[code]), PurePosixPath(bands[code]).name))
    assert sensor.scale is not None and sensor.offset is not None and sensor.fill is not None
    own = {(image.scales[0], image.offsets[0]) for image in images}
    # The files state 0.0001 themselves as a rule; what they state counts.
    scale, offset, where = sensor.scale, sensor.offset, f"HLS version 2, {sensor.title}"
    if len(own) == 1 and own != {(1.0, 0.0)}:
        (scale, offset), where = own.pop(), "the files' own scale and offset"
    scaling = overrides.apply(Scaling.uniform(scale, offset, (sensor.fill,), where))
    layers = tuple(
        Layer(image, 1, scale, offset, fill)
        for image, scale, offset, fill in zip(images, scaling.scale, scaling.offset, scaling.fills, strict=True)
    )
    clouds = None
    if "FMASK" in bands:
        clouds = CloudLayer(files.open(container.gdal_path(bands["FMASK"])), "fmask")
    applied = {"sensor": sensor.title, "level": "surface reflectance", **describe(scaling)}
    return Product(granule, sensor, layers, applied, clouds)
