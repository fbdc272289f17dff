"""Sentinel-2 SAFE products, with JP2 files written by GDAL's OpenJPEG driver."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from affine import Affine
from numpy.typing import NDArray
from tests.builders.sentinel2 import COARSE, CORNER, FINE, SIDE, make_safe, write_jp2

from narrows.errors import InputError
from narrows.rasters import open_scene
from narrows.rasters.sentinel2 import parse_sentinel2


@pytest.fixture
def pixels() -> dict[str, NDArray[np.uint16]]:
    rng = np.random.default_rng(11)
    fine = {band: rng.integers(1, 9000, (SIDE, SIDE)).astype(np.uint16) for band in FINE}
    coarse = {band: rng.integers(1, 9000, (SIDE // 2, SIDE // 2)).astype(np.uint16) for band in COARSE}
    return fine | coarse


def expected(pixels: dict[str, NDArray[np.uint16]], offsets: list[float]) -> NDArray[np.float32]:
    """All six bands on the 10 m grid, the coarse ones by torch."""
    bands = []
    for band, offset in zip((*FINE, *COARSE), offsets, strict=True):
        values = torch.from_numpy(pixels[band].astype(np.float32))[None, None]
        if band in COARSE:
            values = torch.nn.functional.interpolate(values, scale_factor=2, mode="bilinear", align_corners=False)
        bands.append((values[0, 0].numpy() + offset) / 10000)
    return np.stack(bands)


@pytest.mark.parametrize("level", ["L1C", "L2A"])
@pytest.mark.parametrize("offset", [None, -1000])
def test_reflectance_is_the_xmls(tmp_path: Path, pixels, level: str, offset: int | None) -> None:
    ids = [1, 2, 3, 7, 11, 12]
    offsets = [0.0] * 6 if offset is None else [float(offset - at) for at in ids]
    with open_scene(make_safe(tmp_path, level, offset, pixels)) as scene:
        assert scene.shape == (6, SIDE, SIDE)
        assert scene.transform == Affine(10, 0, CORNER[0], 0, -10, CORNER[1])
        rows = scene.read(0, SIDE)
        assert scene.applied["level"].startswith(level)
        assert ("ADD_OFFSET and" in scene.applied["scaling_from"]) == (offset is not None)
    np.testing.assert_allclose(rows.reflectance, np.clip(expected(pixels, offsets), -0.2, 1.6), atol=1e-6)
    assert rows.observed.all()


@pytest.mark.parametrize("strip", [1, 3, 50])
def test_strips_and_crops_equal_the_whole(tmp_path: Path, pixels, strip: int) -> None:
    whole = expected(pixels, [0.0] * 6)
    with open_scene(make_safe(tmp_path, "L2A", None, pixels)) as scene:
        parts = [scene.read(start, min(SIDE, start + strip)).reflectance for start in range(0, SIDE, strip)]
        crop = scene.window((31, 90), (17, 101))
        cropped = [crop.read(start, min(59, start + strip)).reflectance for start in range(0, 59, strip)]
    np.testing.assert_allclose(np.concatenate(parts, axis=1), whole, atol=1e-6)
    np.testing.assert_allclose(np.concatenate(cropped, axis=1), whole[:, 31:90, 17:101], atol=1e-6)


def test_no_data_of_a_coarse_band_spreads_to_what_is_made_of_it(tmp_path: Path, pixels) -> None:
    pixels["B03"][5, 6] = 0
    pixels["B12"][20, 30] = 0
    with open_scene(make_safe(tmp_path, "L2A", -1000, pixels)) as scene:
        rows = scene.read(0, SIDE)
    missing = np.zeros((SIDE, SIDE), dtype=bool)
    missing[5, 6] = True
    missing[39:43, 59:63] = True
    np.testing.assert_array_equal(~rows.observed, missing)


def test_a_zip_reads_as_its_folder(tmp_path: Path, pixels) -> None:
    safe = make_safe(tmp_path, "L2A", -1000, pixels, classes=True)
    packed = tmp_path / "product.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        for each in sorted(safe.rglob("*")):
            archive.write(each, each.relative_to(tmp_path).as_posix())
    with open_scene(safe) as one, open_scene(packed) as other:
        np.testing.assert_array_equal(one.read(7, 60).reflectance, other.read(7, 60).reflectance)
        np.testing.assert_array_equal(one.read_clouds(7, 60), other.read_clouds(7, 60))


def test_scene_classes_are_clouds_and_shadows_on_the_fine_grid(tmp_path: Path, pixels) -> None:
    with open_scene(make_safe(tmp_path, "L2A", -1000, pixels, classes=True)) as scene:
        parts = [scene.read_clouds(start, start + 8) for start in range(0, SIDE, 8)]
    clouds = np.concatenate([part for part in parts if part is not None])
    rows = [label in (3, 8, 9, 10) for label in np.arange(12).repeat(SIDE // 12)]
    np.testing.assert_array_equal(clouds, np.array(rows, dtype=np.uint8)[:, None].repeat(SIDE, axis=1))


def test_without_10_m_files_the_scene_is_on_the_20_m_grid(tmp_path: Path, pixels) -> None:
    coarse = {band: values[::2, ::2] if values.shape[0] == SIDE else values for band, values in pixels.items()}
    coarse["B8A"] = coarse.pop("B08")
    with open_scene(make_safe(tmp_path, "L2A", None, coarse)) as scene:
        assert scene.shape == (6, SIDE // 2, SIDE // 2)
        np.testing.assert_allclose(scene.read(0, 60).reflectance[3], coarse["B8A"] / 10000, atol=1e-6)


def test_what_is_missing_is_named(tmp_path: Path, pixels) -> None:
    safe = make_safe(tmp_path, "L2A", -1000, pixels)
    next(safe.rglob("*B11_20m.jp2")).unlink()
    with pytest.raises(InputError, match=r"the swir1 band \(B11\) is missing"):
        open_scene(safe)
    xml = safe / "MTD_MSIL2A.xml"
    text = xml.read_text()
    xml.write_text(text[: len(text) // 2])
    with pytest.raises(InputError, match="no Sentinel-2 metadata"):
        open_scene(safe)
    xml.write_text(text.replace("BOA_QUANTIFICATION_VALUE", "SOMETHING_ELSE"))
    with pytest.raises(InputError, match="doesn't give BOA_QUANTIFICATION_VALUE"):
        open_scene(safe)
    xml.unlink()
    with pytest.raises(InputError, match=r"no MTD_MSIL1C\.xml or MTD_MSIL2A\.xml"):
        open_scene(safe)


def test_a_damaged_jp2_is_refused(tmp_path: Path, pixels) -> None:
    safe = make_safe(tmp_path, "L2A", -1000, pixels)
    path = next(safe.rglob("*B04_10m.jp2"))
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(InputError, match=r"B04_10m\.jp2") as caught, open_scene(safe) as scene:
        scene.read(0, SIDE)
    assert "\n" not in str(caught.value)


OFFSETS = {"N0301": {}, "N0212": {}, "N0214": {}, "N0400": -1000.0, "N0509": -1000.0}


def test_real_metadata(shared_data: Path, tmp_path: Path, pixels) -> None:
    """Each of the five products' own XML leads to the JP2 files written where it lists them."""
    found = sorted((shared_data / "products" / "sentinel2").glob("*.SAFE"))
    assert len(found) == 5
    for source in found:
        xml = next(source.glob("MTD_MSI*.xml"))
        said = parse_sentinel2(xml.read_text(), xml.name)
        baseline = next(key for key in OFFSETS if key in source.name)
        assert f"N{said.baseline.replace('.', '')}" == baseline
        assert said.quantification == 10000
        assert set(said.offsets.values()) == (set() if not OFFSETS[baseline] else {OFFSETS[baseline]})
        safe = tmp_path / source.name
        shutil.copytree(source, safe)
        for image in said.images:
            for band, values in pixels.items():
                size = 10 if band in FINE else 20
                if image.endswith(f"_{band}" if said.level == "L1C" else f"_{band}_{size}m"):
                    write_jp2(safe / f"{image}.jp2", values, size)
        with open_scene(safe) as scene:
            rows = scene.read(10, 90)
            assert said.spacecraft in scene.applied["sensor"]
        wanted = expected(pixels, [float(OFFSETS[baseline] or 0)] * 6)
        np.testing.assert_allclose(rows.reflectance, wanted[:, 10:90], atol=1e-6)
