"""20 m bands on the 10 m grid."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from narrows.rasters.resample import any_neighbour, double_bilinear, needed_range, repeat_nearest


@settings(deadline=None, max_examples=60)
@given(data=st.data(), height=st.integers(1, 9), width=st.integers(1, 9))
def test_any_window_equals_torchs_bilinear(data: st.DataObject, height: int, width: int) -> None:
    whole = np.random.default_rng(height * 10 + width).integers(0, 65535, (2, height, width)).astype(np.uint16)
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(whole.astype(np.float32))[None], scale_factor=2, mode="bilinear", align_corners=False
    )[0].numpy()
    top = data.draw(st.integers(0, 2 * height - 1))
    bottom = data.draw(st.integers(top + 1, 2 * height))
    left = data.draw(st.integers(0, 2 * width - 1))
    right = data.draw(st.integers(left + 1, 2 * width))
    rows, columns = needed_range(top, bottom, height), needed_range(left, right, width)
    part = whole[:, rows[0] : rows[1], columns[0] : columns[1]]
    origin = rows[0], columns[0]
    fine = double_bilinear(part, (top, bottom), (left, right), origin, (height, width))
    np.testing.assert_allclose(fine, expected[:, top:bottom, left:right], rtol=1e-6)


def test_a_missing_pixel_takes_away_all_that_is_made_of_it() -> None:
    missing = np.zeros((4, 4), dtype=bool)
    missing[1, 2] = True
    weights = torch.nn.functional.interpolate(
        torch.from_numpy(missing.astype(np.float32))[None, None], scale_factor=2, mode="bilinear"
    )[0, 0].numpy()
    found = any_neighbour(missing, (0, 8), (0, 8), (0, 0), (4, 4))
    np.testing.assert_array_equal(found, weights > 0)


@pytest.mark.parametrize("factor", [1, 2, 3, 6])
def test_nearest_repeats_the_pixel_that_holds_it(factor: int) -> None:
    coarse = np.arange(20).reshape(4, 5)
    whole = coarse.repeat(factor, axis=0).repeat(factor, axis=1)
    rows, columns = (factor, 3 * factor + 1), (factor + 1, 4 * factor)
    part = coarse[1:4, 1:4]
    np.testing.assert_array_equal(
        repeat_nearest(part, rows, columns, (1, 1), factor), whole[slice(*rows), slice(*columns)]
    )
