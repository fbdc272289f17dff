"""Occurrence and areas of a few maps made by hand."""

from __future__ import annotations

import csv
import datetime
import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image
from rio_cogeo import cog_validate
from tests.builders.geotiff import write_raster

from narrows.errors import BudgetError, InputError, OutputError
from narrows.water.series import add_up, occurrence, parse_dates

# One pixel a column: always, two of three, one of two seen, never, never seen, seen once as water.
DATES = {
    "20200101": [1, 1, 254, 0, 255, 254],
    "20190601": [1, 0, 1, 0, 254, 1],
    "20210101": [1, 1, 0, 0, 255, 254],
}
PERCENT = [100, 67, 50, 0, 255, 100]
OBSERVED = [3, 3, 2, 3, 0, 1]


@pytest.fixture
def maps(tmp_path: Path) -> list[Path]:
    folder = tmp_path / "maps"
    return [
        write_raster(folder / f"pond_{day}_water.tif", np.array([row] * 700, np.uint8), nodata=255)
        for day, row in DATES.items()
    ]


def test_occurrence_by_hand() -> None:
    water, seen = np.array([[3, 2, 1, 0, 0]], np.uint16), np.array([[3, 3, 2, 3, 0]], np.uint16)
    np.testing.assert_array_equal(occurrence(water, seen), [[100, 67, 50, 0, 255]])


def test_a_series_in_order_of_time(tmp_path: Path, maps: list[Path]) -> None:
    out = tmp_path / "out"
    out.mkdir()
    series = add_up(maps, out, memory="2GB")
    assert sorted(path.name for path in out.iterdir()) == [
        "area.csv", "area.png", "observed.tif", "occurrence.png", "occurrence.tif", "series.json",
    ]  # fmt: skip
    with rasterio.open(out / "occurrence.tif") as percent, rasterio.open(out / "observed.tif") as observed:
        np.testing.assert_array_equal(percent.read(1), [PERCENT] * 700)
        np.testing.assert_array_equal(observed.read(1), [OBSERVED] * 700)
        assert percent.nodata == 255
    assert cog_validate(out / "occurrence.tif")[0]
    rows = list(csv.DictReader((out / "area.csv").open()))
    assert [row["date"] for row in rows] == ["2019-06-01", "2020-01-01", "2021-01-01"]
    # 700 rows of 30 m pixels: 0.63 km² a column.
    assert [float(row["water_km2"]) for row in rows] == pytest.approx([3 * 0.63, 2 * 0.63, 2 * 0.63])
    assert [float(row["not_observed_share"]) for row in rows] == pytest.approx([1 / 6, 3 / 6, 2 / 6], abs=1e-6)
    said = json.loads((out / "series.json").read_text())
    assert said["never_observed_pixels"] == 700
    assert said["always_water_pixels"] == 2 * 700
    assert said["sometimes_water_pixels"] == 2 * 700
    assert series.entries[0].name == "pond_20190601_water"
    assert Image.open(out / "area.png").size[0] > 500


def test_a_small_budget_changes_nothing_but_the_blocks(
    tmp_path: Path, maps: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    results = []
    for rows in (512, 37):
        monkeypatch.setattr("narrows.water.series._MOST_ROWS", rows)
        out = tmp_path / str(rows)
        out.mkdir()
        results.append(add_up(maps, out).as_dict())
        with rasterio.open(out / "occurrence.tif") as percent:
            np.testing.assert_array_equal(percent.read(1), [PERCENT] * 700)
    assert results[0] == results[1]


def test_an_impossible_budget_names_the_smallest_which_works(tmp_path: Path, maps: list[Path]) -> None:
    with pytest.raises(BudgetError, match="needs") as refused:
        add_up(maps, tmp_path, memory="1MB")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["maps"]
    # What the process holds moves by a little from one call to the next.
    series = add_up(maps, tmp_path, memory=refused.value.smallest + 5_000_000)
    assert len(series.entries) == 3


def test_dates_are_given_where_nothing_says_them(tmp_path: Path) -> None:
    maps = [write_raster(tmp_path / f"{name}.tif", np.zeros((4, 4), np.uint8), nodata=255) for name in "ab"]
    with pytest.raises(InputError, match="--dates"):
        add_up(maps, tmp_path)
    series = add_up(maps, tmp_path, dates=parse_dates("2020-02-01, 20190301", 2))
    assert [entry.name for entry in series.entries] == ["b", "a"]
    with pytest.raises(OutputError, match="overwrite"):
        add_up(maps, tmp_path, dates=parse_dates("2020-02-01,20190301", 2))


def test_dates_that_are_none() -> None:
    assert parse_dates("2020-02-29", 1) == [datetime.date(2020, 2, 29)]
    with pytest.raises(InputError, match="is no day"):
        parse_dates("2019-02-29", 1)
    with pytest.raises(InputError, match="1 days for 2 scenes"):
        parse_dates("2019-02-28", 2)
