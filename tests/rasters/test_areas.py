"""True areas, against pyproj's geodesics."""

from __future__ import annotations

import numpy as np
import pytest
from affine import Affine
from pyproj import Geod, Transformer
from rasterio.crs import CRS

from narrows.rasters.areas import pixel_areas


def geodesic(crs: CRS, transform: Affine, width: int, row: int) -> float:
    """A pixel's outline on WGS 84, densified."""
    edge = np.linspace(0, 1, 20)
    columns = width // 2 + np.concatenate([edge, np.ones(20), edge[::-1], np.zeros(20)])
    rows = row + np.concatenate([np.zeros(20), edge, np.ones(20), edge[::-1]])
    x, y = transform @ (columns, rows)
    longitude, latitude = Transformer.from_crs(crs.to_wkt(), "OGC:CRS84", always_xy=True).transform(x, y)
    return abs(Geod(ellps="WGS84").polygon_area_perimeter(longitude, latitude)[0])


@pytest.mark.parametrize("north", [0.05, 35.0, 71.0, -80.0])
def test_a_geographic_grid_shrinks_toward_the_poles(north: float) -> None:
    crs, transform = CRS.from_epsg(4326), Affine(0.01, 0, 13, 0, -0.008, north)
    areas = pixel_areas(crs, transform, 40, 0, 30, None)
    assert areas is not None
    for row in (0, 17, 29):
        assert areas[row] == pytest.approx(geodesic(crs, transform, 40, row), rel=1e-6)
    np.testing.assert_array_equal(pixel_areas(crs, transform, 40, 10, 20, None), areas[10:20])


def test_a_rotated_geographic_grid() -> None:
    crs = CRS.from_epsg(4326)
    transform = Affine.translation(13, 50) @ Affine.rotation(25) @ Affine.scale(0.0003, -0.0003)
    areas = pixel_areas(crs, transform, 41, 0, 30, None)
    assert areas is not None
    assert areas[12] == pytest.approx(geodesic(crs, transform, 41, 12), rel=1e-4)


def test_a_utm_grid_is_what_it_says() -> None:
    transform = Affine(30, 0, 500000, 0, -30, 5000000)
    assert pixel_areas(CRS.from_epsg(32630), transform, 10, 0, 3, None).tolist() == [900.0] * 3
    rotated = transform @ Affine.rotation(30)
    np.testing.assert_allclose(pixel_areas(CRS.from_epsg(32630), rotated, 10, 0, 3, None), 900.0)


def test_feet_are_feet() -> None:
    areas = pixel_areas(CRS.from_epsg(2263), Affine(100, 0, 980000, 0, -100, 200000), 10, 0, 2, None)
    np.testing.assert_allclose(areas, (100 * 1200 / 3937) ** 2, rtol=1e-6)


@pytest.mark.parametrize("north", [7000000.0, 11000000.0])
def test_web_mercator_is_not_believed(north: float) -> None:
    crs, transform = CRS.from_epsg(3857), Affine(30, 0, 1000000, 0, -30, north)
    areas = pixel_areas(crs, transform, 100, 0, 50, None)
    assert areas is not None
    assert areas[0] < 500
    for row in (0, 49):
        assert areas[row] == pytest.approx(geodesic(crs, transform, 100, row), rel=1e-5)


def test_without_a_crs_the_metadata_may_know_the_size() -> None:
    assert pixel_areas(None, None, 10, 0, 3, 30.0).tolist() == [900.0] * 3
    assert pixel_areas(None, None, 10, 0, 3, None) is None
