from __future__ import annotations

import numpy as np
import pytest

from narrows.water.simulation.channels import Lines, draw_lines, straight_lines
from narrows.water.simulation.ponds import Ponds, draw_ponds


def vertical(column: float, width: float, length: int = 40) -> Lines:
    row = np.arange(-4, length + 4, 0.5)
    return Lines(row, np.full(len(row), column), np.full(len(row), width))


@pytest.mark.parametrize("width", [0.3, 0.8, 1.0, 1.7, 3.0, 6.4])
@pytest.mark.parametrize("column", [20.5, 20.0, 20.3])
def test_a_channel_covers_as_much_as_it_is_wide(width: float, column: float) -> None:
    cover, inside = draw_lines(vertical(column, width), 0, 40, 40)
    # Points half a pixel apart: the distance to the line is at most a sixteenth of a pixel too long.
    assert cover[5:-5].sum(1) == pytest.approx(width, abs=0.12 + 0.04 * width)
    assert inside.max() <= width / 2 + 1e-6


def test_a_channel_narrower_than_a_pixel_never_fills_one() -> None:
    cover, _ = draw_lines(vertical(20.5, 0.4), 0, 40, 40)
    assert cover.max() == pytest.approx(0.4, abs=1e-6)


def test_lines_drawn_in_blocks_agree() -> None:
    lines = straight_lines(4, 60, 50, 1, 2.3, 25) + vertical(30, 14.0, 60)
    whole = draw_lines(lines, 0, 60, 50)
    for k in (0, 1):
        parts = np.concatenate([draw_lines(lines, a, a + 12, 50)[k] for a in range(0, 60, 12)])
        assert np.array_equal(parts, whole[k])


def test_a_pond_covers_its_area() -> None:
    ponds = Ponds(np.array([20.2]), np.array([19.7]), np.array([6.0]), np.zeros((1, 3)), np.zeros((1, 3)))
    cover, inside = draw_ponds(ponds, 0, 40, 40)
    assert cover.sum() == pytest.approx(np.pi * 36, rel=0.02)
    assert inside.max() == pytest.approx(6, abs=0.8)


def test_a_pond_smaller_than_a_pixel_covers_a_share_of_it() -> None:
    ponds = Ponds(np.array([20.5]), np.array([20.5]), np.array([0.3]), np.zeros((1, 3)), np.zeros((1, 3)))
    cover, _ = draw_ponds(ponds, 0, 40, 40)
    assert cover.max() == pytest.approx(np.pi * 0.09, rel=0.01)
