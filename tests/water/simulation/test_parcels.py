from __future__ import annotations

import numpy as np

from narrows.water.simulation.parcels import Parcels
from narrows.water.simulation.style import SceneStyle
from narrows.water.simulation.terrain import TerrainStyle

STYLE = SceneStyle("farmland", TerrainStyle(), parcel=16)


def test_a_field_has_one_value_and_its_size() -> None:
    parcels = Parcels.make(STYLE, 3, 0, 200, 200)
    numbers, sizes = np.unique(np.stack((parcels.across, parcels.down), -1).reshape(-1, 2), axis=0, return_counts=True)
    assert 50 < np.median(sizes) < 2.5 * 16**2
    first = (parcels.across == numbers[5, 0]) & (parcels.down == numbers[5, 1])
    assert len(np.unique(parcels.value(2)[first])) == 1
    assert len(np.unique(parcels.value(2))) > 0.9 * len(numbers)


def test_pivots_are_circles() -> None:
    parcels = Parcels.make(SceneStyle("desert", TerrainStyle(), parcel=30, pivots=1.0), 3, 0, 300, 300)
    # A circle of 0.96 of the square's side.
    assert abs(parcels.inside.mean() - np.pi * 0.48**2) < 0.03


def test_fields_made_in_blocks_agree() -> None:
    whole = Parcels.make(STYLE, 5, 0, 60, 50)
    parts = [Parcels.make(STYLE, 5, a, a + 20, 50) for a in (0, 20, 40)]
    assert np.mean(np.concatenate([p.across for p in parts]) != whole.across) < 0.002
