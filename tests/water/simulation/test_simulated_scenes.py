from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine

from narrows.errors import InputError, OutputError
from narrows.water.indices import mndwi
from narrows.water.simulation import simulate_blocks, simulate_scene, write_scene
from narrows.water.simulation.geotiff import footprint
from narrows.water.simulation.noise import FractalNoise


def test_a_seed_gives_one_scene_and_another_seed_another() -> None:
    first, again, other = (simulate_scene(40, 64, seed) for seed in (3, 3, 4))
    assert np.array_equal(first[0], again[0])
    assert np.array_equal(first[1], again[1])
    assert not np.allclose(first[0], other[0], atol=0.01)


@pytest.mark.parametrize("rows", [1, 7, 64, 500])
def test_blocks_of_any_height_give_the_same_pixels(rows: int) -> None:
    reflectance, water = simulate_scene(130, 90, 5)
    blocks = list(simulate_blocks(130, 90, 5, rows=rows))
    assert np.allclose(np.concatenate([b[0] for b in blocks], 1), reflectance, atol=1e-5)
    assert np.mean(np.concatenate([b[1] for b in blocks], 0) != water) < 1e-3


def test_water_looks_like_water() -> None:
    reflectance, water = simulate_scene(512, 1024, 5, kind="lakes")
    assert reflectance.dtype == np.float32
    assert water.dtype == np.uint8
    assert 0.02 < water.mean() < 0.6
    assert reflectance.min() > -0.05
    assert reflectance.max() < 1.2
    wet = mndwi(reflectance)
    assert np.median(wet[water == 1]) > 0.2
    assert np.median(wet[water == 0]) < -0.2


def test_noise_has_zero_mean_and_unit_spread() -> None:
    field = FractalNoise(1, 2, 16, 4).rows(-1, 1023, 1024)
    assert abs(field.mean()) < 0.1
    assert field.std() == pytest.approx(1, abs=0.1)


def test_nothing_is_simulated_without_pixels() -> None:
    with pytest.raises(InputError, match="no pixels"):
        simulate_scene(0, 10, 1)
    with pytest.raises(InputError, match="seed"):
        simulate_scene(10, 10, -1)


def test_written_scene_reads_back_as_landsat(tmp_path: Path) -> None:
    transform = Affine(30, 0, 500_000, 0, -30, 1_000_000)
    path, truth = tmp_path / "scene.tif", tmp_path / "truth.tif"
    write_scene(path, 300, 280, 9, crs="EPSG:32718", transform=transform, truth=truth)
    reflectance, water = simulate_scene(300, 280, 9)
    with rasterio.open(path) as scene, rasterio.open(truth) as mask:
        assert scene.crs.to_epsg() == 32718
        assert scene.transform == transform
        assert scene.dtypes == ("uint16",) * 6
        assert scene.descriptions == ("blue", "green", "red", "nir", "swir1", "swir2")
        numbers, known = scene.read(), mask.read(1)
        assert scene.scales == (2.75e-5,) * 6
    seen = footprint(300, 280, 0, 300)
    assert (numbers[:, ~seen] == 0).all()
    assert (numbers[:, seen] > 0).all()
    assert np.allclose(numbers[:, seen] * 2.75e-5 - 0.2, reflectance[:, seen], atol=2e-5)
    assert (known[~seen] == 255).all()
    assert np.mean(known[seen] != water[seen]) < 1e-3


def test_footprint_is_one_tilted_piece() -> None:
    seen = footprint(400, 400, 0, 400)
    assert 0.6 < seen.mean() < 0.75
    assert np.array_equal(seen[100:200], footprint(400, 400, 100, 200))
    for corner in (seen[0, 0], seen[0, -1], seen[-1, 0], seen[-1, -1]):
        assert not corner
    assert (np.abs(np.diff(seen.astype(int), axis=1)).sum(1) <= 2).all()


def test_an_existing_scene_stays(tmp_path: Path) -> None:
    path = tmp_path / "scene.tif"
    path.write_text("mine")
    with pytest.raises(OutputError, match="exists"):
        write_scene(path, 20, 20, 1)
    assert path.read_text() == "mine"
    write_scene(path, 20, 20, 1, overwrite=True)
    assert path.stat().st_size > 100
    assert list(tmp_path.iterdir()) == [path]


def test_an_unknown_crs_is_refused_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="999999"):
        write_scene(tmp_path / "scene.tif", 20, 20, 1, crs="EPSG:999999")
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr("narrows.water.simulation.geotiff.simulate_blocks", broken)
    with pytest.raises(OutputError, match="disk is full"):
        write_scene(tmp_path / "scene.tif", 20, 20, 1)
    assert list(tmp_path.iterdir()) == []


def test_the_splits_share_no_ground() -> None:
    train, test = (simulate_scene(64, 64, 6, kind="lakes", split=split)[0] for split in ("train", "test"))
    correlation = np.corrcoef(train[3].ravel(), test[3].ravel())[0, 1]
    assert abs(correlation) < 0.5
