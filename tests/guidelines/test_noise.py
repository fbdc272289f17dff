"""Intervals and verdicts, against SciPy's binomial and by simulation."""

from __future__ import annotations

import random

import pytest
from scipy.stats import binom

from narrows.guidelines.core.noise import LEAST_EFFECT, compared, interval_of_median


@pytest.mark.parametrize("n", range(6, 20))
def test_the_interval_is_the_narrowest_that_holds_the_median_with_95_percent(n: int) -> None:
    low, high = interval_of_median(range(1, n + 1))
    k = int(low)
    assert high == n + 1 - k
    assert 1 - 2 * binom.cdf(k - 1, n, 0.5) >= 0.95
    if k + 1 <= n // 2:
        assert 1 - 2 * binom.cdf(k, n, 0.5) < 0.95


def test_few_values_give_all_of_them() -> None:
    assert interval_of_median([3.0, 1.0, 2.0]) == (1.0, 3.0)


def test_a_clear_gain_is_one() -> None:
    ratio = compared([1.0] * 9, [1.01] * 9, [0.5] * 9)
    assert ratio.faster and not ratio.slower and not ratio.restless
    assert ratio.middle == pytest.approx(2.01)


def test_a_gain_below_the_least_effect_is_none() -> None:
    ratio = compared([1.0] * 9, [1.0] * 9, [1 / (1 + LEAST_EFFECT / 2)] * 9)
    assert not ratio.faster and not ratio.slower and ratio.noise == LEAST_EFFECT


def test_what_differs_between_copies_is_no_gain() -> None:
    """A machine that gives the second copy half the time proves nothing about the third."""
    ratio = compared([1.0] * 9, [0.5] * 9, [0.6] * 9)
    assert ratio.restless and not ratio.faster


def test_equal_networks_are_seldom_told_apart() -> None:
    """On a noisy machine (10 % jitter, one round in ten twice as slow) three equal contestants give no verdict."""
    draw = random.Random(0)

    def times() -> list[float]:
        return [draw.gauss(1, 0.1) * (2 if draw.random() < 0.1 else 1) for _ in range(9)]

    verdicts = [compared(times(), times(), times()) for _ in range(2000)]
    assert sum(v.faster or v.slower for v in verdicts) <= 20


def test_a_real_gain_is_told_on_the_same_machine() -> None:
    draw = random.Random(1)

    def times(size: float) -> list[float]:
        return [size * draw.gauss(1, 0.03) for _ in range(15)]

    verdicts = [compared(times(1), times(1), times(1 / 1.2)) for _ in range(500)]
    assert sum(v.faster for v in verdicts) >= 475
