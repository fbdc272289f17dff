"""Change maps of maps made by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from PIL import Image
from rio_cogeo import cog_validate
from tests.builders.geotiff import PLACE, write_raster

from narrows.errors import InputError, OutputError
from narrows.water.compare import ChangeFiles, changes, compare_maps

# Every pair of the four values, once.
VALUES = np.array([0, 1, 254, 255], np.uint8)
BEFORE, AFTER = VALUES.repeat(4)[None], np.tile(VALUES, 4)[None]
EXPECTED = np.array([[0, 2, 254, 254, 3, 1, 254, 254, 254, 254, 254, 254, 254, 254, 254, 255]], np.uint8)


def water_map(path: Path, classes: np.ndarray, **more: Any) -> Path:
    return write_raster(path, classes, **({"nodata": 255} | more))


def test_every_pair_of_values() -> None:
    np.testing.assert_array_equal(changes(BEFORE, AFTER), EXPECTED)


def test_a_change_map_with_picture_and_figures(tmp_path: Path) -> None:
    a, b = water_map(tmp_path / "a.tif", BEFORE.repeat(600, 0)), water_map(tmp_path / "b.tif", AFTER.repeat(600, 0))
    files = ChangeFiles(tmp_path / "c.tif", tmp_path / "c.png", tmp_path / "c.json")
    change = compare_maps(a, b, files)
    with rasterio.open(files.change) as made:
        np.testing.assert_array_equal(made.read(1), EXPECTED.repeat(600, 0))
        assert made.transform == PLACE
        assert made.nodata == 255
        assert made.tags()["NARROWS_BEFORE"] == "a"
    assert cog_validate(files.change)[0]
    # 600 rows of 30 m pixels: 0.54 km² each column.
    assert change.km2 == pytest.approx(
        {"land in both": 0.54, "water in both": 0.54, "gain": 0.54, "loss": 0.54, "not comparable": 11 * 0.54,
         "no data in both": 0.54}
    )  # fmt: skip
    assert change.pixels["gain"] == 600
    assert change.not_comparable_share == pytest.approx(11 / 15)
    said = json.loads(files.statistics.read_text())  # type: ignore[union-attr]
    assert said["classes"]["loss"] == {"pixels": 600, "km2": pytest.approx(0.54)}
    assert Image.open(files.quicklook).size[0] > 300  # type: ignore[arg-type]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tif", "b.tif", "c.json", "c.png", "c.tif"]


@pytest.mark.parametrize(
    ("more", "shape", "said"),
    [
        ({}, (5, 4), "5 x 4 pixels, where a.tif has 4 x 4"),
        ({"crs": "EPSG:32631"}, (4, 4), "EPSG:32631, where a.tif is in EPSG:32630"),
        ({"transform": PLACE @ Affine.translation(0, 0.5)}, (4, 4), "row 0.50 of a.tif"),
        ({"crs": None, "transform": None}, (4, 4), "no georeference"),
    ],
)
def test_maps_on_other_grids_are_refused(tmp_path: Path, more: dict[str, Any], shape: Any, said: str) -> None:
    a = water_map(tmp_path / "a.tif", np.zeros((4, 4), np.uint8))
    b = water_map(tmp_path / "b.tif", np.zeros(shape, np.uint8), **more)
    with pytest.raises(InputError, match=f"(?s){said}.*--align"):
        compare_maps(a, b, ChangeFiles(tmp_path / "c.tif"))
    assert not (tmp_path / "c.tif").exists()


def test_a_shifted_map_is_brought_to_the_first_grid(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    whole = rng.integers(0, 2, (40, 40)).astype(np.uint8)
    a = water_map(tmp_path / "a.tif", whole)
    b = water_map(tmp_path / "b.tif", whole[10:30, 5:25], transform=PLACE @ Affine.translation(5, 10))
    change = compare_maps(a, b, ChangeFiles(tmp_path / "c.tif"), align=True)
    assert change.aligned
    assert change.pixels["gain"] == change.pixels["loss"] == 0
    assert change.pixels["water in both"] == whole[10:30, 5:25].sum()
    assert change.pixels["not comparable"] == 40 * 40 - 20 * 20
    with rasterio.open(tmp_path / "c.tif") as made:
        assert "brought to the first map's grid" in made.tags()["NARROWS_AFTER"]


def test_maps_without_a_place_are_compared_only_if_told_so(tmp_path: Path) -> None:
    a = water_map(tmp_path / "a.tif", BEFORE.repeat(3, 0), crs=None, transform=None)
    b = water_map(tmp_path / "b.tif", AFTER.repeat(3, 0), crs=None, transform=None)
    files = ChangeFiles(tmp_path / "c.tif", tmp_path / "c.png")
    with pytest.raises(InputError, match="--by-pixel"):
        compare_maps(a, b, files)
    change = compare_maps(a, b, files, by_pixel=True)
    assert change.km2["gain"] is None
    assert "gain 3 pixels" in change.line()


def test_dates_are_said_and_their_order_is_looked_at(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    earlier, later = (water_map(tmp_path / f"m_{day}.tif", BEFORE) for day in ("20190114", "20190130"))
    assert compare_maps(earlier, later, ChangeFiles(tmp_path / "c.tif")).as_dict()["dates"] == [
        "2019-01-14",
        "2019-01-30",
    ]
    assert "gain is loss" not in caplog.text
    compare_maps(later, earlier, ChangeFiles(tmp_path / "d.tif"))
    assert "gain is loss" in caplog.text


def test_what_is_no_water_map_is_refused(tmp_path: Path) -> None:
    good = water_map(tmp_path / "a.tif", np.zeros((4, 4), np.uint8))
    seven = water_map(tmp_path / "b.tif", np.full((4, 4), 7, np.uint8))
    wide = water_map(tmp_path / "w.tif", np.zeros((4, 4), np.uint16))
    for other, said in ((seven, "holds 7"), (wide, "no water map"), (tmp_path / "none.tif", "no such file")):
        with pytest.raises(InputError, match=said):
            compare_maps(good, other, ChangeFiles(tmp_path / "c.tif"))
    with pytest.raises(OutputError, match="exists"):
        compare_maps(good, good, ChangeFiles(seven))
    with pytest.raises(OutputError, match=r"\.png"):
        compare_maps(good, good, ChangeFiles(tmp_path / "c.tif", tmp_path / "c.gif"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tif", "b.tif", "w.tif"]
