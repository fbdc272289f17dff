"""Scenes of blue, green, red and near infrared alone: both bands of shortwave infrared are 1."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import xarray as xr
from affine import Affine
from numpy.typing import NDArray
from rasterio.enums import ColorInterp
from tests.builders.geotiff import PLACE

from narrows.errors import InputError
from narrows.rasters import Scene, open_scene
from narrows.rasters.sensors import FIRST_FOUR

PLANET = ["coastal_blue", "blue", "green_i", "green", "yellow", "red", "rededge", "nir"]


@pytest.fixture
def four(numbers: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Blue, green, red, nir as reflectance x 10,000, 61 x 47; 0 at one pixel of red."""
    bands = numbers[:4] // 4
    bands[2, 5, 6] = 0
    return bands


def check(scene: Scene, four: NDArray[np.uint16], *, factor: float = 1e-4, missing: bool = True) -> None:
    with scene:
        rows = [scene.read(start, min(61, start + 20)) for start in range(0, 61, 20)]
        assert scene.lacks == ("swir1", "swir2")
        assert scene.shape == (6, 61, 47)
        assert scene.applied["caution"] == "no shortwave infrared: the map is less sure"
        assert "swir" not in scene.applied["bands"]
    read = np.concatenate([part.reflectance for part in rows], axis=1)
    observed = np.concatenate([part.observed for part in rows])
    assert np.argwhere(~observed).tolist() == ([[5, 6]] if missing else [])
    np.testing.assert_allclose(read[:4, observed], four[:, observed] * factor, atol=1e-6)
    assert (read[4:, observed] == 1).all()
    assert not read[:, ~observed].any()


def eight(four: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """The eight bands of a SuperDove."""
    stack = np.full((8, *four.shape[1:]), 77, np.uint16)
    stack[[1, 3, 5, 7]] = four
    return stack


def test_names_numbers_and_colours_give_the_order(tmp_path: Path, write, four) -> None:
    check(open_scene(write(tmp_path / "named.tif", four, list(FIRST_FOUR), nodata=0), scale=1e-4), four)
    check(open_scene(write(tmp_path / "planet.tif", eight(four), PLANET, nodata=0), scale=1e-4), four)
    check(open_scene(write(tmp_path / "msi.tif", four, ["B02", "B03", "B04", "B08"], nodata=0), scale=1e-4), four)
    unnamed = write(tmp_path / "eight.tif", eight(four), nodata=0)
    check(open_scene(unnamed, scale=1e-4, bands="2,4,6,8"), four)
    check(open_scene(unnamed, scale=1e-4, bands=[2, 4, 6, 8]), four)
    check(open_scene(unnamed, scale=1e-4, bands="-,blue,-,green,-,red,-,nir"), four)
    check(open_scene(unnamed, scale=1e-4, bands={"nir": 8, "red": 6, "green": 4, "blue": 2}), four)
    naip = write(tmp_path / "naip.tif", four[[2, 1, 0, 3]], nodata=0)
    check(open_scene(naip, scale=1e-4, bands="3,2,1,4"), four)
    with rasterio.open(naip, "r+") as dataset:
        dataset.colorinterp = [ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.nir]
    check(open_scene(naip, scale=1e-4), four)


def test_sentinel_2_without_its_shortwave_bands_is_no_landsat(tmp_path: Path, write, four) -> None:
    names = ["B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A"]
    stack = np.stack([*four[:3], *[four[0] + np.uint16(3)] * 3, four[3], four[3] + np.uint16(9)])
    scene = open_scene(write(tmp_path / "s2.tif", stack, names, nodata=0), scale=1e-4)
    assert scene.sensor.name == "sentinel-2"
    check(scene, four)


def test_files_also_with_a_coarser_band(tmp_path: Path, write, four) -> None:
    paths = [write(tmp_path / f"{band}.tif", four[at], nodata=0) for at, band in enumerate(FIRST_FOUR)]
    check(open_scene(paths, scale=1e-4), four)
    check(open_scene(dict(zip(FIRST_FOUR, paths, strict=True)), scale=1e-4), four)
    coarse = np.full((31, 24), 3000, np.uint16)
    blue = write(tmp_path / "coarse.tif", coarse, transform=PLACE @ Affine.scale(2))
    with open_scene([blue, *paths[1:]], scale=1e-4) as scene:
        rows = scene.read(0, 61)
        assert scene.shape == (6, 61, 47)
    np.testing.assert_allclose(rows.reflectance[0][rows.observed], 0.3, atol=1e-6)
    assert (rows.reflectance[4:, rows.observed] == 1).all()


def test_xarray(four) -> None:
    values = np.where(four == 0, np.nan, four * 1e-4).astype(np.float32)
    array = xr.DataArray(values, dims=("band", "y", "x"))
    check(open_scene(array.assign_coords(band=list(FIRST_FOUR))), four)
    check(open_scene(array, bands=FIRST_FOUR, scale=1), four)
    data = xr.Dataset({band: (("y", "x"), values[at]) for at, band in enumerate(FIRST_FOUR)})
    check(open_scene(data.assign(ndvi=data.nir - data.red)), four)
    for band in FIRST_FOUR:
        data[band].encoding = {"scale_factor": 1e-4, "dtype": "uint16", "_FillValue": 0}
    check(open_scene(data), four)


def item(assets: dict[str, Any]) -> dict[str, Any]:
    return {"type": "Feature", "stac_version": "1.0.0", "id": "S1", "properties": {}, "assets": assets}


def test_a_stac_item_with_a_file_for_each_band(tmp_path: Path, write, four) -> None:
    assets: dict[str, Any] = {}
    for at, band in enumerate(FIRST_FOUR):
        write(tmp_path / f"{band}.tif", four[at])
        assets[f"{band}_file"] = {
            "href": f"{band}.tif", "type": "image/tiff", "eo:bands": [{"common_name": band}],
            "raster:bands": [{"nodata": 0, "scale": 1e-4}],
        }  # fmt: skip
    (tmp_path / "item.json").write_text(json.dumps(item(assets)))
    check(open_scene(tmp_path / "item.json"), four)
    assets["swir"] = {"href": "blue.tif", "type": "image/tiff", "eo:bands": [{"common_name": "swir16"}]}
    (tmp_path / "item.json").write_text(json.dumps(item(assets)))
    with pytest.raises(InputError, match="S1: the item has no asset for swir2"):
        open_scene(tmp_path / "item.json")


@pytest.mark.parametrize("version", ["eo:bands", "bands"])
def test_a_stac_item_with_one_file_for_all(tmp_path: Path, write, four, version: str) -> None:
    write(tmp_path / "eight.tif", eight(four))
    name = {"eo:bands": "common_name", "bands": "eo:common_name"}[version]
    described = [{"name": each, **({name: each} if each in FIRST_FOUR else {})} for each in PLANET]
    scaling = [{"nodata": 0, "scale": 1e-4 * (1 + number % 2)} for number in range(8)]
    image = {"href": "eight.tif", "type": "image/tiff", version: described}
    if version == "bands":
        image[version] = [{**said, **more} for said, more in zip(described, scaling, strict=True)]
    else:
        image["raster:bands"] = scaling
    visual = {"href": "v.tif", "type": "image/tiff", "eo:bands": [{"common_name": each} for each in FIRST_FOUR[:3]]}
    (tmp_path / "item.json").write_text(json.dumps(item({"visual": visual, "analytic": image})))
    scene = open_scene(tmp_path / "item.json")
    assert scene.applied["bands"].startswith("blue analytic band 2, green analytic band 4")
    check(scene, four, factor=2e-4)
    one = [*described[:6], {"name": "swir", name: "swir16"}, described[7]]
    (tmp_path / "item.json").write_text(json.dumps(item({"analytic": {**image, version: one}})))
    with pytest.raises(InputError, match="S1/analytic: no band for swir2"):
        open_scene(tmp_path / "item.json")


@pytest.mark.parametrize("scale", [1e-4, [1e-4] * 4, [1e-4] * 4 + [9.0, 9.0]])
def test_scales_are_one_number_or_four_or_six(tmp_path: Path, write, four, scale) -> None:
    path = write(tmp_path / "four.tif", four, list(FIRST_FOUR), nodata=0, scales=[3.0] * 4)
    check(open_scene(path, scale=scale), four)
    with open_scene(path, scale=[1e-4, 2e-4, 3e-4, 4e-4], offset=[0.0, 0.1, 0.2, 0.3], nodata=np.nan) as scene:
        read = scene.read(0, 61).reflectance
        assert scene.applied["scale"] == "blue 0.0001, green 0.0002, red 0.0003, nir 0.0004"
    steps = np.arange(4).reshape(4, 1, 1)
    np.testing.assert_allclose(read[:4], np.clip(four * 1e-4 * (1 + steps) + 0.1 * steps, None, 1.6), atol=1e-6)
    assert (read[4:] == 1).all()


def test_own_scales_sensors_and_floats(tmp_path: Path, write, four, numbers) -> None:
    check(open_scene(write(tmp_path / "own.tif", four, list(FIRST_FOUR), nodata=0, scales=[1e-4] * 4)), four)
    with open_scene(write(tmp_path / "hls.tif", four.astype(np.int16), list(FIRST_FOUR)), sensor="hls-s30") as scene:
        assert scene.applied["fill"] == "-9999"
        assert scene.lacks
    floats = (four * 1e-4).astype(np.float32)
    check(open_scene(write(tmp_path / "floats.tif", floats, list(FIRST_FOUR), nodata=0)), four)
    dark = write(tmp_path / "dark.tif", np.zeros_like(floats), list(FIRST_FOUR))
    with pytest.raises(InputError, match="no reflectance between 0 and 1"):
        open_scene(dark)
    six = write(tmp_path / "six.tif", numbers, [*FIRST_FOUR, "swir1", "swir2"])
    with pytest.raises(InputError, match="--scale: 4 numbers, but the scene has six bands"):
        open_scene(six, scale=[1e-5] * 4)
    with open_scene(six, scale=1e-5) as scene:
        assert scene.lacks == ()
        assert "caution" not in scene.applied


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["blue", "green", "red", "nir", "swir1"], "no band for swir2; the six are"),
        (["blue", "green", "red", "rededge"], r"x\.tif: no band for nir; the six are"),
        (["blue", "green", "red", "nir", "SWIR A", "SWIR B"], "unless they are among swir a, swir b; say with --bands"),
        (["blue", "green", "red", "nir", None, "B12"], "unless they are among band 5 without a name, b12"),
        ([None] * 4, r"its 4 bands have no names.*--bands 1,2,3,4,5,6; without shortwave infrared with the first four"),
        (["Band_1", "Band_2", "Band_3", "Band_4"], "no known sensor's; give the order with --bands"),
        ([None] * 3, r"has 3 bands; six are needed: blue, green, red, nir, swir1, swir2, or the first four of them"),
        (["B02", "B03", "B04", "B08", "B8A", "B11"], "no band for swir2"),
    ],
)
def test_what_is_missing_is_named(tmp_path: Path, write, names: list[str | None], words: str) -> None:
    path = write(tmp_path / "x.tif", np.ones((len(names), 8, 9), np.uint16))
    with rasterio.open(path, "r+") as dataset:
        dataset.descriptions = names
    with pytest.raises(InputError, match=words) as caught:
        open_scene(path, scale=1e-4)
    assert "\n" not in str(caught.value)


def test_colours_that_leave_a_doubt_say_nothing(tmp_path: Path, write) -> None:
    first = [ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.nir]
    for more in ([ColorInterp.swir], [ColorInterp.undefined] * 2):
        path = write(tmp_path / f"{len(more)}.tif", np.ones((4 + len(more), 8, 9), np.uint16))
        with rasterio.open(path, "r+") as dataset:
            dataset.colorinterp = [*first, *more]
        with pytest.raises(InputError, match="have no names"):
            open_scene(path, scale=1e-4)


def test_it_is_said_and_doubts_are_still_seen(tmp_path: Path, write, four, caplog) -> None:
    four[:, :50] = 0
    path = write(tmp_path / "x.tif", four, list(FIRST_FOUR))
    with caplog.at_level(logging.WARNING, logger="narrows"), open_scene(path, scale=1e-4) as scene:
        assert "blocks of zeros" in scene.applied["doubt"]
    assert "x.tif: caution: no shortwave infrared: the map is less sure" in caplog.messages
    with open_scene(path, scale=1, nodata=0) as scene:
        assert "far above 1" in scene.applied["doubt"]


def test_nothing_is_read_nor_reckoned_for_what_is_absent(tmp_path: Path, write, numbers) -> None:
    tiles = {"tiled": True, "blockxsize": 16, "blockysize": 16, "interleave": "band"}
    four = write(tmp_path / "four.tif", numbers[:4], list(FIRST_FOUR), **tiles)
    six = write(tmp_path / "six.tif", numbers, [*FIRST_FOUR, "swir1", "swir2"], **tiles)
    with open_scene(four, scale=1e-5) as scene, open_scene(six, scale=1e-5) as whole:
        assert scene.cache_bytes * 6 == whole.cache_bytes * 4
        assert scene.read_bytes(16) == whole.read_bytes(16)
        part = scene.window((7, 40), (3, 30))
        assert part.lacks == scene.lacks
        np.testing.assert_array_equal(part.read(0, 33).reflectance, scene.read(7, 40).reflectance[:, :, 3:30])


def test_products_still_need_all_six(tmp_path: Path, write, four) -> None:
    for at, code in enumerate(("B02", "B03", "B04", "B8A")):
        write(tmp_path / "g" / f"HLS.S30.T20LQR.2023001T000000.v2.0.{code}.tif", four[at])
    with pytest.raises(InputError, match="swir1 band is missing"):
        open_scene(tmp_path / "g")
