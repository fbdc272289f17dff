"""Many water maps of one place: how often each pixel is water, and the area by date."""

from __future__ import annotations

import csv
import datetime
import json
import math
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import narrows
from narrows.errors import BudgetError, InputError
from narrows.rasters.cog import CogSink
from narrows.rasters.gdal import raster_environment
from narrows.units import format_bytes, parse_bytes
from narrows.water.classes import LAND, NO_DATA, PROBABILITY_COLOURS, WATER
from narrows.water.map_files import WaterMap
from narrows.water.outputs import StagedOutputs, check_output
from narrows.water.statistics import Statistics, StatisticsCounter

__all__ = ["Entry", "Series", "SeriesFiles", "add_up", "occurrence", "parse_dates"]

_MOST_ROWS = 512
_CACHE_SPARE = 4 * 2**20
_PICTURE_SIDE = 900
# A pixel's water count and observed count, one map's rows and what is asked of them, and the percentage on its way.
_BYTES_PER_PIXEL = 2 + 2 + 4 + 14
# Drawing, which begins when the rows are gone.
_DRAWING_BYTES = 90_000_000


def parse_dates(text: str, count: int) -> list[datetime.date]:
    """Days with commas between them, ``2019-08-09`` or ``20190809`` each, one for each of `count` scenes.

    Raises:
        InputError: one is no day, or there are fewer or more than scenes.
    """
    days = []
    for part in text.split(","):
        try:
            days.append(datetime.date.fromisoformat(part.strip()))
        except ValueError:
            raise InputError(f"--dates: '{part.strip()}' is no day; write 2019-08-09") from None
    if len(days) != count:
        raise InputError(f"--dates: {len(days)} days for {count} scenes; give one for each, in their order")
    return days


@dataclass(frozen=True)
class Entry:
    """One date of a series: a map and what it shows."""

    day: datetime.date
    name: str
    statistics: Statistics
    aligned: bool = False

    def as_dict(self) -> dict[str, Any]:
        said = {"date": self.day.isoformat(), "name": self.name, **self.statistics.as_dict()}
        return said | {"aligned": self.aligned}


@dataclass(frozen=True)
class SeriesFiles:
    """What a series writes into its folder."""

    folder: Path

    @property
    def occurrence(self) -> Path:
        """Percent of the dates observed on which a pixel was water; 255 where it was never observed."""
        return self.folder / "occurrence.tif"

    @property
    def observed(self) -> Path:
        """On how many dates a pixel was observed."""
        return self.folder / "observed.tif"

    @property
    def table(self) -> Path:
        return self.folder / "area.csv"

    @property
    def summary(self) -> Path:
        return self.folder / "series.json"

    @property
    def areas(self) -> Path:
        return self.folder / "area.png"

    @property
    def picture(self) -> Path:
        return self.folder / "occurrence.png"

    def wanted(self) -> list[Path]:
        return [self.occurrence, self.observed, self.table, self.summary, self.areas, self.picture]

    def check(self, *, overwrite: bool) -> None:
        """Raises OutputError for what can't be written."""
        for path in self.wanted():
            check_output(path, overwrite=overwrite)


@dataclass(frozen=True)
class Series:
    """The dates in order, and pixels of the grid by how often they were water."""

    entries: tuple[Entry, ...]
    pixels: int
    never_observed: int
    always_water: int
    sometimes_water: int

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "dates": [entry.as_dict() for entry in self.entries],
            "pixels": self.pixels,
            "never_observed_pixels": self.never_observed,
            "always_water_pixels": self.always_water,
            "sometimes_water_pixels": self.sometimes_water,
        }


def occurrence(water: NDArray[np.uint16], observed: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """100 x water / observed, rounded; 255 where never observed."""
    share = np.round(water * np.float32(100) / np.maximum(observed, 1))
    return np.where(observed == 0, NO_DATA, share).astype(np.uint8)


def add_up(
    maps: Sequence[Path],
    folder: Path,
    *,
    dates: Sequence[datetime.date] | None = None,
    names: Sequence[str] | None = None,
    align: bool = False,
    by_pixel: bool = False,
    memory: int | str | None = None,
    overwrite: bool = False,
) -> Series:
    """Write the occurrence of water over `maps`, its area by date, and pictures of both into `folder`.

    The same rows of all maps are added up, as many at a time as the budget allows and 512 at most: what is held grows
    neither with the number of maps nor with the height.

    Args:
        dates: one for each map; by default what the maps' tags or names say.
        names: what the table calls each; the files' names without an ending by default.
        align: bring maps on another grid to that of the first (nearest neighbour); otherwise refused.
        by_pixel: take maps without a georeference for maps of the same ground; otherwise refused.
        memory: budget for the whole process.

    Raises:
        NarrowsError: one line in the user's terms; nothing is left behind then.
    """
    files = SeriesFiles(folder)
    files.check(overwrite=overwrite)
    if len(maps) < 2:
        raise InputError("a series has two scenes or more")
    with ExitStack() as stack:
        first = stack.enter_context(WaterMap(maps[0]))
        opened = [first]
        for path in maps[1:]:
            opened.append(
                stack.enter_context(WaterMap(path, on=first.grid, of=first.name, align=align, by_pixel=by_pixel))
            )
        days = list(dates) if dates is not None else [_day(each) for each in opened]
        called = list(names) if names is not None else [path.stem for path in maps]
        height, width = first.grid.height, first.grid.width
        cell = max(1, math.ceil(max(height, width) / _PICTURE_SIDE))
        rows = _rows_at_a_time(opened, width, cell, memory)
        staged = stack.enter_context(StagedOutputs(overwrite=overwrite))
        places = {path: staged.add(path) for path in files.wanted()}
        counters = [StatisticsCounter() for _ in opened]
        picture = _Picture(height, width, cell)
        totals = np.zeros(3, dtype=np.int64)
        tags = {
            "TIFFTAG_SOFTWARE": f"narrows {narrows.__version__}",
            "NARROWS_DATES": ", ".join(sorted(day.isoformat() for day in days)),
        }
        place: dict[str, Any] = {
            "width": width,
            "height": height,
            "crs": first.crs,
            "transform": first.transform,
            "overwrite": True,
        }
        with (
            raster_environment(_cache_bytes(opened, width)),
            CogSink(
                places[files.occurrence],
                nodata=NO_DATA,
                colormap=PROBABILITY_COLOURS,
                tags={**tags, "NARROWS_VALUES": "water in percent of the dates observed; 255 never observed"},
                **place,
            ) as percent_sink,
            CogSink(
                places[files.observed],
                dtype="uint16",
                tags={**tags, "NARROWS_VALUES": "number of dates observed"},
                **place,
            ) as observed_sink,
        ):
            for start in range(0, height, rows):
                stop = min(start + rows, height)
                water = np.zeros((stop - start, width), dtype=np.uint16)
                observed = np.zeros_like(water)
                areas = first.pixel_areas(start, stop)
                for each, counter in zip(opened, counters, strict=True):
                    classes = each.read(start, stop)
                    counter.add(classes, areas)
                    water += classes == WATER
                    observed += (classes == WATER) | (classes == LAND)
                percent = occurrence(water, observed)
                totals += (
                    np.count_nonzero(observed == 0),
                    np.count_nonzero((observed > 0) & (water == observed)),
                    np.count_nonzero((water > 0) & (water < observed)),
                )
                picture.add(start, water, observed)
                percent_sink.write(start, percent[None])
                observed_sink.write(start, observed[None])
        entries = sorted(
            (
                Entry(day, name, counter.result(), each.aligned)
                for day, name, counter, each in zip(days, called, counters, opened, strict=True)
            ),
            key=lambda entry: (entry.day, entry.name),
        )
        series = Series(tuple(entries), height * width, *(int(total) for total in totals))
        _write_table(entries, places[files.table])
        places[files.summary].write_text(json.dumps(series.as_dict(), indent=2) + "\n", encoding="utf-8")
        metres = math.sqrt(float(first.pixel_areas(height // 2, height // 2 + 1)[0])) * cell
        _draw(series, picture, metres if math.isfinite(metres) else None, places[files.areas], places[files.picture])
    return series


def _day(each: WaterMap) -> datetime.date:
    if each.day is None:
        raise InputError(f"{each.name}: neither its tags nor its name say its day; give all of them with --dates")
    return each.day


def _cache_bytes(maps: Sequence[WaterMap], width: int) -> int:
    # Maps are read one after the other over the same rows: a row of tiles of one of them, and of both outputs.
    return max(each.cache_bytes for each in maps) + 3 * 512 * (width + 512) + _CACHE_SPARE


def _rows_at_a_time(maps: Sequence[WaterMap], width: int, cell: int, memory: int | str | None) -> int:
    if memory is None:
        return _MOST_ROWS
    from narrows.streaming.memory import resident_now

    height = maps[0].grid.height
    picture = 8 * (height // cell + 1) * (width // cell + 1)
    # What is written holds a row of tiles of each output as well.
    fixed = resident_now() + _cache_bytes(maps, width) + 3 * 512 * (width + 512) + picture + _DRAWING_BYTES
    budget = parse_bytes(memory)
    rows = (budget - fixed) // (_BYTES_PER_PIXEL * width)
    if rows < 1:
        smallest = fixed + _BYTES_PER_PIXEL * width
        raise BudgetError(
            f"--memory {memory}: adding up {len(maps)} maps of {width} columns needs {format_bytes(smallest)}", smallest
        )
    return int(min(rows, _MOST_ROWS))


class _Picture:
    """Water and observed counts summed over square cells."""

    def __init__(self, height: int, width: int, cell: int):
        self._cell, self._edges = cell, np.arange(0, width, cell)
        self._water = np.zeros((math.ceil(height / cell), len(self._edges)), dtype=np.float32)
        self._observed = np.zeros_like(self._water)

    def add(self, start: int, water: NDArray[np.uint16], observed: NDArray[np.uint16]) -> None:
        for row in range(len(water)):
            into = (start + row) // self._cell
            for total, counts in ((self._water, water), (self._observed, observed)):
                total[into] += np.add.reduceat(counts[row].astype(np.float32), self._edges)

    def percent(self) -> NDArray[np.float32]:
        """(h, w), NaN where never observed."""
        seen = self._observed > 0
        return np.where(seen, 100 * self._water / np.maximum(self._observed, 1), np.nan).astype(np.float32)


def _write_table(entries: Sequence[Entry], path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(entries[0].as_dict()), lineterminator="\n")
        writer.writeheader()
        writer.writerows(entry.as_dict() for entry in entries)


def _draw(series: Series, picture: _Picture, metres: float | None, areas: Path, occurrence_path: Path) -> None:
    from narrows.water.pictures import save_areas, save_occurrence

    entries = series.entries
    save_areas(entries, areas)
    title = f"Water occurrence, {entries[0].day.isoformat()} to {entries[-1].day.isoformat()}"
    line = (
        f"{len(entries)} dates; water on all dates observed {series.always_water / series.pixels:.1%} of the pixels, "
        f"on some {series.sometimes_water / series.pixels:.1%}"
    )
    save_occurrence(picture.percent(), title, line, metres, occurrence_path)
