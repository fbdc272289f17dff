"""Measured spectra of land covers, and the bands of the simulated sensors (tables/spectra.npz)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from narrows.errors import InputError

__all__ = ["SENSORS", "SPLITS", "Library", "check_split", "read_library", "to_bands"]

Array = NDArray[np.float64]

SPLITS = ("train", "test")
SENSORS = {
    "train": ("landsat-5", "landsat-7", "landsat-8", "sentinel-2a"),
    "test": ("landsat-4", "landsat-9", "sentinel-2b", "modis"),
}
"""The sensors of each split."""

_TABLES = Path(__file__).with_name("tables")


def check_split(split: str) -> str:
    """Return `split`, or raise `InputError` where it is neither "train" nor "test"."""
    if split not in SPLITS:
        raise InputError(f"split {split!r} is not known; it is one of {', '.join(SPLITS)}")
    return split


@dataclass(frozen=True)
class Library:
    """One split's measured spectra at one sensor's bands.

    Attributes:
        reflectance: float64 (n, 6). cover: the class of each, (n,), one of `covers`. name: as `earthlib` calls them.
    """

    reflectance: Array
    cover: NDArray[np.str_]
    name: NDArray[np.bytes_]

    def of(self, cover: str) -> Array:
        """All spectra of a cover, (n, 6)."""
        return self.reflectance[self.cover == cover]

    def draw(self, draw: np.random.Generator, cover: str, *, darkness: float | None = None) -> Array:
        """One spectrum, (6,); with `darkness` the one at that quantile of mean reflectance, give or take a tenth."""
        found = self.of(cover)
        if darkness is None:
            return found[draw.integers(len(found))]
        order = np.argsort(found.mean(1))
        place = np.clip(darkness + draw.uniform(-0.1, 0.1), 0, 1)
        return found[order[round(place * (len(order) - 1))]]


@cache
def _tables() -> dict[str, NDArray[np.generic]]:
    with np.load(_TABLES / "spectra.npz") as data:
        return {name: data[name] for name in data.files}


@cache
def _sensor_index() -> dict[str, int]:
    return {str(name): k for k, name in enumerate(_tables()["sensors"])}


def _sensor(name: str) -> int:
    try:
        return _sensor_index()[name]
    except KeyError:
        raise InputError(
            f"sensor {name!r} can't be simulated; the known ones are {', '.join(_sensor_index())}"
        ) from None


@cache
def read_library(sensor: str, split: str) -> Library:
    """The spectra of a split at a sensor's six bands.

    Raises:
        InputError: for a sensor or split that isn't known.
    """
    table, chosen = _tables(), _tables()["test"] == (check_split(split) == "test")
    return Library(
        table["reflectance"][chosen, _sensor(sensor)] / 10_000.0,
        table["covers"][table["cover"]][chosen].astype(str),
        table["name"][chosen],
    )


def to_bands(sensor: str, spectrum: Array) -> Array:
    """(..., 6) band reflectance of spectra (..., w) on `absorption.WAVELENGTHS`."""
    return np.asarray(spectrum) @ _tables()["weights"][_sensor(sensor)].T.astype(np.float64)
