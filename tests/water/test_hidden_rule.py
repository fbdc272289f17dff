"""What a network's own opinion hides, and what it doesn't."""

from __future__ import annotations

import numpy as np
import pytest

from narrows.water.classes import hides


@pytest.mark.parametrize(
    ("water", "hidden", "answer"),
    [(0.1, 0.4, False), (0.1, 0.5, True), (0.69, 0.9, True), (0.7, 0.9, False), (0.99, 1.0, False), (0.99, 0.1, False)],
)
def test_water_that_is_surely_seen_is_said_though_the_pixel_is_thought_hidden(
    water: float, hidden: float, answer: bool
) -> None:
    found = hides(np.float32([[water]]), np.float32([[hidden]]))
    assert found.dtype == bool and found.shape == (1, 1)
    assert bool(found[0, 0]) is answer
