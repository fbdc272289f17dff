"""Raster files that are no product."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.enums import ColorInterp

from narrows.errors import InputError
from narrows.rasters import BANDS, open_scene
from narrows.rasters.sensors import SENSORS


def test_descriptions_give_the_order_and_options_the_scaling(tmp_path: Path, write, numbers) -> None:
    shuffled = [3, 0, 5, 1, 4, 2]
    path = write(tmp_path / "six.tif", numbers[shuffled], [BANDS[at] for at in shuffled])
    with open_scene(path, scale=2.75e-5, offset=-0.2) as scene:
        rows = scene.read(0, 61)
    np.testing.assert_allclose(rows.reflectance, numbers * 2.75e-5 - 0.2, atol=1e-6)
    assert rows.observed.all()


def test_own_scale_and_offset_are_honoured_and_overridden(tmp_path: Path, write, numbers) -> None:
    path = write(tmp_path / "six.tif", numbers, list(BANDS), scales=[2e-5] * 6, offsets=[-0.1] * 6, nodata=0)
    with open_scene(path) as scene:
        own = scene.read(0, 61).reflectance
        assert scene.applied["scaling_from"] == "the file's own scale and offset"
        assert scene.applied["fill"] == "0"
    with open_scene(path, offset=0.0) as scene:
        other = scene.read(0, 61).reflectance
        assert "offset 0 given by the user" in scene.applied["scaling_from"]
    np.testing.assert_allclose(own, numbers * 2e-5 - 0.1, atol=1e-6)
    np.testing.assert_allclose(other, numbers * 2e-5, atol=1e-6)


def test_the_user_may_give_a_scale_and_an_offset_for_each_band(tmp_path: Path, write, numbers) -> None:
    path = write(tmp_path / "six.tif", numbers, list(BANDS))
    scale, offset = [1e-5, 2e-5, 3e-5, 4e-5, 5e-5, 6e-5], [0.0, -0.01, -0.02, -0.03, -0.04, -0.05]
    with open_scene(path, scale=scale, offset=offset) as scene:
        read = scene.read(0, 61).reflectance
        assert "scale blue 1e-05, green 2e-05" in scene.applied["scaling_from"]
    shape = (6, 1, 1)
    np.testing.assert_allclose(read, numbers * np.reshape(scale, shape) + np.reshape(offset, shape), atol=1e-6)


@pytest.mark.parametrize("given", [[1e-4, 2e-4], [1e-4] * 5 + [0], [1e-4] * 5 + [float("nan")]])
def test_scales_that_are_neither_one_nor_six_usable_numbers_are_refused(
    tmp_path: Path, write, numbers, given: list[float]
) -> None:
    path = write(tmp_path / "six.tif", numbers, list(BANDS))
    with pytest.raises(InputError, match="--scale"):
        open_scene(path, scale=given)


def test_colour_interpretation_gives_the_order(tmp_path: Path, write, numbers) -> None:
    path = write(tmp_path / "six.tif", numbers)
    with rasterio.open(path, "r+") as dataset:
        dataset.colorinterp = [
            ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.nir, ColorInterp.swir, ColorInterp.swir
        ]  # fmt: skip
    with open_scene(path, scale=1e-5) as scene:
        rows = scene.read(0, 61)
        assert "colour interpretation" in scene.applied["bands"]
    np.testing.assert_allclose(rows.reflectance, numbers[[2, 1, 0, 3, 4, 5]] * 1e-5, atol=1e-6)


def test_unnamed_bands_are_refused_with_the_options_that_settle_it(tmp_path: Path, write, numbers) -> None:
    path = write(tmp_path / "six.tif", numbers)
    with pytest.raises(InputError, match=r"six\.tif: its 6 bands have no names.*--bands blue,green") as caught:
        open_scene(path, scale=1e-4)
    assert "\n" not in str(caught.value)


def test_unknown_scaling_is_refused_with_the_options_that_settle_it(tmp_path: Path, write, numbers) -> None:
    path = write(tmp_path / "six.tif", numbers, list(BANDS))
    with pytest.raises(InputError, match=r"uint16 numbers.*--scale and --offset.*--scale 0\.0000275 --offset -0\.2"):
        open_scene(path)
    large = write(tmp_path / "large.tif", numbers.astype(np.float32), list(BANDS))
    with pytest.raises(InputError, match=r"no reflectance between 0 and 1"):
        open_scene(large)


def test_floats_between_0_and_1_are_read_as_reflectance_and_said_so(tmp_path: Path, write, numbers) -> None:
    values = (numbers * 2.75e-5 - 0.2).astype(np.float32)
    with open_scene(write(tmp_path / "six.tif", values, list(BANDS))) as scene:
        np.testing.assert_array_equal(scene.read(0, 61).reflectance, values)
        assert scene.applied["scaling_from"].startswith("read as reflectance: floating point, 0.0")


def test_a_sensor_settles_the_order_of_its_products_and_of_hls_the_scale(tmp_path: Path, write, numbers) -> None:
    seven = np.concatenate([numbers[:1] + 1, numbers])
    with open_scene(write(tmp_path / "l8.tif", seven), sensor="landsat-8", scale=2.75e-5, offset=-0.2) as scene:
        np.testing.assert_allclose(scene.read(0, 61).reflectance, numbers * 2.75e-5 - 0.2, atol=1e-6)
        assert scene.sensor is SENSORS["landsat-oli"]
    path = write(tmp_path / "hls.tif", (numbers // 8).astype(np.int16), list(BANDS))
    with open_scene(path, sensor="hls-l30") as scene:
        np.testing.assert_allclose(scene.read(0, 61).reflectance, (numbers // 8) * 1e-4, atol=1e-6)
        assert scene.applied["fill"] == "-9999"


def test_nodata_nan_and_infinity_are_not_observed_and_finite(tmp_path: Path, write, numbers) -> None:
    values = (numbers * 2.75e-5 - 0.2).astype(np.float32)
    values[0, 3, 4] = np.nan
    values[5, 7, 8] = np.inf
    values[2, 9, 10] = -np.inf
    values[1, 11, 12] = -9999
    with open_scene(write(tmp_path / "six.tif", values, list(BANDS), nodata=-9999), scale=1) as scene:
        rows = scene.read(0, 61)
    assert np.isfinite(rows.reflectance).all()
    assert sorted(zip(*np.nonzero(~rows.observed), strict=True)) == [(3, 4), (7, 8), (9, 10), (11, 12)]
    assert not rows.reflectance[:, ~rows.observed].any()


def test_the_files_own_mask_or_alpha_is_honoured(tmp_path: Path, write, numbers) -> None:
    seen = np.ones((61, 47), dtype=bool)
    seen[4:9, 20:30] = False
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        path = write(tmp_path / "masked.tif", numbers, list(BANDS))
        with rasterio.open(path, "r+") as dataset:
            dataset.write_mask(seen)
    alpha = write(tmp_path / "alpha.tif", np.concatenate([numbers, seen[None] * np.uint16(65535)]), [*BANDS, "alpha"])
    with rasterio.open(alpha, "r+") as dataset:
        dataset.colorinterp = [*dataset.colorinterp[:-1], ColorInterp.alpha]
    for each in (path, alpha):
        with open_scene(each, scale=1e-5) as scene:
            np.testing.assert_array_equal(scene.read(0, 61).observed, seen)


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_extreme_no_data_values_of_floats(tmp_path: Path, write, numbers, dtype: str) -> None:
    values = (numbers * 1e-5).astype(dtype)
    lowest = float(np.finfo(dtype).min)
    values[3, 2, 1] = lowest
    with open_scene(write(tmp_path / "six.tif", values, list(BANDS), nodata=lowest), scale=1) as scene:
        rows = scene.read(0, 61)
    assert list(zip(*np.nonzero(~rows.observed), strict=True)) == [(2, 1)]
    assert np.isfinite(rows.reflectance).all()


def test_the_users_nodata_replaces_the_files(tmp_path: Path, write, numbers) -> None:
    numbers[0, 0, 0], numbers[0, 1, 1] = 0, 65535
    path = write(tmp_path / "six.tif", numbers, list(BANDS), nodata=0)
    for nodata, expected in ((None, [(0, 0)]), (65535.0, [(1, 1)]), (float("nan"), [])):
        with open_scene(path, scale=1e-5, nodata=nodata) as scene:
            assert list(zip(*np.nonzero(~scene.read(0, 61).observed), strict=True)) == expected


def test_saturated_and_negative_values_stay_within_what_a_product_can_hold(tmp_path: Path, write) -> None:
    values = np.full((6, 4, 4), 0.1, dtype=np.float32)
    values[0, 0, 0], values[1, 1, 1], values[2, 2, 2] = 6.5, -0.05, -3.0
    with open_scene(write(tmp_path / "six.tif", values, list(BANDS)), scale=1) as scene:
        rows = scene.read(0, 4)
    assert rows.observed.all()
    assert rows.reflectance[0, 0, 0] == np.float32(1.6)
    assert rows.reflectance[1, 1, 1] == np.float32(-0.05)
    assert rows.reflectance[2, 2, 2] == np.float32(-0.2)


def test_separate_files_by_list_and_by_name(tmp_path: Path, write, numbers) -> None:
    paths = [write(tmp_path / f"{band}.tif", numbers[at]) for at, band in enumerate(BANDS)]
    expected = numbers * 1e-5
    for given in (
        paths,
        dict(zip(BANDS, paths, strict=True)),
        dict(zip(reversed(BANDS), reversed(paths), strict=True)),
    ):
        with open_scene(given, scale=1e-5) as scene:
            np.testing.assert_allclose(scene.read(0, 61).reflectance, expected, atol=1e-6)
    codes = dict(zip(("B1", "B2", "B3", "B4", "B5", "B7"), paths, strict=True))
    with open_scene(None, files=codes, scale=1e-5, sensor="tm") as scene:
        np.testing.assert_allclose(scene.read(0, 61).reflectance, expected, atol=1e-6)


def test_separate_files_that_do_not_fit_are_refused(tmp_path: Path, write, numbers) -> None:
    paths = [write(tmp_path / f"{band}.tif", numbers[at]) for at, band in enumerate(BANDS)]
    with pytest.raises(InputError, match="give six files"):
        open_scene(paths[:5], scale=1e-5)
    with pytest.raises(InputError, match="no band for swir2"):
        open_scene(dict(zip(BANDS[:5], paths[:5], strict=True)), scale=1e-5)
    smaller = write(tmp_path / "smaller.tif", numbers[0, :50])
    with pytest.raises(InputError, match=r"sizes.*61 x 47.*smaller\.tif is 50 x 47"):
        open_scene([*paths[:5], smaller], scale=1e-5)
    elsewhere = write(tmp_path / "crs.tif", numbers[0], crs=CRS.from_epsg(32631))
    with pytest.raises(InputError, match=r"different CRSs: .*EPSG:32630.*EPSG:32631"):
        open_scene([*paths[:5], elsewhere], scale=1e-5)
    moved = write(tmp_path / "moved.tif", numbers[0], transform=Affine(30, 0, 390045, 0, -30, 5000025))
    with pytest.raises(InputError, match=r"different grids: .*moved\.tif is 30 units off"):
        open_scene([*paths[:5], moved], scale=1e-5)
    several = write(tmp_path / "several.tif", numbers[:2])
    with pytest.raises(InputError, match=r"has 2 bands, where one"):
        open_scene([*paths[:5], several], scale=1e-5)


def test_bad_files_are_refused_in_one_line(tmp_path: Path, write, numbers) -> None:
    with pytest.raises(InputError, match="there is no such file or folder"):
        open_scene(tmp_path / "nothing.tif")
    text = tmp_path / "text.tif"
    text.write_text("this is no raster")
    with pytest.raises(InputError, match="can't be opened as a raster") as caught:
        open_scene(text)
    assert str(caught.value).count(str(text)) == 1
    (tmp_path / "void.tif").touch()
    with pytest.raises(InputError, match="can't be opened as a raster"):
        open_scene(tmp_path / "void.tif")
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match=r"no product that is known.*MTL.*MTD_MSI"):
        open_scene(tmp_path / "folder")
    with pytest.raises(InputError, match="holds complex64 numbers"):
        open_scene(write(tmp_path / "complex.tif", numbers.astype(np.complex64), list(BANDS)), scale=1)
    with pytest.raises(InputError, match="has 2 bands; six are needed"):
        open_scene(write(tmp_path / "two.tif", numbers[:2]))
    with pytest.raises(InputError, match="--sensor kodak: unknown"):
        open_scene(write(tmp_path / "six.tif", numbers), sensor="kodak")
    with pytest.raises(InputError, match="--scale 0"):
        open_scene(tmp_path / "six.tif", scale=0)
    with pytest.raises(InputError, match="--scale nan"):
        open_scene(tmp_path / "six.tif", scale=float("nan"))


def test_a_file_cut_short_is_refused_where_it_ends(tmp_path: Path, write) -> None:
    noise = np.random.default_rng(0).integers(1000, 20000, (6, 2000, 200)).astype(np.uint16)
    path = write(tmp_path / "six.tif", noise, list(BANDS), compress="deflate", interleave="pixel")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 3 // 4])

    def read_all() -> None:
        with open_scene(path, scale=1e-5) as scene:
            for start in range(0, 2000, 100):
                scene.read(start, start + 100)

    with pytest.raises(InputError, match=r"six\.tif: .*can't be (read; the file is damaged|opened)") as caught:
        read_all()
    assert "\n" not in str(caught.value)


def test_a_missing_crs_is_said_and_areas_are_unknown(tmp_path: Path, write, numbers, caplog) -> None:
    path = write(tmp_path / "six.tif", numbers, list(BANDS), crs=None, transform=Affine.identity())
    with caplog.at_level(logging.INFO, logger="narrows"), open_scene(path, scale=1e-5) as scene:
        assert scene.crs is None
        assert scene.transform is None
        assert scene.pixel_areas(0, 3) is None
        assert scene.grid_origin == (0, 0)
        assert scene.window((3, 9), (4, 8)).grid_origin == (3, 4)
    assert "has no CRS" in caplog.text
    assert "scale: 1e-05" in caplog.text


def test_a_wrong_scale_is_doubted(tmp_path: Path, write, numbers, caplog) -> None:
    path = write(tmp_path / "six.tif", numbers, list(BANDS))
    with open_scene(path, scale=1e-5, offset=-0.4) as scene:
        assert "the offset may be in them already" in scene.applied["doubt"]
    with open_scene(path, scale=1) as scene:
        assert "the scale may be wrong" in scene.applied["doubt"]
    assert caplog.text.count("of the pixels sampled") == 2


def test_blocks_of_zeros_without_a_no_data_value_are_doubted(tmp_path: Path, write, numbers, caplog) -> None:
    values = numbers.copy()
    values[:, -30:, -30:] = 0
    path = write(tmp_path / "six.tif", values, list(BANDS))
    with open_scene(path, scale=1e-5, offset=-0.01) as scene:
        assert "(--nodata 0)" in scene.applied["doubt"]
    assert caplog.text.count("blocks of zeros") == 1
    with open_scene(path, scale=1e-5, nodata=0) as scene:
        assert "doubt" not in scene.applied
    values[0, -30:, -30:] = 1
    with open_scene(write(tmp_path / "blue.tif", values, list(BANDS)), scale=1e-5) as scene:
        assert "doubt" not in scene.applied


def test_real_files(shared_data: Path) -> None:
    """Named bands, a sensor's order, floats that are not reflectance: the single files of the shared data."""
    other = shared_data / "scenes" / "other"
    with pytest.raises(InputError, match="uint16 numbers"):
        open_scene(other / "s2_aquileia_20190416_6band.tif")
    with pytest.raises(InputError, match="no names"):
        open_scene(other / "L7_ETMs.tif")
    with pytest.raises(InputError, match="no names"):
        open_scene(other / "LC08_003069_20180906_clip.tif", scale=1e-4)
    with open_scene(other / "s2_aquileia_20190416_6band.tif", scale=1 / 65535, nodata=0) as scene:
        rows = scene.read(0, scene.height)
        means: NDArray[np.float32] = rows.reflectance[:, rows.observed].mean(axis=1)
        assert rows.observed.mean() == pytest.approx(0.97, abs=0.02)
        assert 0.05 < means[0] < means[3] < 0.4
    with open_scene(other / "L8_Taylorsville.tif", sensor="landsat-8", scale=1e-4) as scene:
        with rasterio.open(other / "L8_Taylorsville.tif") as dataset:
            wanted = dataset.read([2, 3, 4, 5, 6, 7])
        rows = scene.read(100, 140)
        np.testing.assert_array_equal(rows.observed, (wanted[:, 100:140] != -32).all(axis=0))
        np.testing.assert_allclose(
            rows.reflectance[:, rows.observed], wanted[:, 100:140][:, rows.observed] * 1e-4, atol=1e-6
        )
