from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from narrows.water.bodies import BodyTracker, SmallBodyFilter


def small_bodies_removed(mask: np.ndarray, row_areas: np.ndarray, min_area: float) -> np.ndarray:
    """The whole mask at once, by scipy."""
    labels, count = ndimage.label(mask == 1, structure=np.ones((3, 3)))
    weights = np.repeat(row_areas[:, None], mask.shape[1], axis=1)
    areas = ndimage.sum(weights, labels, index=np.arange(count + 1))
    areas[0] = np.inf
    result = mask.copy()
    result[(areas < min_area)[labels]] = 0
    return result


def cut(length: int, seed: int) -> list[slice]:
    generator = np.random.default_rng(seed)
    slices, start = [], 0
    while start < length:
        stop = min(length, start + int(generator.integers(1, 9)))
        slices.append(slice(start, stop))
        start = stop
    return slices


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    height=st.integers(1, 60),
    width=st.integers(1, 40),
    share=st.floats(0.05, 0.75),
    min_area=st.integers(1, 80),
)
def test_filter_by_rows_equals_the_whole_mask(seed, height, width, share, min_area):
    generator = np.random.default_rng(seed)
    mask = (generator.random((height, width)) < share).astype(np.uint8)
    mask[generator.random((height, width)) < 0.05] = 255
    row_areas = np.linspace(1.0, 2.0, height)
    small = SmallBodyFilter(width, min_area)
    rows = []
    for part in cut(height, seed):
        rows += small.push(mask[part], row_areas[part])
    rows += small.flush()
    np.testing.assert_array_equal(np.concatenate(rows), small_bodies_removed(mask, row_areas, min_area))


def test_rows_wait_no_longer_than_said():
    height, width, min_area = 3000, 12, 100.0
    mask = np.zeros((height, width), dtype=np.uint8)
    mask[:, 3] = 1  # one long body
    mask[::7, 8:11] = 1  # and many small ones
    small = SmallBodyFilter(width, min_area)
    given_rows = taken = most = 0
    for start in range(0, height, 10):
        given_rows += 10
        taken += sum(len(block) for block in small.push(mask[start : start + 10], np.ones(10)))
        most = max(most, given_rows - taken)
    assert most <= SmallBodyFilter.rows_held(height, min_area, 1.0)
    assert SmallBodyFilter.rows_held(height, min_area, 1.0) < height / 5


@pytest.mark.parametrize("step", [1, 3, 50])
def test_tracker_gives_one_number_to_a_spiral(step):
    mask = np.ones((50, 50), dtype=bool)
    mask[1:49, 1:49] = False
    mask[1, 1] = True  # joined by a corner to nothing else inside
    mask[10:40, 10] = mask[10:40, 30] = mask[39, 10:31] = True  # a U whose arms join late
    tracker = BodyTracker(50)
    seen: dict[int, float] = {}
    for start in range(0, 50, step):
        block = tracker.push(mask[start : start + step], np.ones(min(step, 50 - start)))
        for kept, absorbed in block.merged:
            seen[kept] += seen.pop(absorbed)
        for label, body in enumerate(block.bodies):
            if label:
                seen[int(body)] = seen.get(int(body), 0.0) + block.areas[label]
    labels, count = ndimage.label(mask, structure=np.ones((3, 3)))
    expected = sorted(np.bincount(labels.ravel())[1:].tolist())
    assert count == len(seen)
    assert sorted(seen.values()) == expected
