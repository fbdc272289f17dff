from __future__ import annotations

import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from affine import Affine
from rasterio.features import rasterize, shapes
from scipy.ndimage import gaussian_filter

from narrows.errors import OutputError
from narrows.water.polygons import polygon_driver, water_polygons, write_polygons


def random_mask(height: int, width: int, seed: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return (gaussian_filter(generator.standard_normal((height, width)), 1.5) > 0.05).astype(np.uint8)


@pytest.mark.parametrize("step", [1, 7, 64])
def test_bodies_across_strips_equal_the_whole(step):
    mask = random_mask(64, 50, 3)
    strips = ((mask[i : i + step] == 1, np.full(len(mask[i : i + step]), 900.0)) for i in range(0, 64, step))
    found = list(water_polygons(strips, 50))
    whole = [
        shapely.Polygon(outline["coordinates"][0], outline["coordinates"][1:])
        for outline, _ in shapes(mask, mask=mask == 1, connectivity=4)
    ]
    assert shapely.union_all([outline for outline, _ in found]).equals(shapely.union_all(whole))
    assert all(outline.is_valid for outline, _ in found)
    for outline, area in found:
        assert area == pytest.approx(outline.area * 900.0)
    once = list(water_polygons(iter([(mask == 1, np.full(64, 900.0))]), 50))
    assert len(once) == len(found)
    assert sum(shapely.get_num_coordinates([o for o, _ in found])) == sum(
        shapely.get_num_coordinates([o for o, _ in once])
    )


@pytest.mark.parametrize("ending", ["gpkg", "geojson", "shp"])
def test_written_polygons_burn_back_to_the_mask(tmp_path, ending):
    mask = random_mask(70, 60, 5)
    transform = Affine(30, 0, 500000, 0, -30, 6000000)
    path = tmp_path / "mask.tif"
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=70,
        width=60,
        count=1,
        dtype="uint8",
        crs="EPSG:32630",
        transform=transform,
    ) as out:
        out.write(mask, 1)
    target = tmp_path / f"water.{ending}"
    count = write_polygons(path, target, np.full(70, 900.0))
    info, _, geometry, fields = pyogrio.raw.read(target)
    assert len(geometry) == count > 1
    assert list(info["fields"]) == ["class", "area_m2"]
    assert fields[1].sum() == pytest.approx(900.0 * mask.sum())
    outlines = shapely.from_wkb(geometry)
    if ending == "geojson":
        lon, lat = shapely.get_coordinates(outlines).T
        assert (np.abs(lon) <= 180).all()
        assert (np.abs(lat) <= 90).all()
    else:
        assert "32630" in info["crs"] or "UTM zone 30N" in info["crs"]
        burnt = rasterize(outlines, out_shape=mask.shape, transform=transform, default_value=1)
        np.testing.assert_array_equal(burnt, mask)


def test_a_mask_without_water_gives_an_empty_layer(tmp_path):
    path = tmp_path / "mask.tif"
    with rasterio.open(
        path, "w", driver="GTiff", height=4, width=4, count=1, dtype="uint8", crs="EPSG:32630",
        transform=Affine(30, 0, 0, 0, -30, 0),
    ) as out:  # fmt: skip
        out.write(np.zeros((4, 4), np.uint8), 1)
    for ending in ("gpkg", "geojson", "shp"):
        assert write_polygons(path, tmp_path / f"w.{ending}", np.full(4, 900.0)) == 0
        assert pyogrio.read_info(tmp_path / f"w.{ending}")["features"] == 0


def test_an_unknown_ending_is_refused(tmp_path):
    with pytest.raises(OutputError, match=r"\.gpkg"):
        polygon_driver(tmp_path / "water.dxf")
