from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from narrows.water.simulation.landscape import COVERS, Landscape
from narrows.water.simulation.terrain import TerrainStyle, make_terrain

STYLE = TerrainStyle(relief=5, tilt=0.8, aspect=0.3, inflow=3000)


@pytest.mark.parametrize("seed", range(3))
def test_lakes_lie_in_depressions_below_their_brim(seed: int) -> None:
    terrain = make_terrain(96, 96, seed, replace(STYLE, lakes=1.0, tilt=0.1), cell=4, margin=14)
    assert terrain.lake.any()
    labels, count = ndimage.label(terrain.lake, np.ones((3, 3)))
    for lake in range(1, count + 1):
        level = terrain.level[labels == lake]
        assert (level <= terrain.flow.filled[labels == lake] + 1e-4).all()


def test_without_lakes_no_water_stands() -> None:
    terrain = make_terrain(64, 64, 1, replace(STYLE, lakes=0.0), cell=4, margin=14)
    assert not terrain.lake.any() and not terrain.near.any()


def test_the_sea_is_as_large_as_asked_or_smaller_and_joins_the_border() -> None:
    terrain = make_terrain(96, 96, 4, replace(STYLE, sea=0.4), cell=4, margin=14)
    assert 0.1 < terrain.sea.mean() <= 0.41
    labels, _ = ndimage.label(terrain.sea)
    border = np.concatenate((labels[0], labels[-1], labels[:, 0], labels[:, -1]))
    assert set(np.unique(labels)) - {0} <= set(border.tolist())


def test_a_delta_builds_land_into_the_sea() -> None:
    found = 0
    for seed in range(12):
        style = replace(STYLE, sea=0.45, relief=1.5)
        before = make_terrain(128, 128, seed, style, cell=4, margin=14)
        after = make_terrain(128, 128, seed, replace(style, fan=9), cell=4, margin=14)
        if after.mouth is None:
            continue
        found += 1
        new = before.sea & ~after.sea
        rows, columns = np.nonzero(new)
        assert new.sum() > 10
        assert np.hypot(rows - after.mouth.row, columns - after.mouth.column).max() < 9 * 1.5 * 1.5
    assert found >= 3


def test_a_dam_makes_a_reservoir() -> None:
    style = replace(STYLE, lakes=0.0, relief=10)
    made = [make_terrain(96, 96, seed, replace(style, dams=1), cell=4, margin=14).lake.any() for seed in range(5)]
    assert sum(made) >= 3


def test_heights_of_any_window_agree() -> None:
    terrain = make_terrain(64, 80, 6, STYLE, cell=4, margin=14)
    whole = terrain.heights(-20, 84, -20, 120)
    assert terrain.heights(10, 30, 5, 40) == pytest.approx(whole[30:50, 25:65], abs=1e-4)


@pytest.mark.parametrize("seed", [1, 4, 9])
def test_labels_agree_with_the_shares_of_water(seed: int) -> None:
    surface = Landscape(96, 96, seed, kind="wetland").rows(0, 96)
    water, plants, ice = (surface.cover == COVERS.index(name) for name in ("water", "plants", "ice"))
    assert (surface.open_water[water] > 0.12).all()
    assert (surface.water[plants | ice] > 0.12).all()
    dry = surface.water == 0
    assert not (water | plants | ice)[dry].any()
    assert (surface.open_water <= surface.water).all()
