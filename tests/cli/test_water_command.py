from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import numpy as np
import pyogrio
import pytest
import rasterio
from click.testing import CliRunner
from PIL import Image
from rio_cogeo import cog_validate
from tests.builders.geotiff import write_raster
from tests.builders.hls import make_granule
from tests.builders.sentinel2 import COARSE, FINE, SIDE, make_safe

from conftest import pond, write_scene
from narrows.cli import narrows


def test_a_map_with_everything(tmp_path, scene, narrows_water):
    out = tmp_path / "out"
    out.mkdir()
    result = narrows_water(
        scene, "-o", out / "map.tif", "--probability", out / "p.tif", "--polygons", out / "w.gpkg",
        "--quicklook", out / "q.png", "--stats", out / "s.json", "--min-area", "10px", "--json",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert sorted(os.listdir(out)) == ["map.tif", "p.tif", "q.png", "s.json", "w.gpkg"]
    kept = pond()
    kept[3:5, -6:-4] = False
    with rasterio.open(out / "map.tif") as mask, rasterio.open(scene) as given:
        np.testing.assert_array_equal(mask.read(1), kept)
        assert mask.transform == given.transform
        assert mask.crs == given.crs
        assert mask.nodata == 255
        assert mask.colormap(1)[1][2] > mask.colormap(1)[1][0]
        tags = mask.tags()
        assert tags["NARROWS_INPUT"] == "pond"
        assert any("0.0001" in value for value in tags.values())
        assert str(tmp_path) not in json.dumps(tags)
    for raster in ("map.tif", "p.tif"):
        assert cog_validate(out / raster)[0]
    with rasterio.open(out / "p.tif") as probability:
        percent = probability.read(1)
        assert ((percent >= 50) == pond()).all()
    assert Image.open(out / "q.png").size[0] > 500
    figures = json.loads((out / "s.json").read_text())
    assert figures["water_km2"] == pytest.approx(kept.sum() * 900 / 1e6)
    assert figures["not_observed_share"] == 0
    assert pyogrio.read_info(out / "w.gpkg")["features"] == 1
    said = json.loads(result.stdout)
    assert said["statistics"]["water_pixels"] == kept.sum()
    assert said["polygons"] == 1
    assert "0.0001" in result.stderr


def test_missing_pixels_are_255(tmp_path, narrows_water):
    missing = np.zeros((60, 80), bool)
    missing[:, :7] = True
    path = write_scene(tmp_path / "gap.tif", pond(), missing=missing)
    result = narrows_water(path, "-o", tmp_path / "m.tif", "--stats", tmp_path / "s.csv", "-q")
    assert result.exit_code == 0
    assert result.output == ""
    with rasterio.open(tmp_path / "m.tif") as mask:
        np.testing.assert_array_equal(mask.read(1), np.where(missing, 255, pond()))
    row = next(csv.DictReader((tmp_path / "s.csv").open()))
    assert float(row["no_data_share"]) == pytest.approx(7 / 80, abs=1e-6)


def test_nan_and_infinity_are_255(tmp_path, narrows_water):
    path = write_scene(tmp_path / "float.tif", pond(), dtype="float32", nodata=None)
    with rasterio.open(path, "r+") as out:
        bands = out.read()
        bands[0, 10, 10], bands[3, 11, 11], bands[5, 12, 12] = np.nan, np.inf, -np.inf
        out.write(bands)
    result = narrows_water(path, "-o", tmp_path / "m.tif")
    assert result.exit_code == 0, result.output
    expected = pond().astype(np.uint8)
    expected[[10, 11, 12], [10, 11, 12]] = 255
    with rasterio.open(tmp_path / "m.tif") as mask:
        np.testing.assert_array_equal(mask.read(1), expected)


def test_clouds_by_the_products_own_mask(tmp_path, shared_data, narrows_water):
    """QA_PIXEL bits 1 to 4: dilated cloud, cirrus, cloud, shadow."""
    folder = shared_data / "products" / "landsat" / "LC08_L2SP_008059_20191201_20200825_02_T1"
    result = narrows_water(folder, "-o", tmp_path / "m.tif", "--mask-clouds")
    assert result.exit_code == 0, result.output
    with rasterio.open(next(folder.glob("*_QA_PIXEL.TIF"))) as given, rasterio.open(tmp_path / "m.tif") as made:
        quality, mask = given.read(1), made.read(1)
    hidden = ((quality & 0b11110) != 0) & (quality & 1 == 0)
    assert hidden.any()
    np.testing.assert_array_equal(mask[mask != 255] == 254, hidden[mask != 255])


def test_clouds_by_fmask(tmp_path, narrows_water):
    """Bits 1 to 3 of an HLS granule's Fmask: cloud, beside it, shadow."""
    numbers = np.random.default_rng(0).integers(7300, 25000, (6, 40, 50)).astype(np.uint16)
    fmask = (1 << np.arange(40) % 8).astype(np.uint8)[:, None].repeat(50, axis=1)
    folder = make_granule(tmp_path / "hls", write_raster, numbers, "hls-s30", fmask)
    result = narrows_water(folder, "-o", tmp_path / "m.tif", "--mask-clouds")
    assert result.exit_code == 0, result.output
    with rasterio.open(tmp_path / "m.tif") as mask:
        np.testing.assert_array_equal(mask.read(1) == 254, np.isin(fmask, [2, 4, 8]))


def test_clouds_by_the_scene_classification(tmp_path, narrows_water):
    """SCL 3 (shadow) and 8 to 10 (clouds, cirrus) of a Sentinel-2 level-2A product, each pixel over 2 x 2 of 10 m."""
    rng = np.random.default_rng(1)
    bands = {band: rng.integers(1, 9000, (SIDE, SIDE)).astype(np.uint16) for band in FINE}
    bands |= {band: rng.integers(1, 9000, (SIDE // 2, SIDE // 2)).astype(np.uint16) for band in COARSE}
    safe = make_safe(tmp_path, "L2A", -1000, bands, classes=True)
    result = narrows_water(safe, "-o", tmp_path / "m.tif", "--mask-clouds")
    assert result.exit_code == 0, result.output
    classes = np.arange(12).repeat(SIDE // 12)[:, None].repeat(SIDE, axis=1)
    with rasterio.open(tmp_path / "m.tif") as mask:
        np.testing.assert_array_equal(mask.read(1) == 254, np.isin(classes, [3, 8, 9, 10]))


def test_only_the_area_asked_for(tmp_path, scene, narrows_water):
    result = narrows_water(scene, "-o", tmp_path / "m.tif", "--aoi", "300300,5999100,300900,5999700")
    assert result.exit_code == 0, result.output
    with rasterio.open(tmp_path / "m.tif") as mask:
        assert mask.bounds == (300300, 5999100, 300900, 5999700)
        np.testing.assert_array_equal(mask.read(1), pond()[10:30, 10:30])


def test_several_scenes_one_of_them_bad_and_again(tmp_path, narrows_water):
    scenes = [write_scene(tmp_path / f"s{number}.tif", pond(40 + number, 50)) for number in range(3)]
    whole = scenes[1].read_bytes()
    scenes[1].write_bytes(whole[:600])
    out = tmp_path / "maps"
    out.mkdir()
    arguments = (*scenes, "-o", out, "--quicklook", out / "{}.png")
    first = narrows_water(*arguments)
    assert first.exit_code == 1, first.output
    made = ["s0.png", "s0_water.tif", "s2.png", "s2_water.tif", "water_summary.csv"]
    assert sorted(os.listdir(out)) == made
    rows = list(csv.DictReader((out / "water_summary.csv").open()))
    assert [row["status"] for row in rows] == ["done", "failed", "done"]
    assert "s1.tif" in rows[1]["message"]
    assert float(rows[0]["water_km2"]) > 0

    scenes[1].write_bytes(whole)
    before = (out / "s0_water.tif").stat().st_mtime_ns
    second = narrows_water(*arguments, "--json")
    assert second.exit_code == 0, second.output
    assert [row["status"] for row in csv.DictReader((out / "water_summary.csv").open())] == [
        "skipped", "done", "skipped",
    ]  # fmt: skip
    assert [each["status"] for each in json.loads(second.stdout)] == ["skipped", "done", "skipped"]
    assert (out / "s0_water.tif").stat().st_mtime_ns == before

    other = narrows_water(*arguments, "--threshold", "0.7")
    assert other.exit_code == 1
    assert "--overwrite" in next(csv.DictReader((out / "water_summary.csv").open()))["message"]
    forced = narrows_water(*arguments, "--threshold", "0.7", "--overwrite")
    assert forced.exit_code == 0
    assert (out / "s0_water.tif").stat().st_mtime_ns != before


def test_several_scenes_need_places_of_their_own(tmp_path, narrows_water):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "maps").mkdir()
    one, two = write_scene(tmp_path / "a" / "x.tif", pond()), write_scene(tmp_path / "b" / "x.tif", pond())
    result = narrows_water(one, two, "-o", tmp_path / "maps")
    assert result.exit_code == 2
    assert "both write" in result.stderr
    result = narrows_water(one, two, "-o", tmp_path / "nowhere")
    assert result.exit_code == 2
    assert "folder" in result.stderr


def test_a_foreign_summary_is_kept(tmp_path, narrows_water):
    scenes = [write_scene(tmp_path / f"s{number}.tif", pond()) for number in range(2)]
    (tmp_path / "maps").mkdir()
    (tmp_path / "maps" / "water_summary.csv").write_text("my,own\n1,2\n")
    result = narrows_water(*scenes, "-o", tmp_path / "maps")
    assert result.exit_code == 2
    assert "no summary of this command" in result.stderr
    assert (tmp_path / "maps" / "water_summary.csv").read_text() == "my,own\n1,2\n"
    assert not (tmp_path / "maps" / "s0_water.tif").exists()


def test_the_rio_plugin(tmp_path, scene, index_network):
    from rasterio.rio.main import main_group

    result = CliRunner().invoke(
        main_group, ["water", str(scene), "-o", str(tmp_path / "m.tif"), "--model", index_network, "--gives", "logits"]
    )
    assert result.exit_code == 0, result.output
    assert (tmp_path / "m.tif").exists()
    again = CliRunner().invoke(
        main_group, ["water", str(scene), "-o", str(tmp_path / "m.tif"), "--model", index_network, "--gives", "logits"]
    )
    assert again.exit_code == 2
    assert again.stderr.strip().splitlines()[-1].startswith("Error:")


def test_four_bands_for_a_network_that_was_taught_so(tmp_path, narrows_water, index_network):
    path = write_scene(tmp_path / "planet.tif", pond(), count=4)
    model = ("--model", index_network.replace(":awei", ":dark"), "--gives", "logits")
    refused = narrows_water(path, "-o", tmp_path / "no.tif", *model)
    assert refused.exit_code == 2
    assert (
        "planet.tif: has no swir1 and swir2, which the network index.py:dark needs" in refused.stderr.splitlines()[-1]
    )
    assert not (tmp_path / "no.tif").exists()
    said = narrows_water(
        path, "-o", tmp_path / "m.tif", *model, "--without-swir", "--quicklook", tmp_path / "q.png", "--json", "-q",
        "--bands", "1,2,3,4",
    )  # fmt: skip
    assert said.exit_code == 0, said.output
    assert said.stderr.splitlines() == ["planet.tif: caution: no shortwave infrared: the map is less sure"]
    assert json.loads(said.stdout)["applied"]["caution"] == "no shortwave infrared: the map is less sure"
    with rasterio.open(tmp_path / "m.tif") as mask:
        np.testing.assert_array_equal(mask.read(1), pond())
        assert mask.tags()["NARROWS_CAUTION"] == "no shortwave infrared: the map is less sure"
    assert Image.open(tmp_path / "q.png").size[0] > 500


def test_only_a_network_of_ones_own_is_said_to_do_without(tmp_path, scene):
    for model in ((), ("--model", "deepwatermap:w.safetensors")):
        arguments = ["water", str(scene), "-o", str(tmp_path / "m.tif"), "--without-swir", *model]
        result = CliRunner().invoke(narrows, arguments)
        assert result.exit_code == 2
        assert "--without-swir is said of a network of your own" in result.stderr.splitlines()[-1]


@pytest.mark.parametrize("command", [[], ["water"], ["run"], ["plan"], ["import-deepwatermap"]])
def test_help_shows_an_example(command):
    result = CliRunner().invoke(narrows, [*command, "--help"])
    assert result.exit_code == 0
    assert f"narrows {' '.join(command)}".strip() in result.output.split("Options:")[0]
    assert "xample" in result.output or not command


def test_help_is_quick():
    """Neither torch nor rasterio is imported for it."""
    import subprocess
    import sys

    code = "import sys; from narrows.cli import narrows; narrows(['--help'], standalone_mode=False)\n"
    code += "assert not {'torch', 'rasterio', 'scipy', 'xarray'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_files_are_named_after_their_scenes():
    from narrows.water.batch import scene_name

    assert scene_name("a/S2A_MSIL2A_X.SAFE/") == "S2A_MSIL2A_X"
    assert scene_name("LC08_X_T1.tar") == "LC08_X_T1"
    assert scene_name("/data/LC09_L2SP") == "LC09_L2SP"
    assert scene_name("https://host/items/S2.json") == "S2"
    assert scene_name(str(Path("pond.tif"))) == "pond"
