"""What every scene does, whatever it was read from."""

from __future__ import annotations

import threading
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from rasterio.crs import CRS
from rasterio.windows import Window

from narrows.errors import InputError
from narrows.rasters import BANDS, open_scene, raster_environment
from narrows.rasters.images import RasterImage


@pytest.fixture
def six(tmp_path: Path, write, numbers) -> Path:
    return write(tmp_path / "six.tif", numbers, list(BANDS), nodata=0)


@pytest.mark.parametrize("strip", [1, 8, 60, 61])
def test_strips_make_up_the_scene(six: Path, numbers, strip: int) -> None:
    with open_scene(six, scale=1e-5) as scene:
        parts = [scene.read(start, min(61, start + strip)) for start in range(0, 61, strip)]
    assert [(part.start, part.stop) for part in parts][:1] == [(0, strip)]
    assert all(part.reflectance.dtype == np.float32 for part in parts)
    np.testing.assert_allclose(np.concatenate([part.reflectance for part in parts], axis=1), numbers * 1e-5, atol=1e-6)


def test_windows_read_only_their_windows(six: Path, numbers, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Window] = []
    original = RasterImage.read

    def spy(self, indexes, rows, columns):
        read.append((rows, columns))
        return original(self, indexes, rows, columns)

    with open_scene(six, scale=1e-5) as scene:
        monkeypatch.setattr(RasterImage, "read", spy)
        part = scene.window((20, 40), (10, 30)).window((5, 15), (0, 7))
        assert (part.height, part.width, part.shape) == (10, 7, (6, 10, 7))
        rows = part.read(2, 6)
    assert read == [((27, 31), (10, 17))]
    np.testing.assert_allclose(rows.reflectance, numbers[:, 27:31, 10:17] * 1e-5, atol=1e-6)


def test_crops_by_bounds_take_whole_pixels(six: Path) -> None:
    with open_scene(six, scale=1e-5) as scene:
        west, north = scene.transform.c, scene.transform.f
        part = scene.crop((west + 31, north - 95, west + 90, north - 59))
        assert (part.height, part.width) == (3, 2)
        assert part.transform == Affine(30, 0, west + 30, 0, -30, north - 30)
        whole = scene.crop((west - 1e6, north - 1e6, west + 1e6, north + 1e6))
        assert whole.shape == scene.shape
        with pytest.raises(InputError, match="doesn't touch the scene"):
            scene.crop((west - 500, north, west - 100, north + 300))
    with pytest.raises(InputError, match="not inside its 61 x 47 pixels"):
        scene.window((0, 62), (0, 47))


def test_the_absolute_grid_is_the_same_for_a_crop_on_disk(tmp_path: Path, write, numbers) -> None:
    for corner in (390000.0, 390015.0, 390007.3):
        place = Affine(30, 0, corner, 0, -30, 5000000 - corner)
        whole = write(tmp_path / "whole.tif", numbers, list(BANDS), transform=place)
        part = write(
            tmp_path / "part.tif", numbers[:, 13:, 29:], list(BANDS), transform=place @ Affine.translation(29, 13)
        )
        with open_scene(whole, scale=1e-5) as scene, open_scene(part, scale=1e-5) as crop:
            row, column = scene.grid_origin
            assert crop.grid_origin == (row + 13, column + 29)
            assert scene.window((13, 61), (29, 47)).grid_origin == crop.grid_origin
            assert abs(column - corner / 30) <= 1


def test_rotated_grids_are_read_as_they_lie(tmp_path: Path, write, numbers) -> None:
    place = Affine.translation(390000, 5000000) @ Affine.rotation(20) @ Affine.scale(30, -30)
    path = write(tmp_path / "six.tif", numbers, list(BANDS), transform=place)
    with open_scene(path, scale=1e-5) as scene:
        assert scene.transform.almost_equals(place, precision=1e-6)
        np.testing.assert_allclose(scene.pixel_areas(0, 61), 900)
        part = scene.window((5, 9), (3, 8))
        assert part.transform.almost_equals(place @ Affine.translation(3, 5), precision=1e-6)
        assert part.grid_origin == (5, 3)
        centre = place @ (20.5, 30.5)
        crop = scene.crop((centre[0] - 1, centre[1] - 1, centre[0] + 1, centre[1] + 1))
        assert crop.shape == (6, 1, 1)


def test_geographic_grids_have_areas_by_row(tmp_path: Path, write, numbers) -> None:
    place = Affine(0.01, 0, 10, 0, -0.01, 60)
    path = write(tmp_path / "six.tif", numbers, list(BANDS), transform=place, crs=CRS.from_epsg(4326))
    with open_scene(path, scale=1e-5) as scene:
        areas = scene.pixel_areas(0, 61)
        assert np.all(np.diff(areas) > 0)
        np.testing.assert_allclose(scene.window((10, 20), (0, 47)).pixel_areas(0, 10), areas[10:20], rtol=1e-9)


def test_all_no_data_reads_as_nothing_observed(tmp_path: Path, write) -> None:
    path = write(tmp_path / "six.tif", np.zeros((6, 20, 30), dtype=np.uint16), list(BANDS), nodata=0)
    with open_scene(path, scale=1e-5, offset=-0.2) as scene:
        rows = scene.read(0, 20)
    assert not rows.observed.any()
    assert not rows.reflectance.any()


def test_rows_outside_are_refused(six: Path) -> None:
    with open_scene(six, scale=1e-5) as scene:
        for start, stop in ((-1, 3), (5, 5), (60, 62)):
            with pytest.raises(InputError, match="not inside its 61 rows"):
                scene.read(start, stop)


def test_another_thread_may_read(six: Path, numbers) -> None:
    found = []
    with raster_environment(2**20), open_scene(six, scale=1e-5) as scene:
        thread = threading.Thread(target=lambda: found.append(scene.read(0, 61).reflectance))
        thread.start()
        thread.join()
    np.testing.assert_allclose(found[0], numbers * 1e-5, atol=1e-6)


def test_the_cache_that_rows_need(tmp_path: Path, write) -> None:
    values = np.zeros((6, 600, 700), dtype=np.uint16)
    tiled = {"tiled": True, "blockxsize": 256, "blockysize": 128}
    by_band = write(tmp_path / "band.tif", values, list(BANDS), interleave="band", **tiled)
    by_pixel = write(tmp_path / "pixel.tif", values, list(BANDS), interleave="pixel", **tiled)
    striped = write(tmp_path / "striped.tif", values, list(BANDS), interleave="band", blockysize=1)
    for path, pixels in ((by_band, 3 * 256 * 128), (by_pixel, 3 * 256 * 128), (striped, 700)):
        with open_scene(path, scale=1) as scene:
            assert 0 <= scene.cache_bytes - 6 * 2 * pixels < 10_000
            if path is not striped:
                part = scene.window((0, 600), (200, 300))
                assert 0 <= part.cache_bytes - 6 * 2 * pixels * 2 // 3 < 10_000


def test_different_sizes_and_kinds_fit_only_by_two(tmp_path: Path, write, numbers) -> None:
    """Coarser bands on half the grid are raised to the finest, as in Sentinel-2; others are refused."""
    fine = Affine(10, 0, 0, 0, -10, 0)
    paths = [write(tmp_path / f"{band}.tif", numbers[at], transform=fine) for at, band in enumerate(BANDS[:5])]
    half = write(tmp_path / "half.tif", numbers[5, :31, :24], transform=fine @ Affine.scale(2))
    with open_scene([*paths, half], scale=1e-5) as scene:
        rows = scene.read(0, 61)
    assert rows.reflectance[5, 20, 20] == pytest.approx(
        np.average(numbers[5, 9:11, 9:11], weights=np.outer([1, 3], [1, 3])) * 1e-5, rel=1e-5
    )
    third = write(tmp_path / "third.tif", numbers[5, :20, :15], transform=fine @ Affine.scale(3))
    with pytest.raises(InputError, match="sizes"):
        open_scene([*paths, third], scale=1e-5)


@pytest.mark.parametrize(
    ("sensor", "options"),
    [("oli", {"interleave": "band"}), ("oli", {"interleave": "pixel"}), ("etm", {"interleave": "band"}), ("oli", None)],
)
def test_reading_takes_no_more_memory_than_said(tmp_path: Path, write, sensor: str, options: dict | None) -> None:
    values = np.random.default_rng(0).integers(0, 20000, (6, 400, 1000)).astype(np.uint16)
    if options is None:
        fine = Affine(10, 0, 0, 0, -10, 0)
        files = [write(tmp_path / f"{at}.tif", values[at], transform=fine) for at in range(4)]
        files += [
            write(tmp_path / f"{at}.tif", values[at, :200, :500], transform=fine @ Affine.scale(2)) for at in (4, 5)
        ]
    else:
        files = write(tmp_path / "six.tif", values, list(BANDS), nodata=0, **options)
    with open_scene(files, sensor=sensor, scale=1e-5) as scene:
        scene.read(0, 100)
        tracemalloc.start()
        for start in (100, 200, 300):
            rows = scene.read(start, start + 100)
            del rows
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert 0.4 * scene.read_bytes(100) < peak <= scene.read_bytes(100)
