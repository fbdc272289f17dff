from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
import torch
from array_scene import ArrayScene
from torch import nn

from narrows.errors import BudgetError, InputError
from narrows.water.mapping import MapOptions, MinimumArea, find_window, run_map
from narrows.water.network import WaterNetwork, own_network


class Array:
    """Rows of a map into an array; each row once, in order."""

    def __init__(self, height: int, width: int):
        self.array = np.full((height, width), 77, np.uint8)
        self.next = 0

    def write(self, start: int, rows: np.ndarray) -> None:
        assert start == self.next
        self.array[start : start + rows.shape[1]] = rows[0]
        self.next += rows.shape[1]


class Strided(nn.Module):
    """Two scales, so that the sampling grid matters."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Conv2d(6, 8, 4, stride=4, bias=False)
        self.fine = nn.Conv2d(6, 1, 3, padding=1)
        self.mix = nn.Conv2d(8, 4, 3, padding=1)
        self.up = nn.ConvTranspose2d(4, 1, 4, stride=4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 4 * (self.fine(x) + self.up(self.mix(torch.relu(self.down(x)))))


def network(module: nn.Module | None = None, seed: int = 0) -> WaterNetwork:
    torch.manual_seed(seed)
    return own_network((module or Strided()).eval(), "test", "logits")


def scene(height: int = 61, width: int = 47, seed: int = 0, **more: Any) -> ArrayScene:
    bands = np.random.default_rng(seed).random((6, height, width), dtype=np.float32)
    return ArrayScene(bands, **more)


def mapped(scene: ArrayScene, net: WaterNetwork, **options: Any) -> tuple[np.ndarray, np.ndarray, Any]:
    window = find_window(scene, net, options.get("aoi"))  # type: ignore[arg-type]
    mask = Array(window.inner.height, window.inner.width)
    percent = Array(window.inner.height, window.inner.width)
    statistics, _ = run_map(window, net, MapOptions(**options), mask, probability=percent)
    assert mask.next == percent.next == window.inner.height
    return mask.array, percent.array, statistics


def full_frame(scene: ArrayScene, net: WaterNetwork) -> np.ndarray:
    framing = net.framing(scene.height, scene.width, scene.grid_origin)
    image = scene.bands[:, framing.rows(0, framing.shape[0])][:, :, framing.columns()]
    with torch.no_grad():
        logits = net.module(torch.from_numpy(image)[None])[0, 0].numpy()
    inside = logits[framing.top : framing.top + scene.height, framing.left : framing.left + scene.width]
    return 1 / (1 + np.exp(-inside.astype(np.float64)))


def test_the_map_is_that_of_the_full_frame():
    a, net = scene(origin=(3, 2)), network()
    chance = full_frame(a, net)
    mask, percent, statistics = mapped(a, net, threshold=0.45)
    clear = np.abs(chance - 0.45) > 1e-5
    np.testing.assert_array_equal(mask[clear], (chance >= 0.45)[clear])
    assert np.abs(percent - chance * 100).max() < 0.51
    assert 0.1 < mask.mean() < 0.9
    assert statistics.water_pixels == mask.sum()
    assert statistics.water_km2 == pytest.approx(mask.sum() * 900 / 1e6)


def test_what_is_not_observed_is_255_and_clouds_are_254():
    bands = np.random.default_rng(0).random((6, 40, 30), dtype=np.float32)
    bands[2, 5:9, 3:8] = np.nan
    bands[4, 20, 20] = np.inf
    clouds = np.zeros((40, 30), np.uint8)
    clouds[0:7, 0:5] = 1
    a, net = ArrayScene(bands, clouds=clouds), network()
    mask, percent, statistics = mapped(a, net, clouds="product")
    for values in (mask, percent):
        np.testing.assert_array_equal(values == 255, ~a.observed)
        np.testing.assert_array_equal(values == 254, a.observed & (clouds == 1))
    assert statistics.no_data_pixels == 21
    assert statistics.not_observed_share == pytest.approx((mask >= 254).mean())
    plain, _, _ = mapped(a, net)
    np.testing.assert_array_equal(plain == 254, False)


def test_a_crop_agrees_with_its_scene():
    """By the anchored grid, away from the border; at every phase of the grid."""
    a, net = scene(96, 88), network()
    whole, _, _ = mapped(a, net)
    for top, left in ((1, 0), (2, 7), (5, 3)):
        part, _, _ = mapped(a.window((top, 90), (left, 80)), net)
        np.testing.assert_array_equal(part[16:-16, 16:-16], whole[top + 16 : 90 - 16, left + 16 : 80 - 16])


def test_an_area_of_interest_is_cut_out_of_the_whole_map_and_little_else_is_read():
    a, net = scene(300, 80), network()
    whole, _, _ = mapped(a, net)
    west, north = a.transform.c, a.transform.f
    box = f"{west + 30 * 11},{north - 30 * 140},{west + 30 * 60},{north - 30 * 101}"
    part, _, statistics = mapped(a, net, aoi=box)
    np.testing.assert_array_equal(part, whole[101:140, 11:60])
    assert statistics.water_pixels == (part == 1).sum()
    window = find_window(a, net, box)
    assert window.scene.height < 60


def test_outside_a_polygon_is_255_and_not_counted(tmp_path):
    a, net = scene(60, 60), network()
    west, north = a.transform.c, a.transform.f
    triangle = shapely.Polygon([(west + 300, north - 300), (west + 1490, north - 300), (west + 300, north - 1490)])
    path = tmp_path / "area.geojson"
    feature = {"type": "Feature", "properties": {}, "geometry": json.loads(shapely.to_geojson(triangle))}
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32630"}}
    path.write_text(json.dumps({"type": "FeatureCollection", "crs": crs, "features": [feature]}))
    mask, percent, statistics = mapped(a, net, aoi=str(path))
    assert mask.shape == (40, 40)
    whole, _, _ = mapped(a, net)
    inside = np.add.outer(np.arange(40) + 0.5, np.arange(40) + 0.5) < 40
    np.testing.assert_array_equal(mask, np.where(inside, whole[10:50, 10:50], 255))
    assert (percent[~inside] == 255).all()
    assert statistics.no_data_pixels == 0
    assert statistics.water_pixels + statistics.land_pixels == inside.sum()


@pytest.mark.parametrize("area", ["20px", "18000m2", "1.8ha", "18000"])
def test_small_bodies_become_land(area):
    from scipy import ndimage

    a, net = scene(90, 70), network()
    whole, _, _ = mapped(a, net, threshold=0.55)
    labels, _ = ndimage.label(whole == 1, np.ones((3, 3)))
    sizes = np.bincount(labels.ravel())
    sizes[0] = 10**9
    expected = np.where((sizes < 20)[labels], 0, whole)
    kept, _, statistics = mapped(a, net, threshold=0.55, min_area=MinimumArea.parse(area))
    np.testing.assert_array_equal(kept, expected)
    assert 0 < statistics.water_pixels < (whole == 1).sum()


def test_the_budget_changes_nothing():
    a, net = scene(700, 50), network()
    free, _, _ = mapped(a, net)
    with pytest.raises(BudgetError) as caught:
        mapped(a, net, memory="1MB")
    tight, _, _ = mapped(a, net, memory=caught.value.smallest + 40_000_000)
    np.testing.assert_array_equal(free, tight)


def test_networks_that_do_not_fit():
    with pytest.raises(InputError, match="one channel of the image's size"):
        mapped(scene(), network(nn.Conv2d(6, 2, 3, padding=1)))
    with pytest.raises(InputError, match="gives 1 x 62 x 46"):
        mapped(scene(64, 48), network(nn.Conv2d(6, 1, 3)))
    raw = own_network(nn.Conv2d(6, 1, 1).eval(), "raw", "probability")
    nn.init.constant_(raw.module.bias, 3.0)
    with pytest.raises(InputError, match="--gives logits"):
        mapped(scene(), raw)


def test_a_scene_without_an_observed_pixel():
    with pytest.raises(InputError, match="all is no data"):
        mapped(ArrayScene(np.full((6, 20, 20), np.nan, np.float32)), network())


@pytest.mark.parametrize("bad", ["", "big", "-3", "5 acres", "px"])
def test_minimum_areas_in_words(bad):
    with pytest.raises(InputError, match="--min-area"):
        MinimumArea.parse(bad)
    assert MinimumArea.parse("0.5 km2").amount == 500_000
    assert MinimumArea.parse("3px") == MinimumArea(3, in_pixels=True)


@pytest.mark.parametrize(
    ("aoi", "message"),
    [
        ("1,2,3", "no such file"),
        ("5,5,1,9", "west < east"),
        ("0,0,1,1", "doesn't touch"),
        ("lonlat:1,2,x,4", "lonlat:west"),
        ("nowhere.gpkg", "no such file"),
    ],
)
def test_areas_that_can_not_be_used(aoi, message):
    with pytest.raises(InputError, match=message):
        find_window(scene(), network(), aoi)


def test_a_vector_file_without_polygons(tmp_path: Path):
    point = {"type": "Feature", "properties": {}, "geometry": {"type": "Point", "coordinates": [0, 0]}}
    (tmp_path / "p.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [point]}))
    with pytest.raises(InputError, match="no polygon"):
        find_window(scene(), network(), str(tmp_path / "p.geojson"))
    (tmp_path / "t.gpkg").write_text("hello")
    with pytest.raises(InputError, match="vector file"):
        find_window(scene(), network(), str(tmp_path / "t.gpkg"))


def test_a_box_in_degrees():
    from rasterio.warp import transform_bounds

    a, net = scene(200, 200), network()
    place = a.transform
    bounds = (place.c + 1500, place.f - 4500, place.c + 4500, place.f - 1500)
    west, south, east, north = transform_bounds(a.crs, "OGC:CRS84", *bounds)
    window = find_window(a, net, f"lonlat:{west},{south},{east},{north}")
    assert window.area is not None
    assert abs(window.area.rows[0] - 50) <= 10
    assert abs(window.area.columns[1] - 150) <= 10
