"""The six bands, and which band of each sensor they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from narrows.errors import InputError

__all__ = ["BANDS", "FIRST_FOUR", "SENSORS", "SHORTWAVE", "UNKNOWN_SENSOR", "Sensor", "find_sensor"]

BANDS = ("blue", "green", "red", "nir", "swir1", "swir2")
FIRST_FOUR, SHORTWAVE = BANDS[:4], BANDS[4:]
"""What every scene has to have, and what it may lack: both of shortwave infrared, not one of them."""


@dataclass(frozen=True)
class Sensor:
    """A sensor: its name, the product band of each of the six `BANDS`, and the order in which its products list bands.

    `scale`, `offset` and `fill` are set where all of the sensor's products have the same.
    """

    name: str
    title: str
    bands: Mapping[str, str]
    order: tuple[str, ...] = ()
    scale: float | None = None
    offset: float | None = None
    fill: float | None = None


def _table(*names: str) -> dict[str, str]:
    return dict(zip(BANDS, names, strict=True))


_TM_ORDER = ("B1", "B2", "B3", "B4", "B5", "B6", "B7")
_OLI_ORDER = ("B1", "B2", "B3", "B4", "B5", "B6", "B7")
_MSI_ORDER = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")

SENSORS: Mapping[str, Sensor] = {
    sensor.name: sensor
    for sensor in (
        Sensor("landsat-tm", "Landsat 4-5 TM", _table("B1", "B2", "B3", "B4", "B5", "B7"), _TM_ORDER),
        Sensor("landsat-etm", "Landsat 7 ETM+", _table("B1", "B2", "B3", "B4", "B5", "B7"), _TM_ORDER),
        Sensor("landsat-oli", "Landsat 8-9 OLI", _table("B2", "B3", "B4", "B5", "B6", "B7"), _OLI_ORDER),
        Sensor("sentinel-2", "Sentinel-2 MSI", _table("B02", "B03", "B04", "B08", "B11", "B12"), _MSI_ORDER),
        Sensor(
            "hls-l30",
            "HLS L30",
            _table("B02", "B03", "B04", "B05", "B06", "B07"),
            scale=0.0001,
            offset=0.0,
            fill=-9999,
        ),
        Sensor(
            "hls-s30",
            "HLS S30",
            _table("B02", "B03", "B04", "B8A", "B11", "B12"),
            scale=0.0001,
            offset=0.0,
            fill=-9999,
        ),
    )
}

UNKNOWN_SENSOR = Sensor("unknown", "a sensor that isn't named", _table(*BANDS))

_ALIASES = {
    "tm": "landsat-tm",
    "landsat-4": "landsat-tm",
    "landsat-5": "landsat-tm",
    "etm": "landsat-etm",
    "etm+": "landsat-etm",
    "landsat-7": "landsat-etm",
    "oli": "landsat-oli",
    "landsat-8": "landsat-oli",
    "landsat-9": "landsat-oli",
    "msi": "sentinel-2",
    "s2": "sentinel-2",
    "sentinel-2a": "sentinel-2",
    "sentinel-2b": "sentinel-2",
    "sentinel-2c": "sentinel-2",
}


def find_sensor(name: str) -> Sensor:
    """The sensor called `name`, one of `SENSORS` or a usual other name (``tm``, ``landsat-8``, ``msi``).

    Raises:
        InputError: no such sensor.
    """
    key = name.strip().lower().replace("_", "-").replace(" ", "-")
    sensor = SENSORS.get(_ALIASES.get(key, key))
    if sensor is None:
        raise InputError(f"--sensor {name}: unknown; the known ones are {', '.join(SENSORS)}")
    return sensor
