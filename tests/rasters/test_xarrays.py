"""xarray arrays, as rioxarray opens and writes them."""

from __future__ import annotations

from pathlib import Path

import dask.array
import numpy as np
import pytest
import rioxarray
import xarray as xr
from affine import Affine

from narrows.errors import InputError
from narrows.rasters import BANDS, open_scene

SCALED = {"scales": [2.75e-5] * 6, "offsets": [-0.2] * 6, "nodata": 0}


@pytest.fixture
def scaled(tmp_path: Path, write, numbers) -> Path:
    numbers[3, 10, 11] = 0
    return write(tmp_path / "six.tif", numbers, list(BANDS), **SCALED)


@pytest.mark.parametrize(
    "options",
    [{}, {"masked": True}, {"mask_and_scale": True}, {"chunks": {"y": 16}}, {"chunks": True, "mask_and_scale": True}],
)
@pytest.mark.parametrize("variables", [False, True])
def test_rioxarray_never_scales_twice(scaled: Path, options: dict[str, object], variables: bool) -> None:
    with open_scene(scaled) as scene:
        expected = scene.read(0, 61)
        place = scene.transform
    array = rioxarray.open_rasterio(scaled, **options)
    if variables:
        array = rioxarray.open_rasterio(scaled, band_as_variable=True, **options)
        array = array.rename({name: array[name].attrs["long_name"] for name in array.data_vars})
    with open_scene(array) as scene:
        parts = [scene.read(start, min(61, start + 9)) for start in range(0, 61, 9)]
        assert scene.transform.almost_equals(place)
        assert scene.crs.to_epsg() == 32630
    np.testing.assert_allclose(
        np.concatenate([part.reflectance for part in parts], axis=1), expected.reflectance, atol=1e-6
    )
    np.testing.assert_array_equal(np.concatenate([part.observed for part in parts]), expected.observed)


def test_plain_arrays_need_names_and_a_scale(numbers) -> None:
    plain = xr.DataArray(numbers, dims=("band", "y", "x"))
    with pytest.raises(InputError, match="no names"):
        open_scene(plain)
    named = plain.assign_coords(band=list(BANDS))
    with pytest.raises(InputError, match="--scale and --offset"):
        open_scene(named)
    for given in (open_scene(named, scale=1e-5), open_scene(plain, bands=BANDS, scale=1e-5)):
        with given as scene:
            assert scene.crs is None
            np.testing.assert_allclose(scene.read(0, 61).reflectance, numbers * 1e-5, atol=1e-6)


def test_reflectance_and_common_names(numbers) -> None:
    values = (numbers * 2.75e-5 - 0.2).astype(np.float32)
    values[1, 4, 5] = np.nan
    names = ("blue", "green", "red", "nir08", "swir16", "swir22")
    data = xr.Dataset({name: (("y", "x"), values[at]) for at, name in enumerate(names)})
    with open_scene(data) as scene:
        rows = scene.read(0, 61)
        assert scene.applied["scaling_from"].startswith("read as reflectance")
    assert list(zip(*np.nonzero(~rows.observed), strict=True)) == [(4, 5)]
    np.testing.assert_array_equal(rows.reflectance[:, rows.observed], values[:, rows.observed])


def test_a_decoded_file_is_not_scaled_again(tmp_path: Path, numbers) -> None:
    """What xarray decodes from NetCDF keeps its scale in the encoding."""
    reflectance = numbers * 2.75e-5 - 0.2
    data = xr.Dataset({band: (("y", "x"), reflectance[at]) for at, band in enumerate(BANDS)})
    for band in BANDS:
        data[band].attrs.clear()
        data[band].encoding = {"scale_factor": 2.75e-5, "add_offset": -0.2, "dtype": "uint16", "_FillValue": 0}
    with open_scene(data) as scene:
        np.testing.assert_allclose(scene.read(0, 61).reflectance, reflectance, atol=1e-6)
        assert "decoded" in scene.applied["scaling_from"]


def test_geographic_coordinates_and_rows_from_the_south(numbers) -> None:
    values = (numbers * 1e-5).astype(np.float32)
    coordinates = {"lat": 10 + 0.001 * np.arange(61), "lon": 20 + 0.001 * np.arange(47)}
    data = xr.DataArray(values, dims=("band", "lat", "lon"), coords={"band": list(BANDS), **coordinates})
    data = data.rio.write_crs("EPSG:4326")
    with open_scene(data) as scene:
        assert scene.transform.almost_equals(Affine(0.001, 0, 19.9995, 0, 0.001, 9.9995))
        areas = scene.pixel_areas(0, 61)
        np.testing.assert_array_equal(scene.read(0, 61).reflectance, values)
    assert areas[0] > areas[60] > 11000


def test_a_chunk_is_computed_once(numbers) -> None:
    computed: list[tuple[slice, ...]] = []

    def block(block_info=None) -> np.ndarray:
        location = block_info[None]["array-location"]
        computed.append(location)
        (top, bottom), (left, right) = location
        return (numbers[0, top:bottom, left:right] * 1e-5).astype(np.float32)

    def lazy() -> dask.array.Array:
        return dask.array.map_blocks(
            block, chunks=((16, 16, 16, 13), (47,)), dtype=np.float32, meta=np.empty((0, 0), "f4")
        )

    data = xr.Dataset({band: (("y", "x"), lazy()) for band in BANDS})
    with open_scene(data, scale=1) as scene:
        computed.clear()
        for start in range(0, 60, 4):
            scene.read(start, start + 4)
    assert len(computed) <= 4 * len(BANDS)


def test_arrays_that_are_no_scene_are_refused(numbers) -> None:
    with pytest.raises(InputError, match="band, y and x are wanted"):
        open_scene(xr.DataArray(numbers[0], dims=("y", "x")))
    with pytest.raises(InputError, match="no band for swir2"):
        open_scene(xr.DataArray(numbers[:5], dims=("band", "y", "x"), coords={"band": list(BANDS[:5])}), scale=1)
    with pytest.raises(InputError, match="empty"):
        open_scene(xr.DataArray(numbers[:, :0], dims=("band", "y", "x"), coords={"band": list(BANDS)}), scale=1)
    with pytest.raises(InputError, match="neither a variable for each band"):
        open_scene(xr.Dataset({"a": ("t", [1, 2])}))
