from __future__ import annotations

import numpy as np
import pytest

from narrows.water.indices import dswe, mndwi


def test_indices_against_figures_by_hand() -> None:
    water = np.array([0.05, 0.06, 0.04, 0.02, 0.01, 0.005], np.float32).reshape(6, 1, 1)
    forest = np.array([0.02, 0.04, 0.025, 0.30, 0.12, 0.05], np.float32).reshape(6, 1, 1)
    assert mndwi(water).item() == pytest.approx(5 / 7)
    assert mndwi(forest).item() == pytest.approx(-0.5)
    assert bool(dswe(water)) is True
    assert bool(dswe(forest)) is False
    assert mndwi(np.zeros((6, 1, 1), np.float32)).item() == 0
