"""What changed between two water maps: gain, loss, and what can't be compared."""

from __future__ import annotations

import datetime
import json
import logging
import math
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import narrows
from narrows.errors import OutputError
from narrows.rasters.cog import CogSink
from narrows.rasters.gdal import raster_environment
from narrows.water.classes import HIDDEN, LAND, NO_DATA, WATER, Colour
from narrows.water.map_files import WaterMap
from narrows.water.outputs import StagedOutputs
from narrows.water.quicklook import ClassShares
from narrows.water.statistics import StatisticsCounter, percent

__all__ = ["CHANGES", "Change", "ChangeFiles", "changes", "compare_maps"]

logger = logging.getLogger(__name__)

_ROWS = 512
_CACHE_SPARE = 4 * 2**20

STABLE_LAND, STABLE_WATER, GAIN, LOSS, NOT_COMPARABLE = 0, 1, 2, 3, 254
CHANGES: dict[int, tuple[str, Colour]] = {
    STABLE_LAND: ("land in both", (226, 224, 217, 255)),
    STABLE_WATER: ("water in both", (18, 92, 173, 255)),
    GAIN: ("gain", (32, 156, 120, 255)),
    LOSS: ("loss", (196, 62, 44, 255)),
    NOT_COMPARABLE: ("not comparable", (237, 184, 107, 255)),
    NO_DATA: ("no data in both", (0, 0, 0, 0)),
}
"""The classes of a change map: their names and colours."""


def changes(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The change map of two water maps (n, width): 0 land in both, 1 water in both, 2 gain, 3 loss, 254 where either
    is unobserved, 255 where both are without data."""
    seen = (before <= WATER) & (after <= WATER)
    both = np.where(after == WATER, np.where(before == WATER, STABLE_WATER, GAIN), 0)
    both = np.where((before == WATER) & (after == LAND), LOSS, both)
    unseen = np.where((before == NO_DATA) & (after == NO_DATA), NO_DATA, HIDDEN)
    return np.where(seen, both, unseen).astype(np.uint8)


@dataclass(frozen=True)
class ChangeFiles:
    """Where the change map goes, a GeoTIFF, and the picture and the figures if wanted."""

    change: Path
    quicklook: Path | None = None
    statistics: Path | None = None

    def check(self, *, overwrite: bool) -> None:
        """Refuse, before any work, what can't be written.

        Raises:
            OutputError: an ending names no format, or see `check_output_path`.
        """
        from narrows.water.outputs import check_output

        for path, endings in (
            (self.change, (".tif", ".tiff")),
            (self.quicklook, (".png",)),
            (self.statistics, (".json",)),
        ):
            if path is None:
                continue
            if path.suffix.lower() not in endings:
                raise OutputError(f"{path.name}: this output is written as {endings[0]}")
            check_output(path, overwrite=overwrite)

    def wanted(self) -> list[Path]:
        return [path for path in (self.change, self.quicklook, self.statistics) if path is not None]


@dataclass(frozen=True)
class Change:
    """What changed from `before` to `after`: pixels and km² of each class of `CHANGES`, by its name.

    The km² are None where nothing tells the size of a pixel. `aligned`: the second map was brought to the first's grid.
    `days`: of the two scenes, by the maps' tags or names, each None where neither says it.
    """

    before: str
    after: str
    aligned: bool
    pixels: dict[str, int]
    km2: dict[str, float | None]
    days: tuple[datetime.date | None, datetime.date | None] = (None, None)

    @property
    def not_comparable_share(self) -> float:
        """Of what either map shows."""
        whole = sum(self.pixels.values()) - self.pixels["no data in both"]
        return self.pixels["not comparable"] / whole if whole else 0.0

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "before": self.before,
            "after": self.after,
            "dates": [None if day is None else day.isoformat() for day in self.days],
            "aligned": self.aligned,
            "classes": {name: {"pixels": self.pixels[name], "km2": self.km2[name]} for name in self.pixels},
            "not_comparable_share": round(self.not_comparable_share, 6),
        }

    def line(self) -> str:
        """One line for people."""
        said = [f"{name} {self.amount(name)}" for name in ("gain", "loss", "water in both")]
        return f"{', '.join(said)}; {percent(self.not_comparable_share)} not comparable"

    def amount(self, name: str) -> str:
        """The class `name` in km², or in pixels."""
        area = self.km2[name]
        return f"{self.pixels[name]:,} pixels" if area is None else f"{area:,.2f} km²"


def compare_maps(
    before: Path,
    after: Path,
    files: ChangeFiles,
    *,
    names: tuple[str, str] | None = None,
    align: bool = False,
    by_pixel: bool = False,
    overwrite: bool = False,
) -> Change:
    """Write what changed between two water maps; rows of 512 pixels are held at a time.

    Args:
        before: the earlier water map, as `narrows water` writes it.
        after: the later one.
        names: what outputs call the two. The files' names without an ending by default.
        align: bring `after` to the grid of `before` (nearest neighbour) where it lies on another; otherwise refused.
        by_pixel: take two maps without a georeference for maps of the same ground; otherwise refused.

    Raises:
        NarrowsError: one line in the user's terms; nothing is left behind then.
    """
    files.check(overwrite=overwrite)
    names = names or (before.stem, after.stem)
    counter = StatisticsCounter()
    with ExitStack() as opened:
        first = opened.enter_context(WaterMap(before))
        second = opened.enter_context(WaterMap(after, on=first.grid, of=first.name, align=align, by_pixel=by_pixel))
        if first.day is not None and second.day is not None and second.day < first.day:
            logger.warning("%s is of %s, before %s of %s: gain is loss", names[1], second.day, names[0], first.day)
        height, width = first.grid.height, first.grid.width
        shares = ClassShares(height, width, tuple(CHANGES))
        tags = {
            "TIFFTAG_SOFTWARE": f"narrows {narrows.__version__}",
            "NARROWS_VALUES": ", ".join(f"{value} {name}" for value, (name, _) in CHANGES.items()),
            "NARROWS_BEFORE": names[0],
            "NARROWS_AFTER": names[1] + (", brought to the first map's grid" if second.aligned else ""),
        }
        staged = opened.enter_context(StagedOutputs(overwrite=overwrite))
        places = {path: staged.add(path) for path in files.wanted()}
        cache = first.cache_bytes + second.cache_bytes + _CACHE_SPARE + 2 * _ROWS * width
        with (
            raster_environment(cache),
            CogSink(
                places[files.change], width=width, height=height, crs=first.crs, transform=first.transform,
                nodata=NO_DATA, tags=tags, colormap={value: colour for value, (_, colour) in CHANGES.items()},
                overwrite=True,
            ) as sink,
        ):  # fmt: skip
            for start in range(0, height, _ROWS):
                stop = min(start + _ROWS, height)
                rows = changes(first.read(start, stop), second.read(start, stop))
                counter.add(rows, first.pixel_areas(start, stop))
                shares.add(start, rows)
                sink.write(start, rows[None])
        pixels, km2 = counter.by_value()
        change = Change(
            *names,
            second.aligned,
            {name: int(pixels[value]) for value, (name, _) in CHANGES.items()},
            {name: None if math.isnan(km2[value]) else float(km2[value]) for value, (name, _) in CHANGES.items()},
            (first.day, second.day),
        )
        if files.quicklook:
            from narrows.water.pictures import save_change

            metres = math.sqrt(float(first.pixel_areas(height // 2, height // 2 + 1)[0])) * shares.cell
            save_change(shares, change, metres if math.isfinite(metres) else None, places[files.quicklook])
        if files.statistics:
            places[files.statistics].write_text(json.dumps(change.as_dict(), indent=2) + "\n", encoding="utf-8")
    return change
