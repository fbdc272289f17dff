from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from narrows.water.quicklook import Caption, Overview, save_quicklook


@pytest.mark.parametrize("longest", [1000, 20, 7])
def test_cells_are_means_over_what_was_observed(longest):
    generator = np.random.default_rng(0)
    bands = generator.random((6, 41, 33), dtype=np.float32)
    observed = generator.random((41, 33)) < 0.8
    overview = Overview(41, 33, longest)
    for start in range(0, 41, 6):
        rows = slice(start, start + 6)
        overview.add_scene(start, bands[:, rows], observed[rows])
    cell = overview.cell
    for row, column in ((0, 0), (2, 1), (overview.shape[0] - 1, overview.shape[1] - 1)):
        place = (slice(row * cell, (row + 1) * cell), slice(column * cell, (column + 1) * cell))
        seen = observed[place]
        if seen.any():
            mean = overview._colour[0, row, column] / overview._seen[row, column]
            assert mean == pytest.approx(bands[4][place][seen].mean(), rel=1e-5)


def test_without_shortwave_infrared_near_infrared_leads(tmp_path):
    bands = np.random.default_rng(0).random((6, 20, 30), dtype=np.float32)
    bands[4:] = 1
    seen = np.ones((20, 30), bool)
    overview = Overview(20, 30, swir=False)
    overview.add_scene(0, bands, seen)
    overview.add_map(0, np.zeros((20, 30), np.uint8))
    np.testing.assert_allclose(overview._colour / overview._seen, bands[[3, 2, 1]], rtol=1e-6)
    picture = overview.false_colour()
    assert all(picture[..., band].std() > 0.1 for band in range(3))
    assert overview.colours == "near infrared, red, green (no short-wave infrared: less sure)"
    save_quicklook(overview, Caption("t", "l", None), tmp_path / "q.png")
    assert Image.open(tmp_path / "q.png").size[0] > 500


def test_the_map_is_blue_where_there_is_water():
    overview = Overview(30, 30)
    overview.add_scene(0, np.full((6, 30, 30), 0.2, np.float32), np.ones((30, 30), bool))
    mask = np.zeros((30, 30), np.uint8)
    mask[:10], mask[10:20], mask[25:] = 1, 254, 255
    overview.add_map(0, mask)
    picture = overview.map_colour()
    assert picture[0, 0, 2] > picture[0, 0, 0] + 0.3
    assert picture[15, 0, 0] > picture[15, 0, 2] + 0.3
    assert (picture[29, 0] == 1).all()
    assert overview.classes_present() == (True, True)


@pytest.mark.parametrize(("height", "width"), [(40, 200), (200, 40), (1, 1), (1300, 1000)])
def test_a_picture_of_any_shape(tmp_path, height, width):
    overview = Overview(height, width)
    generator = np.random.default_rng(0)
    for start in range(0, height, 100):
        count = min(100, height - start)
        overview.add_scene(start, generator.random((6, count, width), np.float32), np.ones((count, width), bool))
        overview.add_map(start, generator.integers(0, 2, (count, width)).astype(np.uint8))
    assert overview.resident_bytes < 40_000_000
    save_quicklook(overview, Caption("A scene", "Water 1 km²", 30.0), tmp_path / "q.png")
    picture = np.asarray(Image.open(tmp_path / "q.png").convert("RGB"))
    assert max(picture.shape) < 2600
    assert picture.std() > 10


def test_a_scene_without_anything_observed_is_white():
    overview = Overview(5, 5)
    overview.add_scene(0, np.zeros((6, 5, 5), np.float32), np.zeros((5, 5), bool))
    assert (overview.false_colour() == 1).all()
