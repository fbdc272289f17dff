from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine
from PIL import Image
from tests.builders.geotiff import PLACE, write_raster

from narrows.errors import InputError
from narrows.rasters import open_scene
from narrows.water.evaluation.pairs import find_pairs
from narrows.water.evaluation.truth import read_truth

BANDS = ["blue", "green", "red", "nir", "swir1", "swir2"]
CLASSES = np.array([[0, 1, 2], [3, 4, 255]], np.uint8)


def scene_at(path: Path, **more: Any) -> Path:
    numbers = np.full((6, 2, 3), 1000, np.uint16)
    return write_raster(path, numbers, BANDS, scales=(1e-4,) * 6, offsets=(0.0,) * 6, **more)


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    return scene_at(tmp_path / "pond.tif")


def test_a_mask_that_fits(tmp_path: Path, scene: Path) -> None:
    tif = write_raster(tmp_path / "m.tif", CLASSES)
    png = tmp_path / "m.png"
    Image.fromarray(CLASSES).save(png)
    with open_scene(scene) as opened:
        for path in (tif, png):
            np.testing.assert_array_equal(read_truth(path, opened), CLASSES)


@pytest.mark.parametrize(
    ("classes", "more", "said"),
    [
        (np.zeros((3, 3), np.uint8), {}, "3 x 3 pixels, where pond.tif has 2 x 3"),
        (CLASSES, {"crs": "EPSG:32631"}, "EPSG:32631"),
        (CLASSES, {"transform": PLACE @ Affine.translation(1, 0)}, "column 1.00"),
        (CLASSES, {"transform": PLACE @ Affine.scale(2)}, "column 6.00"),
        (CLASSES + np.uint8(3), {}, "holds 5, 6, 7"),
        (CLASSES.astype(np.float32), {}, "float32"),
        (np.full((2, 3), 255, np.uint8), {}, "no pixel to score"),
    ],
)
def test_a_mask_that_does_not_fit(
    tmp_path: Path, scene: Path, classes: np.ndarray, more: dict[str, Any], said: str
) -> None:
    path = write_raster(tmp_path / "m.tif", classes, **more)
    with open_scene(scene) as opened, pytest.raises(InputError, match=said):
        read_truth(path, opened)


def test_a_mask_with_a_place_for_a_scene_without(tmp_path: Path) -> None:
    path = scene_at(tmp_path / "bare.tif", crs=None, transform=None)
    mask = write_raster(tmp_path / "m.tif", CLASSES)
    with open_scene(path) as opened, pytest.raises(InputError, match="has none"):
        read_truth(mask, opened)


def test_pairs_of_a_folder(tmp_path: Path) -> None:
    for name in ("a", "b"):
        scene_at(tmp_path / f"{name}.tif")
        write_raster(tmp_path / f"{name}_mask.tif", CLASSES)
    scene_at(tmp_path / "without.tif")
    pairs = find_pairs(str(tmp_path), None, {})
    assert [(pair.name, pair.mask.name) for pair in pairs] == [("a", "a_mask.tif"), ("b", "b_mask.tif")]
    view, truth = pairs[0].read()
    assert view.reflectance == pytest.approx(np.full((6, 2, 3), 0.1))
    assert view.name == "a"
    np.testing.assert_array_equal(truth, CLASSES)
    write_raster(tmp_path / "c_mask.tif", CLASSES)
    with pytest.raises(InputError, match="no scene called c"):
        find_pairs(str(tmp_path), None, {})


def test_pairs_of_a_list_with_windows(tmp_path: Path) -> None:
    numbers = np.arange(6 * 10 * 12, dtype=np.uint16).reshape(6, 10, 12)
    write_raster(tmp_path / "big.tif", numbers)
    write_raster(tmp_path / "m.tif", CLASSES, transform=PLACE @ Affine.translation(5, 4))
    listed = tmp_path / "list.csv"
    listed.write_text('scene,mask,row,column,height,width,bands,scale\nbig.tif,m.tif,4,5,2,3,"1,2,3,4,5,6",0.001\n')
    (pair,) = find_pairs(str(listed), None, {})
    pair.check()
    view, _ = pair.read()
    np.testing.assert_allclose(view.reflectance, numbers[:, 4:6, 5:8] * 1e-3, rtol=1e-6)
    assert pair.name == "big at 4, 5"
    assert view.transform == PLACE @ Affine.translation(5, 4)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("scene,mask\n", "lists no scene"),
        ("scene,truth\na,b\n", "truth"),
        ("scene\na\n", "columns scene and mask"),
        ("scene,mask,row\na,b,4\n", "line 2: a window"),
        ("scene,mask,row\na,b,four\n", "line 2"),
    ],
)
def test_lists_that_are_none(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "list.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=said):
        find_pairs(str(path), None, {})
    with pytest.raises(InputError, match="--mask"):
        find_pairs(str(tmp_path / "scene.tif"), None, {})
    with pytest.raises(InputError, match="no such file"):
        find_pairs(str(tmp_path / "none.csv"), None, {})
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(InputError, match="NAME_mask"):
        find_pairs(str(empty), None, {})
