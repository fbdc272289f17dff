"""The Python call, with a linear water index as the network, so that the map is known exactly."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
import rioxarray
import torch
import xarray
from affine import Affine
from torch import nn

from narrows.errors import InputError, OutputError
from narrows.rasters import open_scene
from narrows.water import MapResult, map_water

BANDS = ("blue", "green", "red", "nir", "swir1", "swir2")


def index() -> nn.Module:
    model = nn.Conv2d(6, 1, 1, bias=False)
    with torch.no_grad():
        model.weight.copy_(50 * torch.tensor([0.0, 4.0, 0.0, -0.25, -4.0, -2.75]).reshape(1, 6, 1, 1))
    return model


@pytest.fixture
def scene_path(tmp_path):
    generator = np.random.default_rng(4)
    bands = (generator.random((6, 50, 40)) * 4000 + 1).astype(np.uint16)
    bands[:, :3, :5] = 0
    path = tmp_path / "scene.tif"
    with rasterio.open(
        path, "w", driver="GTiff", height=50, width=40, count=6, dtype="uint16", crs="EPSG:32633", nodata=0,
        transform=Affine(10, 0, 500000, 0, -10, 5000000),
    ) as out:  # fmt: skip
        out.write(bands)
        out.scales = (1e-4,) * 6
        out.offsets = (0.0,) * 6
        out.descriptions = BANDS
    return path


@pytest.fixture
def known(scene_path):
    with rasterio.open(scene_path) as given:
        bands = given.read()
    reflectance = bands.astype(np.float32) * np.float32(1e-4)
    awei = 4 * (reflectance[1] - reflectance[4]) - 0.25 * reflectance[3] - 2.75 * reflectance[5]
    return np.where((bands == 0).any(axis=0), 255, awei >= 0).astype(np.uint8)


def test_a_path_gives_files(tmp_path, scene_path, known):
    result = map_water(scene_path, tmp_path / "w.tif", model=index(), gives="logits", stats=tmp_path / "s.json")
    assert isinstance(result, MapResult)
    assert result.statistics.water_pixels == (known == 1).sum()
    assert (tmp_path / "s.json").exists()
    with rasterio.open(tmp_path / "w.tif") as mask:
        np.testing.assert_array_equal(mask.read(1), known)
    with pytest.raises(OutputError, match="--overwrite"):
        map_water(scene_path, tmp_path / "w.tif", model=index(), gives="logits")


def test_xarray_gives_xarray(scene_path, known):
    given = rioxarray.open_rasterio(scene_path, mask_and_scale=True)
    water = map_water(given, model=index(), gives="logits", bands=",".join(BANDS))
    assert isinstance(water, xarray.DataArray)
    np.testing.assert_array_equal(water.values, known)
    assert water.rio.crs == given.rio.crs
    assert water.rio.transform() == given.rio.transform()
    xarray.testing.assert_equal(water.x.drop_vars("spatial_ref", errors="ignore"), given.x.drop_vars("spatial_ref"))
    assert water.rio.nodata == 255
    assert water.attrs["water_pixels"] == (known == 1).sum()


def dark_where_near_infrared_is() -> nn.Module:
    """Water where near infrared is below 0.20005, if both bands of shortwave infrared are 1."""
    model = nn.Conv2d(6, 1, 1)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([0.0, 0.0, 0.0, -50.0, 5.0, 5.0025]).reshape(1, 6, 1, 1))
        model.bias.zero_()
    return model


def test_without_shortwave_infrared_the_map_says_that_it_is_less_sure(tmp_path, scene_path):
    with rasterio.open(scene_path) as given:
        bands = given.read()
    known = np.where((bands[:4] == 0).any(axis=0), 255, bands[3] <= 2000).astype(np.uint8)
    given = rioxarray.open_rasterio(scene_path, mask_and_scale=True)[:4]
    given.attrs.pop("long_name")
    options = {"model": dark_where_near_infrared_is(), "gives": "logits", "bands": "1,2,3,4"}
    with pytest.raises(InputError, match=r"has no swir1 and swir2, which the network Conv2d needs"):
        map_water(given, **options)
    water = map_water(given, **options, without_swir=True)
    np.testing.assert_array_equal(water.values, known)
    assert water.attrs["applied_caution"] == "no shortwave infrared: the map is less sure"
    out = tmp_path / "w.tif"
    result = map_water(scene_path, out, **options, without_swir=True, quicklook=tmp_path / "q.png")
    assert result.as_dict()["applied"]["caution"] == "no shortwave infrared: the map is less sure"
    with rasterio.open(out) as mask:
        np.testing.assert_array_equal(mask.read(1), known)
        assert mask.tags()["NARROWS_CAUTION"] == "no shortwave infrared: the map is less sure"
        assert mask.tags()["NARROWS_BANDS"] == "blue 1, green 2, red 3, nir 4 (--bands)"


def test_a_dataset_with_the_probability_of_an_area(scene_path, known):
    with open_scene(scene_path) as scene:
        found = map_water(scene, model=index(), gives="logits", probability=True, aoi="500100,4999700,500250,4999900")
        assert isinstance(found, xarray.Dataset)
        np.testing.assert_array_equal(found.water.values, known[10:30, 10:25])
        percent = found.probability.values
        np.testing.assert_array_equal(percent >= 50, found.water.values == 1)
        assert float(found.x[0]) == 500105
        assert scene.read(0, 5).reflectance.shape == (6, 5, 40)  # still open


def test_what_it_refuses(tmp_path, scene_path):
    with pytest.raises(InputError, match="need an output"):
        map_water(scene_path, model=index(), polygons=tmp_path / "w.gpkg")
    with pytest.raises(InputError, match="deepwatermap:"):
        map_water(scene_path, model="unet")
    with pytest.raises(InputError, match="QA_PIXEL"):
        map_water(scene_path, model=index(), gives="logits", mask_clouds=True)
    with pytest.raises(InputError, match="name the file"):
        map_water(scene_path, tmp_path / "w.tif", model=index(), gives="logits", probability=True)
