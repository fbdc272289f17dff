"""Areas of a water map by true pixel area."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from narrows.errors import OutputError
from narrows.water.classes import HIDDEN, LAND, NO_DATA, WATER

__all__ = ["Statistics", "StatisticsCounter", "check_statistics_path", "write_statistics"]

_M2_PER_KM2 = 1e6


@dataclass(frozen=True)
class Statistics:
    """What a map shows. Areas in km² by true pixel area, shares of the area asked for (the scene, or what
    --aoi leaves).

    `water_share_of_observed` is water over water and land; None where nothing was observed.
    """

    water_km2: float
    land_km2: float
    hidden_km2: float
    no_data_km2: float
    water_pixels: int
    land_pixels: int
    hidden_pixels: int
    no_data_pixels: int

    @property
    def total_km2(self) -> float:
        return self.water_km2 + self.land_km2 + self.hidden_km2 + self.no_data_km2

    @property
    def water_share_of_observed(self) -> float | None:
        observed = self.water_km2 + self.land_km2
        return self.water_km2 / observed if observed else None

    @property
    def hidden_share(self) -> float:
        return self.hidden_km2 / self.total_km2 if self.total_km2 else 0.0

    @property
    def no_data_share(self) -> float:
        return self.no_data_km2 / self.total_km2 if self.total_km2 else 0.0

    @property
    def not_observed_share(self) -> float:
        return self.hidden_share + self.no_data_share

    def as_dict(self) -> dict[str, float | int | None]:
        """Every figure by name, for JSON or a table."""
        names = ("water", "land", "hidden", "no_data")
        figures: dict[str, float | int | None] = {f"{n}_km2": round(getattr(self, f"{n}_km2"), 6) for n in names}
        figures |= {f"{n}_pixels": getattr(self, f"{n}_pixels") for n in names}
        share = self.water_share_of_observed
        figures["water_share_of_observed"] = None if share is None else round(share, 6)
        figures |= {f"{n}_share": round(getattr(self, f"{n}_share"), 6) for n in ("hidden", "no_data", "not_observed")}
        return figures

    def line(self) -> str:
        """One line for people."""
        share = self.water_share_of_observed
        said = [f"water {self.water_km2:,.2f} km²"]
        if share is not None:
            said[0] += f", {share:.1%} of what was observed"
        if self.hidden_pixels:
            said.append(f"{self.hidden_share:.1%} hidden by cloud or shadow")
        if self.no_data_pixels:
            said.append(f"{self.no_data_share:.1%} without data")
        return "; ".join(said)


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
            self._areas += counts * area

    def result(self) -> Statistics:
        km2 = self._areas / _M2_PER_KM2
        classes = (WATER, LAND, HIDDEN, NO_DATA)
        return Statistics(*(float(km2[c]) for c in classes), *(int(self._pixels[c]) for c in classes))


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
