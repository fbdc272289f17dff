"""Landsat products: Collection 2 of level 1 and 2, and older ones with an MTL file."""

from __future__ import annotations

import datetime
import math
from dataclasses import dataclass
from pathlib import PurePosixPath

from narrows.errors import InputError
from narrows.rasters.containers import Container
from narrows.rasters.dates import as_date
from narrows.rasters.images import Files
from narrows.rasters.irradiance import SOLAR_IRRADIANCE, earth_sun_distance, radiance_to_reflectance
from narrows.rasters.mtl import Metadata, parse_mtl
from narrows.rasters.product import CloudLayer, Layer, Product
from narrows.rasters.scaling import Overrides, Scaling, describe
from narrows.rasters.sensors import BANDS, SENSORS, Sensor

__all__ = ["LandsatScaling", "is_landsat", "landsat_scaling", "read_landsat"]

FILL = 0
_CONTENTS = ("PRODUCT_CONTENTS", "PRODUCT_METADATA")
_IMAGE = ("IMAGE_ATTRIBUTES", "PRODUCT_METADATA")
_RESCALING = ("LEVEL1_RADIOMETRIC_RESCALING", "RADIOMETRIC_RESCALING")
_RADIANCE = ("LEVEL1_MIN_MAX_RADIANCE", "MIN_MAX_RADIANCE")
_PIXEL_VALUE = ("LEVEL1_MIN_MAX_PIXEL_VALUE", "MIN_MAX_PIXEL_VALUE")
_PROJECTION = ("PROJECTION_ATTRIBUTES", "LEVEL1_PROJECTION_PARAMETERS", "PROJECTION_PARAMETERS")
_SURFACE = "LEVEL2_SURFACE_REFLECTANCE_PARAMETERS"
_SENSOR_IDS = {"TM": "landsat-tm", "ETM": "landsat-etm", "OLI_TIRS": "landsat-oli", "OLI": "landsat-oli"}


@dataclass(frozen=True)
class LandsatScaling:
    """What an MTL file says: the sensor, the level ("L2SP", "L1TP", ...), and the way to reflectance."""

    sensor: Sensor
    spacecraft: str
    level: str
    scaling: Scaling


def _metadata_names(container: Container) -> list[str]:
    return container.matching("_MTL.txt", "_MTL.xml", "_MTL.json")


def is_landsat(container: Container) -> bool:
    """Whether the files are those of a Landsat product: there is an MTL file, or band files named as Landsat's."""
    landsat_bands = [name for name in container.matching(".tif") if PurePosixPath(name).name[:2] in ("LC", "LE", "LT")]
    return bool(_metadata_names(container) or landsat_bands)


def landsat_scaling(metadata: Metadata) -> LandsatScaling:
    """The way from numbers to reflectance that `metadata` gives.

    Level 2: REFLECTANCE_MULT_BAND_n and REFLECTANCE_ADD_BAND_n of the group of surface reflectance (the level-1 ones
    stand in the same file). Level 1: those of the level-1 group, divided by sin(SUN_ELEVATION). Products that give only
    radiance: pi L d² / (ESUN sin(SUN_ELEVATION)), with L from RADIANCE_MINIMUM and MAXIMUM at QUANTIZE_CAL_MIN and MAX.

    Raises:
        InputError: the sensor has no such six bands, or the metadata don't lead to reflectance.
    """
    sensor_id = metadata.find("SENSOR_ID", *_IMAGE)
    spacecraft = metadata.find("SPACECRAFT_ID", *_IMAGE) or "an unnamed spacecraft"
    if sensor_id not in _SENSOR_IDS:
        raise InputError(
            f"{metadata.name}: sensor {sensor_id or 'not named'} of {spacecraft} has not the six bands; "
            f"known are {', '.join(_SENSOR_IDS)}"
        )
    sensor = SENSORS[_SENSOR_IDS[sensor_id]]
    level = metadata.find("PROCESSING_LEVEL", *_CONTENTS) or metadata.find("DATA_TYPE", *_CONTENTS) or ""
    if level.startswith("L2"):
        scaling = _surface_scaling(metadata, sensor)
    else:
        scaling = _top_of_atmosphere_scaling(metadata, sensor, spacecraft)
    return LandsatScaling(sensor, spacecraft, level, scaling)


def read_landsat(container: Container, files: Files, overrides: Overrides) -> Product:
    """The product in `container`: its six bands, QA_PIXEL if there, scaled as its MTL file says.

    Raises:
        InputError: there is no MTL file, more than one product, or a band's file is missing.
    """
    name = container.path.resolve().name
    names = _metadata_names(container)
    if not names:
        raise InputError(
            f"{container.path}: looks like a Landsat product, but has no MTL file (…_MTL.txt, .xml or .json)"
        )
    prefixes = {PurePosixPath(each).name.rsplit("_MTL", 1)[0] for each in names}
    if len(prefixes) > 1:
        raise InputError(
            f"{container.path}: holds several products ({', '.join(sorted(prefixes)[:3])}); keep each in its own folder"
        )
    chosen = next(each for ending in (".txt", ".xml", ".json") for each in names if each.lower().endswith(ending))
    metadata = parse_mtl(container.read_text(chosen), PurePosixPath(chosen).name)
    found = landsat_scaling(metadata)
    surface = found.level.startswith("L2")
    images = []
    for band in BANDS:
        number = found.sensor.bands[band].removeprefix("B")
        listed = metadata.find(f"FILE_NAME_BAND_{number}", *_CONTENTS)
        ending = f"_{'SR_' if surface else ''}B{number}.TIF"
        at = (container.file_named(listed) if listed else None) or next(iter(container.matching(ending)), None)
        if at is None:
            raise InputError(f"{container.path}: the {band} band is missing: there is no …{ending}")
        images.append(files.open(container.gdal_path(at), PurePosixPath(at).name))
    fills = tuple(
        tuple(dict.fromkeys(value for value in (FILL, image.nodata[0]) if value is not None)) for image in images
    )
    scaling = Scaling(found.scaling.scale, found.scaling.offset, fills, found.scaling.where)
    scaling = overrides.apply(scaling)
    layers = tuple(
        Layer(image, 1, scale, offset, fill)
        for image, scale, offset, fill in zip(images, scaling.scale, scaling.offset, scaling.fills, strict=True)
    )
    quality = next(iter(container.matching("_QA_PIXEL.TIF")), None)
    clouds = None
    if quality is not None:
        clouds = CloudLayer(files.open(container.gdal_path(quality), PurePosixPath(quality).name), "qa_pixel")
    fill_gaps = found.sensor.name == "landsat-etm"
    pixel_size = metadata.number("GRID_CELL_SIZE_REFLECTIVE", *_PROJECTION)
    applied = {
        "sensor": f"{found.sensor.title} ({found.spacecraft.replace('_', ' ').title()})",
        "level": f"{found.level or 'level 1'}: {'surface' if surface else 'top-of-atmosphere'} reflectance",
        **describe(scaling),
    }
    if fill_gaps:
        applied["gaps"] = "scan-line gaps interpolated down the columns for the network, not observed in the output"
    acquired = as_date(metadata.find("DATE_ACQUIRED", *_IMAGE))
    return Product(name, found.sensor, layers, applied, clouds, pixel_size, fill_gaps, acquired)


def _surface_scaling(metadata: Metadata, sensor: Sensor) -> Scaling:
    pairs = _multipliers(metadata, sensor, _SURFACE)
    if pairs is None:
        raise InputError(
            f"{metadata.name}: a level-2 product without the group {_SURFACE}; it has no surface reflectance"
        )
    where = f"REFLECTANCE_MULT and ADD of {_SURFACE} in {metadata.name}"
    return Scaling(*pairs, ((FILL,),) * len(BANDS), where)


def _top_of_atmosphere_scaling(metadata: Metadata, sensor: Sensor, spacecraft: str) -> Scaling:
    elevation = metadata.number("SUN_ELEVATION", *_IMAGE)
    if elevation is None or not 0 < elevation <= 90:
        said = "doesn't say SUN_ELEVATION" if elevation is None else f"has a SUN_ELEVATION of {elevation:g} degrees"
        raise InputError(f"{metadata.name}: {said}; without the sun above the horizon there is no reflectance")
    sine = math.sin(math.radians(elevation))
    for group in _RESCALING:
        pairs = _multipliers(metadata, sensor, group)
        if pairs is not None:
            scale, offset = (tuple(value / sine for value in values) for values in pairs)
            where = (
                f"REFLECTANCE_MULT and ADD of {group} in {metadata.name}, "
                f"divided by sin(SUN_ELEVATION {elevation:.4f}°)"
            )
            return Scaling(scale, offset, ((FILL,),) * len(BANDS), where)
    return _radiance_scaling(metadata, sensor, spacecraft, elevation)


def _radiance_scaling(metadata: Metadata, sensor: Sensor, spacecraft: str, elevation: float) -> Scaling:
    table = SOLAR_IRRADIANCE.get(spacecraft)
    distance = metadata.number("EARTH_SUN_DISTANCE", *_IMAGE)
    day = metadata.find("DATE_ACQUIRED", *_IMAGE)
    if distance is None and day is not None:
        distance = earth_sun_distance(datetime.date.fromisoformat(day))
    if table is None or distance is None:
        raise InputError(f"{metadata.name}: gives no reflectance multipliers, nor what turns radiance into reflectance")
    scales, offsets = [], []
    for code in sensor.bands.values():
        number = code.removeprefix("B")
        low = metadata.number(f"RADIANCE_MINIMUM_BAND_{number}", *_RADIANCE)
        high = metadata.number(f"RADIANCE_MAXIMUM_BAND_{number}", *_RADIANCE)
        first = metadata.number(f"QUANTIZE_CAL_MIN_BAND_{number}", *_PIXEL_VALUE)
        last = metadata.number(f"QUANTIZE_CAL_MAX_BAND_{number}", *_PIXEL_VALUE)
        if low is None or high is None or first is None or last is None:
            raise InputError(
                f"{metadata.name}: gives neither reflectance multipliers nor the radiance range of band {number}"
            )
        factor = radiance_to_reflectance(table[code], distance, elevation)
        gain = (high - low) / (last - first)
        scales.append(gain * factor)
        offsets.append((low - gain * first) * factor)
    where = (
        f"radiance range in {metadata.name}, pi L d² / (ESUN sin(SUN_ELEVATION {elevation:.4f}°)), d = {distance:.5f}, "
        "ESUN of Chander et al. 2009"
    )
    return Scaling(tuple(scales), tuple(offsets), ((FILL,),) * len(BANDS), where)


def _multipliers(metadata: Metadata, sensor: Sensor, group: str) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    pairs = []
    for code in sensor.bands.values():
        number = code.removeprefix("B")
        scale = metadata.number(f"REFLECTANCE_MULT_BAND_{number}", group)
        offset = metadata.number(f"REFLECTANCE_ADD_BAND_{number}", group)
        if scale is None or offset is None:
            return None
        pairs.append((scale, offset))
    scales, offsets = zip(*pairs, strict=True)
    return scales, offsets
