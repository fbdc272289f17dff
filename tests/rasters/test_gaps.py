"""The gaps of ETM+."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from narrows.rasters import BANDS, open_scene
from narrows.rasters.gaps import GAP_REACH


def filled_by_hand(
    values: NDArray[np.float64], observed: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    result, filled = values.copy(), np.zeros_like(observed)
    for row, column in zip(*np.nonzero(~observed), strict=True):
        up = next(
            (row - step for step in range(1, GAP_REACH + 1) if row - step >= 0 and observed[row - step, column]), None
        )
        down = next(
            (
                row + step
                for step in range(1, GAP_REACH + 1)
                if row + step < observed.shape[0] and observed[row + step, column]
            ),
            None,
        )
        if up is None or down is None:
            result[:, row, column] = 0
            continue
        share = (row - up) / (down - up)
        result[:, row, column] = values[:, up, column] * (1 - share) + values[:, down, column] * share
        filled[row, column] = True
    return result, filled


@pytest.fixture
def striped() -> NDArray[np.uint16]:
    """Slanted gaps that widen toward both edges and differ between bands, and a footprint with empty corners."""
    rng = np.random.default_rng(3)
    numbers = rng.integers(7500, 20000, (6, 140, 90)).astype(np.uint16)
    row, column = np.indices((140, 90))
    for band in range(6):
        width = 2 + 12 * np.abs(column - 45) / 45
        numbers[band, ((row + column // 5 + band) % 33) < width] = 0
    numbers[:, row + column < 40] = 0
    return numbers


@pytest.mark.parametrize("strip", [1, 7, 64, 140])
def test_gaps_are_interpolated_down_the_columns_whatever_the_strip(tmp_path: Path, write, striped, strip: int) -> None:
    path = write(tmp_path / "etm.tif", striped, list(BANDS), nodata=0)
    observed = (striped != 0).all(axis=0)
    expected, filled = filled_by_hand(striped * 2.75e-5 - 0.2, observed)
    with open_scene(path, sensor="etm", scale=2.75e-5, offset=-0.2) as scene:
        parts = [scene.read(start, min(140, start + strip)) for start in range(0, 140, strip)]
    np.testing.assert_allclose(np.concatenate([part.reflectance for part in parts], axis=1), expected, atol=2e-6)
    np.testing.assert_array_equal(np.concatenate([part.observed for part in parts]), observed)
    np.testing.assert_array_equal(np.concatenate([part.filled for part in parts]), filled)
    assert 0.2 < filled.mean() < 0.6
    assert not (filled & observed).any()


def test_a_crop_and_its_scene_agree(tmp_path: Path, write, striped) -> None:
    path = write(tmp_path / "etm.tif", striped, list(BANDS), nodata=0)
    with open_scene(path, sensor="etm", scale=2.75e-5, offset=-0.2) as scene:
        whole = scene.read(0, 140)
        crop = scene.window((37, 95), (11, 80))
        parts = [crop.read(start, min(58, start + 10)) for start in range(0, 58, 10)]
    np.testing.assert_array_equal(
        np.concatenate([part.reflectance for part in parts], axis=1), whole.reflectance[:, 37:95, 11:80]
    )
    np.testing.assert_array_equal(np.concatenate([part.filled for part in parts]), whole.filled[37:95, 11:80])


def test_other_sensors_holes_stay_empty(tmp_path: Path, write, striped) -> None:
    path = write(tmp_path / "oli.tif", striped, list(BANDS), nodata=0)
    with open_scene(path, sensor="oli", scale=2.75e-5, offset=-0.2) as scene:
        rows = scene.read(0, 140)
    assert not rows.filled.any()
    assert not rows.reflectance[:, ~rows.observed].any()
