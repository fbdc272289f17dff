"""What the air adds and takes: reflectance at the top of the atmosphere and back, from tables made with 6S.

For a ground of reflectance r the sensor sees, in 6S's own terms, gas (path + down up r / (1 - albedo r)).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from narrows.errors import InputError

__all__ = ["AEROSOLS", "PROFILES", "Air", "air"]

Array = NDArray[np.float32]

AEROSOLS = ("continental", "maritime")
PROFILES = ("subarctic winter", "midlatitude summer", "tropical")
_STANDS_FOR = {"landsat-4": "landsat-5", "landsat-9": "landsat-8", "sentinel-2b": "sentinel-2a"}
"""Sensors whose bands differ so little from another's that its atmosphere serves."""
_PARTS = ("path", "down", "up", "albedo", "gas", "diffuse")


@dataclass(frozen=True)
class Air:
    """The air under a given sun at a sensor's bands, each float32 (6,).

    Attributes:
        path: reflectance of the air alone. down, up: scattering transmittances. albedo: of the air seen from below.
        gas: transmittance of its gases, both ways. diffuse: share of the light at the ground that comes from the sky.
    """

    path: Array
    down: Array
    up: Array
    albedo: Array
    gas: Array
    diffuse: Array

    def seen(self, ground: Array) -> Array:
        """Reflectance at the top of the atmosphere over ground (6, ...)."""
        path, through, albedo, gas = (
            _column(x, ground) for x in (self.path, self.down * self.up, self.albedo, self.gas)
        )
        return gas * (path + through * ground / (1 - albedo * ground))

    def ground(self, seen: Array) -> Array:
        """The inverse of `seen`: surface reflectance (6, ...)."""
        path, through, albedo, gas = (_column(x, seen) for x in (self.path, self.down * self.up, self.albedo, self.gas))
        net = (seen / gas - path) / through
        return net / (1 + albedo * net)


def _column(x: Array, like: Array) -> Array:
    return x.reshape(6, *(1,) * (like.ndim - 1))


@cache
def _table() -> dict[str, NDArray[np.float32]]:
    with np.load(Path(__file__).with_name("tables") / "atmosphere.npz") as data:
        return {name: data[name] for name in data.files}


def air(
    sensor: str, zenith: float, depth: float, aerosol: str = "continental", profile: str = "midlatitude summer"
) -> Air:
    """The air at a sensor's bands, interpolated in the table.

    Args:
        zenith: of the sun, 10 to 70 degrees. depth: of the aerosol at 550 nm, 0.05 to 1. Beyond, the nearest is taken.
        aerosol: one of `AEROSOLS`. profile: one of `PROFILES`; only gases depend on it.

    Raises:
        InputError: for a sensor, aerosol or profile that isn't known.
    """
    table = _table()
    known = [str(s) for s in table["sensors"]]
    name = _STANDS_FOR.get(sensor, sensor)
    if name not in known or aerosol not in AEROSOLS or profile not in PROFILES:
        raise InputError(f"there is no simulated air for {sensor}, {aerosol}, {profile}")
    s, a = known.index(name), AEROSOLS.index(aerosol)
    d = float(np.interp(depth, table["depths"], np.arange(len(table["depths"]))))
    # Along the sun's way through the air, not its angle, the table is nearly straight.
    ways = 1 / np.cos(np.radians(table["zeniths"]))
    z = float(np.interp(1 / np.cos(np.radians(min(zenith, 80))), ways, np.arange(len(ways))))
    i, j = min(int(d), len(table["depths"]) - 2), min(int(z), len(ways) - 2)
    parts = {}
    for part in _PARTS:
        grid = table[part][s, a, i : i + 2, j : j + 2].astype(np.float64)
        lines = grid[0] + (d - i) * (grid[1] - grid[0])
        parts[part] = lines[0] + (z - j) * (lines[1] - lines[0])
    gases = table["gas_by_profile"][s]
    parts["gas"] = parts["gas"] * gases[PROFILES.index(profile)] / gases[PROFILES.index("midlatitude summer")]
    return Air(**{k: v.astype(np.float32) for k, v in parts.items()})
