"""STAC items, from files and from a local HTTP server that serves ranges."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine

from narrows.errors import InputError
from narrows.rasters import BANDS, open_scene

KEYS = ("blue", "green", "red", "nir08", "swir16", "swir22")


class Server:
    """A folder behind HTTP on this machine, by a process of its own."""

    def __init__(self, folder: Path):
        self.folder = folder
        script = Path(__file__).with_name("range_server.py")
        self.process = subprocess.Popen([sys.executable, str(script), str(folder)], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.address = f"http://127.0.0.1:{int(self.process.stdout.readline())}"

    def log(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self.address}/-/log") as response:
            return json.loads(response.read())


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    folder = tmp_path / "served"
    folder.mkdir()
    found = Server(folder)
    yield found
    found.process.terminate()
    found.process.wait()


def item(scaled: dict[str, float] | None, **properties: Any) -> dict[str, Any]:
    assets: dict[str, Any] = {"thumbnail": {"href": "thumb.jpg", "type": "image/jpeg", "roles": ["thumbnail"]}}
    assets["visual"] = {
        "href": "TCI.tif",
        "type": "image/tiff; application=geotiff",
        "eo:bands": [{"common_name": "red"}, {"common_name": "green"}, {"common_name": "blue"}],
    }
    for key, band in zip(KEYS, BANDS, strict=True):
        assets[key] = {
            "href": f"./{band}.tif",
            "type": "image/tiff; application=geotiff; profile=cloud-optimized",
            "eo:bands": [{"name": key.upper(), "common_name": key}],
            "roles": ["data"],
        }
        if scaled is not None:
            assets[key]["raster:bands"] = [{"nodata": 0, "data_type": "uint16", **scaled}]
    return {"type": "Feature", "stac_version": "1.0.0", "id": "S1", "properties": properties, "assets": assets}


def publish(folder: Path, write, numbers, content: dict[str, Any], **profile: Any) -> Path:
    for at, band in enumerate(BANDS):
        write(folder / f"{band}.tif", numbers[at], **profile)
    (folder / "item.json").write_text(json.dumps(content))
    return folder / "item.json"


def test_an_item_on_disk(tmp_path: Path, write, numbers) -> None:
    numbers[4, 2, 3] = 0
    content = item({"scale": 2.75e-5, "offset": -0.2}, platform="landsat-8", instruments=["oli", "tirs"])
    content["assets"]["qa_pixel"] = {"href": "qa.tif", "type": "image/tiff"}
    write(tmp_path / "qa.tif", np.full((61, 47), 8, dtype=np.uint16))
    with open_scene(publish(tmp_path, write, numbers, content)) as scene:
        rows = scene.read(0, 61)
        assert scene.name == "S1"
        assert scene.sensor.name == "landsat-oli"
        assert scene.applied["scaling_from"] == "raster:bands of the item"
        assert scene.read_clouds(0, 61).all()
    assert list(zip(*np.nonzero(~rows.observed), strict=True)) == [(2, 3)]
    expected = np.where(rows.observed, numbers * 2.75e-5 - 0.2, 0)
    np.testing.assert_allclose(rows.reflectance, expected, atol=1e-6)


def test_a_version_1_1_item_says_it_in_bands(tmp_path: Path, write, numbers) -> None:
    content = item(None)
    for key in KEYS:
        asset = content["assets"][key]
        del asset["eo:bands"]
        asset["bands"] = [{"name": key, "eo:common_name": key}]
        asset |= {"raster:scale": 1e-4, "raster:offset": -0.1, "nodata": 0}
    content["stac_version"] = "1.1.0"
    with open_scene(publish(tmp_path, write, numbers // 3, content)) as scene:
        np.testing.assert_allclose(scene.read(0, 61).reflectance, (numbers // 3) * 1e-4 - 0.1, atol=1e-6)


def test_asset_names_serve_where_nothing_is_described(tmp_path: Path, write, numbers) -> None:
    content = item(None)
    codes = ("B02", "B03", "B04", "B08", "B11", "B12")
    content["assets"] = {
        code: {"href": f"{band}.tif", "type": "image/tiff"} for code, band in zip(codes, BANDS, strict=True)
    }
    with open_scene(publish(tmp_path, write, numbers, content), scale=1e-5) as scene:
        np.testing.assert_allclose(scene.read(0, 61).reflectance, numbers * 1e-5, atol=1e-6)
        assert scene.sensor.name == "sentinel-2"


def test_an_offset_that_the_pixels_have_already_is_not_applied_twice(tmp_path: Path, write, numbers) -> None:
    content = item({"scale": 1e-4, "offset": -0.1}, platform="sentinel-2b", **{"earthsearch:boa_offset_applied": True})
    with open_scene(publish(tmp_path, write, numbers // 4, content)) as scene:
        np.testing.assert_allclose(scene.read(0, 61).reflectance, (numbers // 4) * 1e-4, atol=1e-6)
        assert "applied already" in scene.applied["scaling_from"]


def test_an_item_without_scaling_is_refused_unless_the_files_or_the_user_say_it(tmp_path: Path, write, numbers) -> None:
    path = publish(tmp_path, write, numbers, item(None, platform="sentinel-2a"))
    with pytest.raises(InputError, match=r"S1: its bands hold uint16 numbers.*--scale and --offset"):
        open_scene(path)
    path = publish(tmp_path, write, numbers, item(None), scales=[2e-5], offsets=[-0.1])
    with open_scene(path) as scene:
        np.testing.assert_allclose(scene.read(0, 61).reflectance, numbers * 2e-5 - 0.1, atol=1e-6)


def test_what_is_no_item_or_lacks_a_band_is_refused(tmp_path: Path, write, numbers) -> None:
    content = item({"scale": 1e-5})
    del content["assets"]["swir16"]
    with pytest.raises(InputError, match=r"S1: no band for swir1"):
        open_scene(publish(tmp_path, write, numbers, content))
    (tmp_path / "other.json").write_text('{"type": "Catalog"}')
    with pytest.raises(InputError, match="no STAC item"):
        open_scene(tmp_path / "other.json")
    (tmp_path / "broken.json").write_text('{"type": "Feat')
    with pytest.raises(InputError, match=r"broken\.json: can't be read as a STAC item"):
        open_scene(tmp_path / "broken.json")
    with pytest.raises(InputError, match=r"none\.json: can't be read"):
        open_scene(tmp_path / "none.json")


def test_an_item_over_http_is_read_by_ranges(server: Server, write) -> None:
    rng = np.random.default_rng(5)
    numbers = rng.integers(7300, 25000, (6, 2048, 1024)).astype(np.uint16)
    publish(
        server.folder, write, numbers, item({"scale": 2.75e-5, "offset": -0.2}),
        tiled=True, blockxsize=256, blockysize=256, compress="deflate", transform=Affine(30, 0, 0, 0, -30, 0),
    )  # fmt: skip
    with open_scene(f"{server.address}/item.json") as scene:
        crop = scene.window((1024, 1280), (256, 512))
        rows = crop.read(0, 256)
    np.testing.assert_allclose(rows.reflectance, numbers[:, 1024:1280, 256:512] * 2.75e-5 - 0.2, atol=1e-6)
    log = server.log()
    for band in BANDS:
        assert log["sent"][f"{band}.tif"] < 0.5 * (server.folder / f"{band}.tif").stat().st_size
    assert not [path for path in log["missing"] if path.endswith("/")]


def test_a_remote_raster_by_itself(server: Server, write, numbers) -> None:
    write(server.folder / "six.tif", numbers, list(BANDS))
    with open_scene(f"{server.address}/six.tif", scale=1e-5) as scene:
        np.testing.assert_allclose(scene.read(3, 40).reflectance, numbers[:, 3:40] * 1e-5, atol=1e-6)


def test_what_the_server_does_not_have_is_refused(server: Server, write, numbers) -> None:
    with pytest.raises(InputError, match=r"none\.json: can't be read as a STAC item: .*404"):
        open_scene(f"{server.address}/none.json")
    publish(server.folder, write, numbers, item({"scale": 1e-5}))
    (server.folder / "nir.tif").unlink()
    with pytest.raises(InputError, match=r"nir\.tif: can't be opened") as caught:
        open_scene(f"{server.address}/item.json")
    assert "\n" not in str(caught.value)
