"""Areas of a water map by true pixel area."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from narrows.errors import OutputError
from narrows.water.classes import HIDDEN, LAND, NO_DATA, WATER

__all__ = ["Statistics", "StatisticsCounter", "check_statistics_path", "percent", "write_statistics"]

_M2_PER_KM2 = 1e6
_NAMES = ("water", "land", "hidden", "no_data")


@dataclass(frozen=True)
class Statistics:
    """What a map shows of the area asked for: the scene, or what --aoi leaves of it.

    Areas are in km² by true pixel area, and NaN where nothing tells how large a pixel is; shares are then of
    pixels.
    """

    water_km2: float
    land_km2: float
    hidden_km2: float
    no_data_km2: float
    water_pixels: int
    land_pixels: int
    hidden_pixels: int
    no_data_pixels: int

    def _share(self, parts: Sequence[str], of: Sequence[str]) -> float | None:
        unit = "pixels" if math.isnan(self.water_km2) else "km2"
        whole = sum(getattr(self, f"{name}_{unit}") for name in of)
        return sum(getattr(self, f"{name}_{unit}") for name in parts) / whole if whole else None

    @property
    def water_share_of_observed(self) -> float | None:
        """Water over water and land; None where nothing was observed."""
        return self._share(["water"], ["water", "land"])

    @property
    def hidden_share(self) -> float:
        return self._share(["hidden"], _NAMES) or 0.0

    @property
    def no_data_share(self) -> float:
        return self._share(["no_data"], _NAMES) or 0.0

    @property
    def not_observed_share(self) -> float:
        return self._share(["hidden", "no_data"], _NAMES) or 0.0

    def as_dict(self) -> dict[str, float | int | None]:
        """Every figure by name, for JSON or a table; None for what isn't known."""
        figures: dict[str, float | int | None] = {}
        for name in _NAMES:
            area = getattr(self, f"{name}_km2")
            figures[f"{name}_km2"] = None if math.isnan(area) else round(area, 6)
        figures |= {f"{name}_pixels": getattr(self, f"{name}_pixels") for name in _NAMES}
        share = self.water_share_of_observed
        figures["water_share_of_observed"] = None if share is None else round(share, 6)
        for name in ("hidden", "no_data", "not_observed"):
            figures[f"{name}_share"] = round(getattr(self, f"{name}_share"), 6)
        return figures

    def line(self) -> str:
        """One line for people."""
        pixels = math.isnan(self.water_km2)
        said = [f"water {self.water_pixels:,} pixels" if pixels else f"water {self.water_km2:,.2f} km²"]
        if (share := self.water_share_of_observed) is not None:
            said[0] += f", {percent(share)} of what was observed"
        if self.hidden_pixels:
            said.append(f"{percent(self.hidden_share)} hidden by cloud or shadow")
        if self.no_data_pixels:
            said.append(f"{percent(self.no_data_share)} without data")
        return "; ".join(said)


def percent(share: float) -> str:
    """A share in words: one decimal, and ``"under 0.1%"`` where that would say nothing."""
    return "under 0.1%" if 0 < share < 0.001 else f"{share:.1%}"


class StatisticsCounter:
    """Counts classes row by row. Pixels of any value but the four classes are not part of the area asked
    for.
    """

    def __init__(self) -> None:
        self._areas = np.zeros(256)
        self._pixels = np.zeros(256, dtype=np.int64)

    def add(self, mask: NDArray[np.uint8], row_areas: NDArray[np.float64]) -> None:
        """Take mask rows (n, width) and the area of a pixel in each row (n,) in square metres."""
        for row, area in zip(mask, row_areas, strict=True):
            counts = np.bincount(row, minlength=256)
            self._pixels += counts
            self._areas += counts * area  # NaN for every class where the area isn't known

    def by_value(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Pixels and km² of each of the 256 values."""
        return self._pixels.copy(), self._areas / _M2_PER_KM2

    def result(self) -> Statistics:
        _, km2 = self.by_value()
        classes = (WATER, LAND, HIDDEN, NO_DATA)
        areas = {f"{name}_km2": float(km2[value]) for name, value in zip(_NAMES, classes, strict=True)}
        pixels = {f"{name}_pixels": int(self._pixels[value]) for name, value in zip(_NAMES, classes, strict=True)}
        return Statistics(**areas, **pixels)  # type: ignore[arg-type]


def check_statistics_path(path: Path) -> None:
    """Raises OutputError unless `path` ends in .json or .csv."""
    if path.suffix.lower() not in (".json", ".csv"):
        raise OutputError(f"{path.name}: statistics are written as .json or .csv")


def write_statistics(statistics: Statistics, path: Path, **more: object) -> None:
    """Write the figures, after `more`, to a .json or .csv file (one header line, one line)."""
    check_statistics_path(path)
    figures = {**more, **statistics.as_dict()}
    if path.suffix.lower() == ".json":
        path.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
        return
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(figures))
        writer.writeheader()
        writer.writerow(figures)
