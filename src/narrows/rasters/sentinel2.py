"""Sentinel-2 products: SAFE folders and zips of level 1C and 2A."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from narrows.errors import InputError
from narrows.rasters.containers import Container
from narrows.rasters.images import Files
from narrows.rasters.product import CloudLayer, Layer, Product
from narrows.rasters.scaling import Overrides, Scaling, describe
from narrows.rasters.sensors import BANDS, SENSORS

__all__ = ["Sentinel2Metadata", "is_sentinel2", "parse_sentinel2", "read_sentinel2"]

_OFFSET_KEYS = {"L1C": "RADIO_ADD_OFFSET", "L2A": "BOA_ADD_OFFSET"}
_QUANTIFICATION_KEYS = {"L1C": "QUANTIFICATION_VALUE", "L2A": "BOA_QUANTIFICATION_VALUE"}
# Older level-2A products (baseline 02.0x) name it so.
_OLD_QUANTIFICATION = "L2A_BOA_QUANTIFICATION_VALUE"


@dataclass(frozen=True)
class Sentinel2Metadata:
    """What MTD_MSIL1C.xml or MTD_MSIL2A.xml says: reflectance = (number + offset) / quantification.

    `offsets` are per product band ("B02"); empty before processing baseline 04.00. `images` are the listed image files
    without ending.
    """

    level: str
    spacecraft: str
    baseline: str
    quantification: float
    offsets: Mapping[str, float]
    nodata: float
    images: tuple[str, ...]


def is_sentinel2(container: Container) -> bool:
    """Whether the files are those of a SAFE product."""
    return bool(_product_metadata(container) or container.matching("manifest.safe", "MTD_TL.xml"))


def _product_metadata(container: Container) -> list[str]:
    return container.matching("MTD_MSIL1C.xml", "MTD_MSIL2A.xml")


def parse_sentinel2(text: str, name: str) -> Sentinel2Metadata:
    """The product metadata in the XML `text` of the file `name`.

    Raises:
        InputError: it is no such XML, or doesn't give the quantification value.
    """
    try:
        root = ElementTree.fromstring(text.strip("\0 \r\n\ufeff"))
    except ElementTree.ParseError as error:
        raise InputError(f"{name}: is no Sentinel-2 metadata: {error}") from error

    def texts(tag: str) -> list[str]:
        return [(element.text or "").strip() for element in root.iter(tag)]

    level = "L2A" if "Level-2A" in root.tag else "L1C" if "Level-1C" in root.tag else None
    if level is None:
        raise InputError(f"{name}: is no Sentinel-2 metadata of level 1C or 2A")
    quantification = texts(_QUANTIFICATION_KEYS[level]) or texts(_OLD_QUANTIFICATION)
    if not quantification:
        raise InputError(f"{name}: doesn't give {_QUANTIFICATION_KEYS[level]}, so reflectance can't be had from it")
    names = {
        element.get("bandId"): _padded(element.get("physicalBand", "")) for element in root.iter("Spectral_Information")
    }
    offsets = {
        names.get(element.get("band_id"), element.get("band_id") or ""): float(element.text or 0)
        for element in root.iter(_OFFSET_KEYS[level])
    }
    special = dict(zip(texts("SPECIAL_VALUE_TEXT"), texts("SPECIAL_VALUE_INDEX"), strict=False))
    return Sentinel2Metadata(
        level,
        next(iter(texts("SPACECRAFT_NAME")), "Sentinel-2"),
        next(iter(texts("PROCESSING_BASELINE")), "not stated"),
        float(quantification[0]),
        offsets,
        float(special.get("NODATA", 0)),
        tuple(texts("IMAGE_FILE") or texts("IMAGE_FILE_2A")),
    )


def _padded(band: str) -> str:
    """``"B2"`` as the files write it, ``"B02"``."""
    number = band.removeprefix("B")
    return f"B{number.zfill(2)}"


def read_sentinel2(container: Container, files: Files, overrides: Overrides) -> Product:
    """The SAFE product in `container`, on its 10 m grid (20 m if it has no 10 m files).

    Raises:
        InputError: the XML or a band's file is missing, or there are several products or granules.
    """
    name = container.path.resolve().name
    found = _product_metadata(container)
    if not found:
        raise InputError(f"{container.path}: looks like a SAFE product, but has no MTD_MSIL1C.xml or MTD_MSIL2A.xml")
    if len(found) > 1:
        raise InputError(f"{container.path}: holds {len(found)} products; name one")
    metadata = parse_sentinel2(container.read_text(found[0]), PurePosixPath(found[0]).name)
    sensor = SENSORS["sentinel-2"]
    _one_granule(container)
    fine = metadata.level == "L1C" or bool(container.matching("_B02_10m.jp2", "_B02_10m.tif"))
    images, codes = [], []
    for band in BANDS:
        code = sensor.bands[band]
        if band == "nir" and not fine:
            code = "B8A"
        at = _band_file(container, code, metadata.level, fine and not band.startswith("swir"))
        if at is None:
            raise InputError(f"{container.path}: the {band} band ({code}) is missing among its JP2 files")
        images.append(files.open(container.gdal_path(at), PurePosixPath(at).name))
        codes.append(code)
    offsets = tuple(metadata.offsets.get(code, 0.0) / metadata.quantification for code in codes)
    key = _OFFSET_KEYS[metadata.level]
    said = f"{key} and" if metadata.offsets else f"no {key} (baseline {metadata.baseline}),"
    scaling = Scaling(
        (1 / metadata.quantification,) * len(BANDS),
        offsets,
        ((metadata.nodata,),) * len(BANDS),
        f"{said} quantification {metadata.quantification:g} in {PurePosixPath(found[0]).name}",
    )
    scaling = overrides.apply(scaling)
    layers = tuple(
        Layer(image, 1, scale, offset, fill)
        for image, scale, offset, fill in zip(images, scaling.scale, scaling.offset, scaling.fills, strict=True)
    )
    classes = next(iter(container.matching("_SCL_20m.jp2", "_SCL_20m.tif", "_SCL_60m.jp2")), None)
    clouds = None
    if classes is not None:
        clouds = CloudLayer(files.open(container.gdal_path(classes), PurePosixPath(classes).name), "scl")
    kind = "surface" if metadata.level == "L2A" else "top-of-atmosphere"
    applied = {
        "sensor": f"Sentinel-2 MSI ({metadata.spacecraft})",
        "level": f"{metadata.level}, baseline {metadata.baseline}: {kind} reflectance",
        "bands": ", ".join(f"{band} {code}" for band, code in zip(BANDS, codes, strict=True)),
        **describe(scaling),
    }
    if fine:
        applied["resampling"] = "20 m bands to 10 m, bilinear"
    return Product(name, sensor, layers, applied, clouds)


def _one_granule(container: Container) -> None:
    granules = {PurePosixPath(each).parent.name for each in container.matching("MTD_TL.xml")}
    if len(granules) > 1:
        raise InputError(f"{container.path}: holds {len(granules)} granules; products of one tile are read")


def _band_file(container: Container, code: str, level: str, fine: bool) -> str | None:
    if level == "L1C":
        endings = [f"_{code}.jp2", f"_{code}.tif"]
    else:
        size = "10m" if fine else "20m"
        endings = [f"_{code}_{size}.jp2", f"_{code}_{size}.tif"]
    return next(iter(container.matching(*endings)), None)
