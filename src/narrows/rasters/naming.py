"""Which band of a file is blue, green, red, nir, swir1 and swir2, from the names that the file or the user gives."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from narrows.errors import InputError
from narrows.rasters.sensors import BANDS, FIRST_FOUR, SENSORS, SHORTWAVE, Sensor

__all__ = [
    "BandOrder",
    "common_band",
    "may_be_shortwave",
    "order_from_names",
    "order_from_option",
    "parse_bands",
    "require_bands",
]

# STAC common names, the names of index catalogues, and how people write them.
_COMMON = {
    "blue": "blue",
    "green": "green",
    "red": "red",
    "nir": "nir",
    "nir1": "nir",
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
    """`indexes` holds the 1-based number of each of the six bands, or of the first four where there is no shortwave
    infrared; `where` says how it was found."""

    indexes: Mapping[str, int]
    sensor: Sensor | None
    where: str

    @property
    def bands(self) -> tuple[str, ...]:
        """Those of `BANDS` that there are, in this order."""
        return tuple(band for band in BANDS if band in self.indexes)


def common_band(name: str) -> str | None:
    """The band of `BANDS` that a plain name such as ``"swir16"`` stands for, or None."""
    return _COMMON.get(name.strip().lower())


def parse_bands(text: str) -> list[str]:
    """The parts of a ``--bands`` option, as ``"blue,green,red,nir,swir1,swir2"`` or ``"2,3,4,5,6,7"``."""
    return [part.strip() for part in text.split(",")]


def order_from_option(bands: Sequence[str | int] | Mapping[str, int], count: int, name: str) -> BandOrder:
    """The order that the user states for the `count` bands of the file `name`.

    `bands` is six numbers (of blue, green, red, nir, swir1, swir2, from 1), or four (without shortwave infrared), or a
    name for each band of the file in its order (names that are none of the six are passed over), or a mapping from name
    to number.

    Raises:
        InputError: a band is missing, named twice, or numbered beyond the file.
    """
    if isinstance(bands, Mapping):
        pairs = [(str(key), int(value)) for key, value in bands.items()]
    elif all(isinstance(part, int) or part.isdigit() for part in bands):
        if len(bands) not in (len(FIRST_FOUR), len(BANDS)):
            raise InputError(
                f"--bands: give six numbers, for {', '.join(BANDS)}, or four, for the first four; there are "
                f"{len(bands)}"
            )
        pairs = [(band, int(part)) for band, part in zip(BANDS, bands, strict=False)]
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
    require_bands(indexes, "--bands")
    return BandOrder(indexes, None, "--bands")


def order_from_names(names: Sequence[str | None], sensor: Sensor | None, name: str) -> BandOrder | None:
    """The order that the bands' names (descriptions, variables, asset keys) in `name` give; None if they give none.

    Names are colours (``"blue"``, ``"swir16"``) or band codes (``"B02"``, ``"SR_B2"``). Codes mean different
    bands on different sensors: `sensor` settles it, else the set of codes where it belongs to one order only. There may
    be no shortwave infrared.

    Raises:
        InputError: the names are of bands, but one that is needed is missing, or they fit several sensors.
    """
    indexes: dict[str, int] = {}
    for number, text in enumerate(names, start=1):
        band = common_band(text) if text else None
        if band is not None and (band not in indexes or (text or "").lower() == band):
            indexes[band] = number
    if indexes:
        require_bands(indexes, name, names)
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
            f"{name}: its bands {', '.join(codes)} are no known sensor's; give the order with --bands, as 1,2,3,4,5,6, "
            "or as 1,2,3,4 for blue, green, red, nir alone"
        )
    chosen = fitting[0]
    indexes = {band: at for band, code in chosen.bands.items() if (at := _number(code, codes))}
    if "nir" not in indexes and chosen.name == "sentinel-2" and "8A" in codes:
        indexes["nir"] = codes["8A"]
    require_bands(indexes, name)
    known = sensor or (chosen if len({each.name for each in fitting}) == 1 else None)
    return BandOrder(indexes, known, "band names")


def _code(text: str) -> str | None:
    match = _CODE.fullmatch(text.strip()) or _CODE.fullmatch(text.strip().split(" ")[0].split(",")[0])
    return match[2].upper().lstrip("0") if match else None


def _number(code: str, codes: Mapping[str, int]) -> int | None:
    return codes.get(code.upper().removeprefix("B").lstrip("0"))


def _sensors_for(codes: Mapping[str, int], surface: bool) -> list[Sensor]:
    found = [sensor for sensor in SENSORS.values() if all(_number(code, codes) for code in sensor.bands.values())]
    if "8A" in codes or (not found and set(codes) == {"2", "3", "4", "8"}):
        # Sentinel-2's own, also without shortwave infrared. Of other sensors' codes, four alone don't tell which.
        return [SENSORS["sentinel-2" if "8" in codes else "hls-s30"]]
    if "11" in codes and "12" in codes:
        return [sensor for sensor in found if sensor.name == "sentinel-2"]
    # Bands 10 and 11 of Landsat are thermal; TM's and ETM+'s surface reflectance has no band 6, OLI's has.
    if surface and "6" in codes:
        return [sensor for sensor in found if sensor.name == "landsat-oli"]
    return found


def require_bands(indexes: Mapping[str, int], name: str, names: Sequence[str | None] = ()) -> None:
    """Refuse bands that are neither all six nor the first four.

    Args:
        indexes: of the bands found. names: of all bands, where they were found by name: where two that tell nothing may
            be the shortwave infrared, that isn't taken to be absent.

    Raises:
        InputError: a band is missing.
    """
    missing = [band for band in BANDS if band not in indexes]
    if missing == list(SHORTWAVE):
        doubtful = may_be_shortwave(names)
        if len(doubtful) >= len(SHORTWAVE):
            raise InputError(
                f"{name}: no band for swir1 and swir2, unless they are among {', '.join(doubtful)}; say with --bands "
                "which bands are which"
            )
        return
    if missing:
        needed = [band for band in missing if band in FIRST_FOUR] if set(SHORTWAVE) <= set(missing) else missing
        raise InputError(
            f"{name}: no band for {' and '.join(needed)}; the six are {', '.join(BANDS)}, of which both swir1 and "
            "swir2 may be missing, but no other"
        )


def may_be_shortwave(names: Sequence[str | None]) -> list[str]:
    """Those of a file's band names that could stand for shortwave infrared: none at all, such a word, or a code."""
    found = []
    for number, text in enumerate(names, start=1):
        word = (text or "").strip().lower()
        if common_band(word) is None and (not word or "swir" in word or "short" in word or _code(word)):
            found.append(word or f"band {number} without a name")
    return found
