"""Delay and jitter by hand, on a clock that is turned by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from narrows.streaming.pace import Durations, Pace, at_rate


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def wait(self, seconds):
        self.now += seconds


def test_percentiles_are_numpys_to_a_hundredth():
    drawn = np.random.default_rng(0).lognormal(-7, 1, 5_000)
    found = Durations()
    for seconds in drawn:
        found.add(seconds)
    for percent in (1, 50, 90, 99, 100):
        wanted = np.percentile(drawn, percent, method="inverted_cdf")
        assert found.percentile(percent) == pytest.approx(wanted, rel=0.01)
    assert found.as_ms()["mean"] == pytest.approx(drawn.mean() * 1e3, rel=1e-3)
    assert found.as_ms()["largest"] == pytest.approx(drawn.max() * 1e3, rel=1e-3)
    assert Durations().percentile(50) == 0


def test_delay_counts_from_the_line_at_its_place_and_work_from_the_last_needed():
    clock = Clock()
    pace = Pace(clock)
    for _ in range(2):
        pace.frame()
        for line in range(12):
            pace.came()
            clock.now += 0.001
            if line >= 2:
                pace.gone(line - 2, 1, lambda row: row)
            clock.now += 0.009
        pace.gone(10, 2, lambda row: row)
    found = pace.report()
    assert (found["frames"], found["lines_in"], found["lines_out"]) == (2, 24, 24)
    assert found["delay_ms"]["p50"] == pytest.approx(21, rel=0.01)
    assert found["work_ms"]["p50"] == pytest.approx(1, rel=0.01)
    assert found["between_lines_ms"]["p50"] == pytest.approx(10, rel=0.01)
    assert found["lines_per_second"] == pytest.approx(100, rel=0.01)
    assert len(pace._arrivals) < 5


def test_lines_of_an_enlarged_image_that_leave_together():
    clock = Clock()
    pace = Pace(clock)
    pace.frame()
    for line in range(4):
        pace.came()
        clock.now += 0.01
        pace.gone(2 * line, 2, lambda row: row // 2)
    assert pace.between.count == 6
    assert pace.between.percentile(50) == pytest.approx(0.005, rel=0.01)
    assert pace.delay.percentile(99) == pytest.approx(0.01, rel=0.01)


def test_a_camera_does_not_wait():
    clock = Clock()
    due = at_rate(100, clock, clock.wait)
    assert [round(time, 6) for time in itertools.islice(due, 3)] == [0, 0.01, 0.02]
    assert clock.now == pytest.approx(0.02)
    clock.now = 1.0
    assert next(due) == pytest.approx(0.03)
    assert clock.now == 1.0
