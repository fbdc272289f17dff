from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from narrows.water.framing import Framing, anchored, centred, reflected


@given(length=st.integers(1, 20), before=st.integers(0, 50), after=st.integers(0, 50))
def test_reflection_is_numpys(length, before, after):
    expected = np.pad(np.arange(length), (before, after), mode="reflect" if length > 1 else "edge")
    np.testing.assert_array_equal(reflected(np.arange(-before, length + after), length), expected)


@given(
    height=st.integers(1, 300),
    width=st.integers(1, 300),
    origin=st.tuples(st.integers(-500, 500), st.integers(-500, 500)),
    stride=st.sampled_from([1, 2, 4, 8, 16, 32]),
    cut=st.tuples(st.integers(0, 100), st.integers(0, 100)),
)
def test_a_crop_is_sampled_where_its_scene_is(height, width, origin, stride, cut):
    scene = anchored(height, width, origin, stride)
    crop = anchored(height, width, (origin[0] + cut[0], origin[1] + cut[1]), stride)
    # Frame row 0 of either lies on the absolute grid.
    assert (origin[0] - scene.top) % stride == 0
    assert (origin[0] + cut[0] - crop.top) % stride == 0
    assert (origin[1] + cut[1] - crop.left) % stride == 0
    assert scene.shape[0] % stride == 0
    assert scene.shape[1] % stride == 0
    assert max(scene.top, scene.bottom, scene.left, scene.right) < stride


@pytest.mark.parametrize("size", [1, 31, 32, 33, 100, 7741])
def test_centred_as_the_authors_pad(size):
    """find_padding of the authors' inference.py."""
    whole = max(32, int(32 * np.ceil(size / 32)))
    total = whole - size
    framing = centred(size, size, 32)
    assert (framing.top, framing.bottom) == (total // 2, total - total // 2)
    assert (framing.left, framing.right) == (framing.top, framing.bottom)


def test_frame_rows_and_columns():
    framing = Framing(4, 5, top=2, bottom=1, left=1, right=3)
    assert framing.shape == (7, 9)
    assert framing.rows(0, 7).tolist() == [2, 1, 0, 1, 2, 3, 2]
    assert framing.rows(3, 5).tolist() == [1, 2]
    assert framing.columns().tolist() == [1, 0, 1, 2, 3, 4, 3, 2, 1]
