"""Books kept of buffers: what is held, what was held at most, and when."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from narrows.streaming.ledger import Entry, Ledger

EVENTS = st.lists(st.tuples(st.sampled_from("abcd"), st.none() | st.integers(0, 100)), max_size=40)


@given(EVENTS)
def test_sums_and_peaks_are_those_of_the_events(events: list[tuple[str, int | None]]) -> None:
    ledger = Ledger()
    held: dict[str, int] = {}
    moments: list[dict[str, int]] = [{}]
    largest: dict[str, int] = {}
    for name, count in events:
        if count is None:
            ledger.release(name)
        else:
            ledger.hold(name, "strip", count, "why")
        held[name] = count or 0
        largest[name] = max(largest.get(name, 0), count or 0)
        moments.append({key: value for key, value in held.items() if value})
        assert ledger.now == sum(held.values())
    sums = [sum(moment.values()) for moment in moments]
    assert ledger.peak == max(sums)
    assert ledger.at_peak == moments[sums.index(max(sums))]
    assert {entry.name: entry.bytes for entry in ledger.entries} == {k: v for k, v in largest.items() if v}


def test_the_largest_comes_first_and_equal_ones_by_name() -> None:
    ledger = Ledger()
    for name, count in (("small", 1), ("b", 5), ("large", 9), ("a", 5), ("none", 0)):
        ledger.hold(name, "strip", count, "why")
    assert [entry.name for entry in ledger.entries] == ["large", "a", "b", "small"]


def test_an_entry_keeps_the_reason_of_its_largest_moment() -> None:
    ledger = Ledger()
    ledger.hold("x lines", "line buffer", 40, "4 rows")
    ledger.hold("x lines", "line buffer", 60, "6 rows")
    ledger.hold("x lines", "line buffer", 50, "5 rows")
    assert ledger.now == 50
    assert ledger.entries == (Entry("x lines", "line buffer", 60, "6 rows"),)


def test_what_is_released_still_has_its_entry() -> None:
    ledger = Ledger()
    ledger.hold("x", "scratch", 8, "while a strip is made")
    ledger.release("x")
    ledger.release("x")
    ledger.release("never held")
    assert ledger.now == 0
    assert ledger.peak == 8
    assert [entry.name for entry in ledger.entries] == ["x"]


def test_the_moment_of_the_peak_is_not_changed_by_what_follows() -> None:
    ledger = Ledger()
    ledger.hold("a", "strip", 10, "")
    ledger.hold("b", "strip", 5, "")
    ledger.release("a")
    ledger.hold("c", "strip", 10, "")
    assert ledger.peak == 15
    assert ledger.at_peak == {"a": 10, "b": 5}
