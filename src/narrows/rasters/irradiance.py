"""Radiance to top-of-atmosphere reflectance, for products whose metadata give radiance alone."""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping

__all__ = ["SOLAR_IRRADIANCE", "earth_sun_distance", "radiance_to_reflectance"]

# Mean exoatmospheric solar irradiance, W / (m² µm), of bands 1, 2, 3, 4, 5, 7: Chander, Markham, Helder, Summary of
# current radiometric calibration coefficients for Landsat MSS, TM, ETM+, and EO-1 ALI sensors, Remote Sensing of
# Environment 113 (2009) 893-903.
SOLAR_IRRADIANCE: Mapping[str, Mapping[str, float]] = {
    "LANDSAT_4": {"B1": 1983.0, "B2": 1795.0, "B3": 1539.0, "B4": 1028.0, "B5": 219.8, "B7": 83.49},
    "LANDSAT_5": {"B1": 1983.0, "B2": 1796.0, "B3": 1536.0, "B4": 1031.0, "B5": 220.0, "B7": 83.44},
    "LANDSAT_7": {"B1": 1997.0, "B2": 1812.0, "B3": 1533.0, "B4": 1039.0, "B5": 230.8, "B7": 84.90},
}


def earth_sun_distance(day: datetime.date) -> float:
    """Astronomical units: 1 - 0.01672 cos(0.9856° (day of the year - 4)), right to some 0.0003."""
    return 1 - 0.01672 * math.cos(math.radians(0.9856 * (day.timetuple().tm_yday - 4)))


def radiance_to_reflectance(irradiance: float, distance: float, sun_elevation: float) -> float:
    """The factor from radiance, W / (m² sr µm), to reflectance: pi d² / (ESUN sin(sun elevation in degrees))."""
    return math.pi * distance**2 / (irradiance * math.sin(math.radians(sun_elevation)))
