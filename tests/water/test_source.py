from __future__ import annotations

import numpy as np
from array_scene import ArrayScene
from hypothesis import given, settings
from hypothesis import strategies as st

from narrows.water.framing import Framing, Inner, reflected
from narrows.water.network import Rescale
from narrows.water.source import SceneSource, StatusLines


@settings(max_examples=150, deadline=None)
@given(
    height=st.integers(1, 90),
    width=st.integers(1, 12),
    pads=st.tuples(*[st.integers(0, 31)] * 4),
    step=st.integers(1, 70),
    seed=st.integers(0, 99),
)
def test_rows_of_the_frame_are_the_scene_mirrored(height, width, pads, step, seed):
    bands = np.random.default_rng(seed).random((6, height, width), dtype=np.float32)
    framing = Framing(height, width, *pads)
    source = SceneSource(ArrayScene(bands), framing, StatusLines())
    rows = [source.read(i, min(i + step, framing.shape[0])) for i in range(0, framing.shape[0], step)]
    expected = bands[:, reflected(np.arange(-pads[0], height + pads[1]), height)]
    expected = expected[:, :, reflected(np.arange(-pads[2], width + pads[3]), width)]
    np.testing.assert_array_equal(np.concatenate(rows, axis=1), expected)


def test_each_scene_row_is_read_once():
    scene = ArrayScene(np.zeros((6, 200, 5), np.float32))
    framing = Framing(200, 5, 7, 9, 0, 3)
    source = SceneSource(scene, framing, StatusLines())
    for start in range(0, 216, 24):
        source.read(start, start + 24)
    rows = [row for start, stop in scene.reads for row in range(start, stop)]
    assert rows == list(range(200))


def test_status_and_zeros_for_what_was_not_observed():
    bands = np.full((6, 10, 4), np.nan, np.float32)
    observed = np.zeros((10, 4), bool)
    observed[2:8] = True
    bands[:, observed] = 0.3
    clouds = np.zeros((10, 4), np.uint8)
    clouds[5] = 1
    clouds[0] = 1  # a cloud where there is no data is no data
    status = StatusLines()

    def outside(start: int, stop: int) -> np.ndarray:
        beyond = np.zeros((stop - start, 2), bool)
        beyond[:, 0] = np.arange(start, stop) >= 3
        return beyond

    source = SceneSource(
        ArrayScene(bands, observed, clouds), Framing(10, 4), status,
        clouds=True, inner=Inner(1, 2, 8, 2), outside=outside,
    )  # fmt: skip
    block = np.concatenate([source.read(0, 4), source.read(4, 10)], axis=1)
    assert np.isfinite(block).all()
    assert (block[:, ~observed] == 0).all()
    rows = status.take(0, 10)
    expected = np.where(observed, 0, 255)
    expected[5] = 254
    expected[4:9, 2] = 253
    np.testing.assert_array_equal(rows, expected)
    assert source.observed_pixels == int(((expected == 0) | (expected == 254))[1:9, 2:4].sum())


def test_rescaling_is_the_authors():
    bands = np.random.default_rng(1).random((6, 9, 9), dtype=np.float32)
    counts = np.round(bands * 10_000)
    image = counts - counts.min()
    image = image / np.maximum(image.max(), 1)
    reflectance = (counts / 10_000).astype(np.float32)
    rescale = Rescale.between(float(reflectance.min()), float(reflectance.max()))
    source = SceneSource(ArrayScene(reflectance), Framing(9, 9), StatusLines(), rescale=rescale)
    np.testing.assert_allclose(source.read(0, 9), image, atol=1e-6)


def test_status_lines_hold_no_more_than_is_in_flight():
    lines = StatusLines()
    for start in range(0, 100, 10):
        lines.put(np.full((10, 3), start, np.uint8))
        if start >= 20:
            assert (lines.take(start - 20, start - 10) == start - 20).all()
    assert lines.most_rows <= 30
    np.testing.assert_array_equal(lines.take(84, 93)[:, 0], [80] * 6 + [90] * 3)
