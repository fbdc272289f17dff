"""A georeferenced crop and its scene agree, by the networks that come with the package."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray

from narrows.rasters import open_scene
from narrows.water import weights
from narrows.water.adapters import WaterOnly
from narrows.water.evaluation.methods import Answer, NetworkMethod
from narrows.water.evaluation.view import read_view
from narrows.water.network import WaterNetwork
from narrows.water.simulation import simulate_scene, write_scene

OFFSETS = ((0, 1), (1, 0), (2, 6), (3, 3), (4, 5), (5, 2), (7, 7), (13, 29))
UNSURE = 1e-5


def crop(source: Path, target: Path, row: int, column: int) -> None:
    """What lies below `row` and right of `column`, as a file with its own georeference."""
    with rasterio.open(source) as scene:
        numbers = scene.read()[:, row:, column:]
        place = scene.transform @ Affine.translation(column, row)
        grid = {"height": numbers.shape[1], "width": numbers.shape[2], "transform": place, "crs": scene.crs}
        with rasterio.open(
            target, "w", driver="GTiff", count=6, dtype="uint16", nodata=scene.nodata, **grid
        ) as written:
            written.write(numbers)
            written.descriptions, written.scales, written.offsets = scene.descriptions, scene.scales, scene.offsets


def mapped(path: Path, network: WaterNetwork) -> Answer:
    with open_scene(path) as scene:
        return NetworkMethod(network).map(read_view(scene))


def inside(values: NDArray, row: int, column: int, reach: tuple[int, int]) -> NDArray:
    """Away from the upper left corner of a crop that begins here; the other two sides are the scene's own."""
    return values[row + reach[0] :, column + reach[1] :]


@pytest.mark.parametrize("name", weights.available())
def test_a_crop_agrees_with_its_scene_away_from_the_border(name: str, tmp_path: Path) -> None:
    network = WaterNetwork(name, WaterOnly(weights.load(name)).eval(), "probability", name)
    reach = network.reach()
    whole = tmp_path / "whole.tif"
    size = 100 + reach[0], 100 + reach[1]
    seed = next(seed for seed in range(100) if 0.2 < simulate_scene(*size, seed)[1][-80:, -70:].mean() < 0.8)
    write_scene(whole, *size, seed, borders=False)
    first = mapped(whole, network)
    assert first.probability is not None
    near_the_border = 0.0
    for row, column in OFFSETS:
        part = tmp_path / f"part_{row}_{column}.tif"
        crop(whole, part, row, column)
        second = mapped(part, network)
        assert second.probability is not None
        chance, again = inside(first.probability, row, column, reach), inside(second.probability, 0, 0, reach)
        assert 0.05 < (chance > 0.5).mean() < 0.95
        np.testing.assert_allclose(again, chance, rtol=0, atol=UNSURE)
        sure = np.abs(chance - 0.5) > UNSURE
        classes, others = inside(first.classes, row, column, reach), inside(second.classes, 0, 0, reach)
        np.testing.assert_array_equal(others[sure], classes[sure])
        near = np.abs(first.probability[row:, column:] - second.probability)
        near_the_border = max(near_the_border, float(near.max()))
    # The border itself does change, so the comparison above is worth something.
    assert near_the_border > 1e-3
