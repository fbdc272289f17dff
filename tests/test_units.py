"""Amounts as people write and read them."""

from __future__ import annotations

import pytest

from narrows.errors import InputError
from narrows.units import format_count, format_seconds, parse_count, parse_seconds


@pytest.mark.parametrize(
    ("text", "count"),
    [("2G", 2_000_000_000), ("1.5 M", 1_500_000), ("300k", 300_000), ("64", 64), (" 7t ", 7 * 10**12)],
)
def test_counts(text, count):
    assert parse_count(text) == count


@pytest.mark.parametrize(
    ("text", "seconds"), [("60s", 60), ("200ms", 0.2), ("2 min", 120), ("1h", 3600), ("5us", 5e-6)]
)
def test_times(text, seconds):
    assert parse_seconds(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "G", "2furlongs", "-1", "1e3"])
def test_what_is_no_count(text):
    with pytest.raises(InputError, match="is not a count"):
        parse_count(text)


@pytest.mark.parametrize("text", ["", "fast", "3 days"])
def test_what_is_no_time(text):
    with pytest.raises(InputError, match="is not a length of time"):
        parse_seconds(text)


def test_reading_well():
    assert [format_count(n) for n in (999, 2_870_000, 999_800_000_000)] == ["999", "2.87 M", "1 T"]
    assert [format_seconds(s) for s in (0.04, 12.345)] == ["40 ms", "12.3 s"]
