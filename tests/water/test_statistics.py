from __future__ import annotations

import csv
import json
import math

import numpy as np
import pytest

from narrows.errors import OutputError
from narrows.water.statistics import StatisticsCounter, write_statistics


def counted(areas: np.ndarray) -> StatisticsCounter:
    mask = np.array([[0, 1, 1, 254], [255, 1, 253, 253]], np.uint8)
    counter = StatisticsCounter()
    counter.add(mask[:1], areas[:1])
    counter.add(mask[1:], areas[1:])
    return counter


def test_areas_go_by_the_row_and_253_is_not_counted():
    figures = counted(np.array([1e6, 2e6])).result()
    assert (figures.water_km2, figures.land_km2, figures.hidden_km2, figures.no_data_km2) == (4, 1, 1, 2)
    assert (figures.water_pixels, figures.no_data_pixels) == (3, 1)
    assert figures.water_share_of_observed == pytest.approx(4 / 5)
    assert figures.not_observed_share == pytest.approx(3 / 8)
    assert figures.line() == (
        "water 4.00 km², 80.0% of what was observed; 12.5% hidden by cloud or shadow; 25.0% without data"
    )


def test_without_a_pixel_size_shares_are_of_pixels(tmp_path):
    figures = counted(np.array([np.nan, np.nan])).result()
    assert math.isnan(figures.water_km2)
    assert figures.water_share_of_observed == pytest.approx(3 / 4)
    assert figures.line().startswith("water 3 pixels, 75.0%")
    write_statistics(figures, tmp_path / "s.json", scene="x")
    said = json.loads((tmp_path / "s.json").read_text())
    assert said["scene"] == "x"
    assert said["water_km2"] is None


def test_a_table(tmp_path):
    write_statistics(counted(np.array([1e6, 1e6])).result(), tmp_path / "s.csv", scene="x")
    (row,) = csv.DictReader((tmp_path / "s.csv").open())
    assert row["scene"] == "x"
    assert float(row["water_km2"]) == 3
    with pytest.raises(OutputError, match=r"\.csv"):
        write_statistics(counted(np.array([1e6, 1e6])).result(), tmp_path / "s.txt")
