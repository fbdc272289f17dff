"""Raster files that are no product: the order of the bands and the scaling come from the file or the user."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePath

from narrows.errors import InputError
from narrows.rasters.absent import with_shortwave
from narrows.rasters.images import Files, Image, RasterImage
from narrows.rasters.naming import BandOrder, order_from_names, order_from_option
from narrows.rasters.product import Layer, Product
from narrows.rasters.scaling import Overrides, Scaling, describe, looks_like_reflectance, unknown_scaling
from narrows.rasters.sensors import BANDS, FIRST_FOUR, UNKNOWN_SENSOR, Sensor

__all__ = ["read_files", "read_raster", "settle_scaling"]

BandOption = Sequence[str | int] | Mapping[str, int]


def read_raster(
    path: str, files: Files, sensor: Sensor | None, bands: BandOption | None, overrides: Overrides
) -> Product:
    """The six bands of one file, or four where it has no shortwave infrared.

    Their order is the user's, else that of the descriptions, else of the colours.

    Raises:
        InputError: the file can't be read, or its order or scaling isn't known.
    """
    name = PurePath(path).name or path
    image = files.open(path)
    order = _order(image, name, sensor, bands)
    sensor = sensor or order.sensor or UNKNOWN_SENSOR
    picked = [(image, order.indexes[band]) for band in order.bands]
    return _product(name, picked, sensor, overrides, f"{_listing(order)} ({order.where})")


def read_files(
    paths: Mapping[str, str] | Sequence[str], files: Files, sensor: Sensor | None, overrides: Overrides
) -> Product:
    """Six files of one band each, or four: by name (colours, or codes such as ``"B2"``), or in the order of `BANDS`.

    Raises:
        InputError: a band is missing, a file can't be read or has several bands, or their scaling isn't known.
    """
    if isinstance(paths, Mapping):
        keys = list(paths)
        order = order_from_names(keys, sensor, "the files given")
        if order is None:
            raise InputError(f"the files' names {', '.join(map(str, keys))} are no bands; use {', '.join(BANDS)}")
        listed = [paths[keys[order.indexes[band] - 1]] for band in order.bands]
        sensor = sensor or order.sensor
    else:
        if len(paths) not in (len(FIRST_FOUR), len(BANDS)):
            raise InputError(
                f"give six files, for {', '.join(BANDS)} in this order, or four, for the first four; there are "
                f"{len(paths)}"
            )
        listed = list(paths)
    picked = []
    for band, path in zip(BANDS, listed, strict=False):
        image = files.open(str(path))
        if image.count != 1:
            raise InputError(f"{path}: has {image.count} bands, where one file of one band is wanted for {band}")
        picked.append((image, 1))
    name = PurePath(str(listed[0])).name
    where = ", ".join(f"{band} {PurePath(str(path)).name}" for band, path in zip(BANDS, listed, strict=False))
    return _product(name, picked, sensor or UNKNOWN_SENSOR, overrides, where)


def _product(
    name: str, picked: Sequence[tuple[RasterImage, int]], sensor: Sensor, overrides: Overrides, where: str
) -> Product:
    own = [(image.scales[index - 1], image.offsets[index - 1]) for image, index in picked]
    nodata = [image.nodata[index - 1] for image, index in picked]
    scaled = any(pair != (1.0, 0.0) for pair in own)
    stated = Scaling(
        tuple(scale for scale, _ in own),
        tuple(offset for _, offset in own),
        _fills(nodata),
        "the file's own scale and offset",
    )
    scaling = settle_scaling(name, picked, stated if scaled else None, _fills(nodata), sensor, overrides)
    layers = tuple(
        Layer(image, index, scale, offset, fill)
        for (image, index), scale, offset, fill in zip(
            picked, scaling.scale, scaling.offset, scaling.fills, strict=True
        )
    )
    applied = {"sensor": sensor.title, "bands": where, **describe(scaling)}
    fill_gaps = sensor.name == "landsat-etm"
    return Product(name, sensor, with_shortwave(layers), applied, fill_gaps=fill_gaps)


def settle_scaling(
    name: str,
    picked: Sequence[tuple[Image, int]],
    stated: Scaling | None,
    fills: tuple[tuple[float, ...], ...],
    sensor: Sensor,
    overrides: Overrides,
) -> Scaling:
    """The scaling of the bands `picked`, six or four.

    It is the user's, else what the file states, else the sensor's where all its products have the same. Floating-point
    numbers that lie where reflectance lies in a few sampled windows count as reflectance.

    Raises:
        InputError: none of these says it.
    """
    if stated is not None:
        return overrides.apply(stated)
    if overrides.settles_scale:
        return overrides.alone(fills)
    if sensor.scale is not None:
        fill = fills if any(fills) or sensor.fill is None else ((sensor.fill,),) * len(picked)
        known = Scaling(
            (sensor.scale,) * len(picked), (sensor.offset or 0.0,) * len(picked), fill, f"all of {sensor.title}"
        )
        return overrides.apply(known)
    kinds = {image.dtype(index).kind for image, index in picked}
    dtype = picked[0][0].dtype(picked[0][1])
    if kinds != {"f"}:
        raise unknown_scaling(name, f"its bands hold {dtype.name} numbers")
    words = looks_like_reflectance(picked, fills)
    if words is None:
        raise unknown_scaling(name, f"its bands hold {dtype.name} numbers that are no reflectance between 0 and 1")
    return overrides.apply(Scaling.uniform(1.0, 0.0, (), words, len(picked)).with_fills(fills))


def _fills(nodata: Sequence[float | None]) -> tuple[tuple[float, ...], ...]:
    # NaN is never observed, whether declared or not.
    return tuple(() if value is None or value != value else (value,) for value in nodata)


def _order(image: RasterImage, name: str, sensor: Sensor | None, bands: BandOption | None) -> BandOrder:
    if bands is not None:
        return order_from_option(bands, image.count, name)
    if image.count < len(FIRST_FOUR):
        raise InputError(
            f"{name}: has {image.count} band{'s' * (image.count != 1)}; six are needed: {', '.join(BANDS)}, or the "
            "first four of them"
        )
    order = order_from_names(image.descriptions, sensor, name) or _order_from_colours(image)
    if order is None and sensor is not None and image.count == len(sensor.order):
        indexes = {band: sensor.order.index(code) + 1 for band, code in sensor.bands.items()}
        order = BandOrder(indexes, sensor, f"the order of {sensor.title}")
    if order is None:
        raise InputError(
            f"{name}: its {image.count} bands have no names, so their order isn't known; give it with "
            f"--bands {','.join(BANDS)} (a name for each band of the file, - for others) or --bands 1,2,3,4,5,6; "
            "without shortwave infrared with the first four"
        )
    return order


def _order_from_colours(image: RasterImage) -> BandOrder | None:
    indexes: dict[str, int] = {}
    infrared = [number for number, colour in enumerate(image.colours, start=1) if colour == "swir"]
    for number, colour in enumerate(image.colours, start=1):
        if colour in ("blue", "green", "red", "nir"):
            indexes.setdefault(colour, number)
    if len(indexes) != len(FIRST_FOUR):
        return None
    if not infrared and not {"undefined", "gray"} & set(image.colours):
        return BandOrder(indexes, None, "colour interpretation")
    if len(infrared) != 2:
        return None
    # Without wavelengths, the two short-wave infrared bands come in the order of every sensor: swir1 first.
    waves = [image.tags(number, "IMAGERY").get("CENTRAL_WAVELENGTH_UM") for number in infrared]
    if all(waves):
        infrared = [number for _, number in sorted(zip((float(wave or 0) for wave in waves), infrared, strict=True))]
    indexes |= {"swir1": infrared[0], "swir2": infrared[1]}
    return BandOrder(indexes, None, "colour interpretation")


def _listing(order: BandOrder) -> str:
    return ", ".join(f"{band} {order.indexes[band]}" for band in order.bands)
