"""Which band of a file is blue, green, red, nir, swir1 and swir2, from the names that the file or the user gives."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from narrows.errors import InputError
from narrows.rasters.sensors import BANDS, SENSORS, Sensor

__all__ = ["BandOrder", "common_band", "order_from_names", "order_from_option", "parse_bands"]

# STAC common names, the names of index catalogues, and how people write them.
_COMMON = {
    "blue": "blue",
    "green": "green",
    "red": "red",
    "nir": "nir",
    "nir08": "nir",
    "near infrared": "nir",
    "near-infrared": "nir",
    "swir16": "swir1",
    "swir1": "swir1",
    "swir 1": "swir1",
    "swir-1": "swir1",
    "swir_1": "swir1",
    "swir22": "swir2",
    "swir2": "swir2",
    "swir 2": "swir2",
    "swir-2": "swir2",
    "swir_2": "swir2",
}
_CODE = re.compile(r"(?:(SR|TOA|BOA)_)?B(?:AND)?[ _-]?(\d{1,2}A?)", re.IGNORECASE)


@dataclass(frozen=True)
class BandOrder:
    """`indexes` holds the 1-based band number of each of the six bands; `where` says how it was found."""

    indexes: Mapping[str, int]
    sensor: Sensor | None
    where: str


def common_band(name: str) -> str | None:
    """The band of `BANDS` that a plain name such as ``"swir16"`` stands for, or None."""
    return _COMMON.get(name.strip().lower())


def parse_bands(text: str) -> list[str]:
    """The parts of a ``--bands`` option, as ``"blue,green,red,nir,swir1,swir2"`` or ``"2,3,4,5,6,7"``."""
    return [part.strip() for part in text.split(",")]


def order_from_option(bands: Sequence[str | int] | Mapping[str, int], count: int, name: str) -> BandOrder:
    """The order that the user states for the `count` bands of the file `name`.

    `bands` is six numbers (of blue, green, red, nir, swir1, swir2, from 1), or a name for each band of the file in its
    order (names that are none of the six are passed over), or a mapping from name to number.

    Raises:
        InputError: a band is missing, named twice, or numbered beyond the file.
    """
    if isinstance(bands, Mapping):
        pairs = [(str(key), int(value)) for key, value in bands.items()]
    elif all(isinstance(part, int) or part.isdigit() for part in bands):
        if len(bands) != len(BANDS):
            raise InputError(f"--bands: give six numbers, for {', '.join(BANDS)}; there are {len(bands)}")
        pairs = [(band, int(part)) for band, part in zip(BANDS, bands, strict=True)]
    else:
        if len(bands) > count:
            raise InputError(f"--bands names {len(bands)} bands, {name} has {count}")
        pairs = [(str(part), number) for number, part in enumerate(bands, start=1)]
    indexes: dict[str, int] = {}
    for key, number in pairs:
        band = common_band(key)
        if band is None:
            continue
        if band in indexes:
            raise InputError(f"--bands names {band} twice")
        if not 1 <= number <= count:
            raise InputError(f"--bands: {band} is band {number}, but {name} has {count} band{'s' * (count != 1)}")
        indexes[band] = number
    _require_all(indexes, "--bands")
    return BandOrder(indexes, None, "--bands")


def order_from_names(names: Sequence[str | None], sensor: Sensor | None, name: str) -> BandOrder | None:
    """The order that the bands' names (descriptions, variables, asset keys) in `name` give; None if they give none.

    Names are colours (``"blue"``, ``"swir16"``) or band codes (``"B02"``, ``"SR_B2"``). Codes mean different
    bands on different sensors: `sensor` settles it, else the set of codes where it belongs to one order only.

    Raises:
        InputError: the names are of bands, but one of the six is missing, or they fit several sensors.
    """
    indexes: dict[str, int] = {}
    for number, text in enumerate(names, start=1):
        band = common_band(text) if text else None
        if band is not None and (band not in indexes or (text or "").lower() == band):
            indexes[band] = number
    if indexes:
        _require_all(indexes, name)
        return BandOrder(indexes, sensor, "band names")
    codes = {code: number for number, text in enumerate(names, start=1) if text and (code := _code(text))}
    if len(codes) < 2:
        return None
    fitting = [sensor] if sensor else _sensors_for(codes, any((text or "").upper().startswith("SR_") for text in names))
    tables = {tuple(_number(found, codes) for found in each.bands.values()) for each in fitting}
    if len(tables) > 1:
        titles = ", ".join(each.name for each in fitting)
        raise InputError(
            f"{name}: its bands {', '.join(codes)} mean different colours on different sensors ({titles}); "
            "say which with --sensor, or give the order with --bands"
        )
    if not fitting:
        raise InputError(
            f"{name}: its bands {', '.join(codes)} are no known sensor's six bands; give the order with --bands"
        )
    chosen = fitting[0]
    indexes = {band: at for band, code in chosen.bands.items() if (at := _number(code, codes))}
    if "nir" not in indexes and chosen.name == "sentinel-2" and "8A" in codes:
        indexes["nir"] = codes["8A"]
    _require_all(indexes, name)
    known = sensor or (chosen if len({each.name for each in fitting}) == 1 else None)
    return BandOrder(indexes, known, "band names")


def _code(text: str) -> str | None:
    match = _CODE.fullmatch(text.strip()) or _CODE.fullmatch(text.strip().split(" ")[0].split(",")[0])
    return match[2].upper().lstrip("0") if match else None


def _number(code: str, codes: Mapping[str, int]) -> int | None:
    return codes.get(code.upper().removeprefix("B").lstrip("0"))


def _sensors_for(codes: Mapping[str, int], surface: bool) -> list[Sensor]:
    found = [sensor for sensor in SENSORS.values() if all(_number(code, codes) for code in sensor.bands.values())]
    if "11" in codes and "12" in codes:
        if "8" not in codes and "8A" in codes:
            return [SENSORS["hls-s30"]]
        return [sensor for sensor in found if sensor.name == "sentinel-2"]
    # Bands 10 and 11 of Landsat are thermal; TM's and ETM+'s surface reflectance has no band 6, OLI's has.
    if surface and "6" in codes:
        return [sensor for sensor in found if sensor.name == "landsat-oli"]
    return found


def _require_all(indexes: Mapping[str, int], name: str) -> None:
    missing = [band for band in BANDS if band not in indexes]
    if missing:
        raise InputError(f"{name}: no band for {' and '.join(missing)}; the six are {', '.join(BANDS)}")
