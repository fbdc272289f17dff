"""What is kept between strips: line buffers by hand, and every row there when it is read."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.streaming.drawn_graphs import WIDTH, Drawing, graphs, unet

from narrows.rowgraph.graph import RowGraph
from narrows.rowgraph.rows import Same, Window
from narrows.streaming.plan import keep_books
from narrows.streaming.residency import Make, Residency
from narrows.streaming.schedule import Schedule

ROW = 4 * WIDTH


def residency(graph: RowGraph, strip: int) -> Residency:
    return Residency(graph, Schedule(graph, strip))


def lines(graph: RowGraph, strip: int) -> dict[str, int]:
    """Bytes of the line buffers by the name of the value."""
    entries = keep_books(graph, residency(graph, strip)).ledger.entries
    return {entry.name.removesuffix(" lines"): entry.bytes for entry in entries if entry.kind == "line buffer"}


class Held:
    """Carries out the events of a walk on row numbers alone, and finds every row that is read but not held."""

    def __init__(self, graph: RowGraph, plan: Residency):
        self.graph, self.plan = graph, plan
        self.lines = dict.fromkeys(plan.capacity, (0, 0))
        self.passing: dict[int, tuple[int, int]] = {}
        self.fullest = dict.fromkeys(plan.capacity, 0)

    def carry_out(self, event: Make) -> None:
        for source, span in zip(event.node.inputs, event.spans, strict=True):
            if span is not None and span[0] < span[1]:
                first, stop = self.lines[source] if source in self.lines else self.passing[source]
                assert first <= span[0]
                assert span[1] <= stop
        index = event.node.index
        if event.keep:
            origin, stop = self.lines[index]
            if event.stop - origin > self.plan.capacity[index]:
                origin = min(event.keep_from, stop)
            assert event.stop - origin <= self.plan.capacity[index]
            self.lines[index] = (origin, event.stop)
            self.fullest[index] = max(self.fullest[index], event.stop - min(event.keep_from, stop))
        else:
            self.passing[index] = (event.start, event.stop)
        for root in event.drop:
            for member in self.plan.members.get(root, (root,)):
                self.passing.pop(member, None)


@settings(max_examples=200, deadline=None)
@given(graph=graphs(), strip=st.integers(1, 50))
def test_every_row_is_held_when_it_is_read_and_buffers_are_no_larger_than_they_must_be(
    graph: RowGraph, strip: int
) -> None:
    plan = residency(graph, strip)
    held = Held(graph, plan)
    for events in plan.walk():
        for event in events:
            held.carry_out(event)
        assert not held.passing
    assert held.fullest == plan.capacity


@settings(max_examples=100, deadline=None)
@given(graph=graphs(), strip=st.integers(1, 50))
def test_memory_is_overwritten_only_where_nobody_else_reads_it(graph: RowGraph, strip: int) -> None:
    plan = residency(graph, strip)
    consumers = graph.consumers()
    for events in plan.walk():
        for event in events:
            if event.overwrite:
                position = event.node.overwrites
                assert position is not None
                base = event.node.inputs[position]
                assert consumers[base] == [(event.node.index, position)]
                assert base not in plan.capacity
                assert base not in (*graph.inputs, *graph.outputs)


@pytest.mark.parametrize(("strip", "rows"), [(1, 3), (4, 6), (16, 18)])
def test_a_3x3_convolution_keeps_a_strip_and_two_rows(strip: int, rows: int) -> None:
    drawing = Drawing(64, channels=3)
    assert lines(drawing.graph(drawing.window(0)), strip) == {"input0": rows * 3 * ROW}


@pytest.mark.parametrize(("kernel", "dilation", "rows"), [(5, 1, 8), (7, 1, 10), (3, 3, 10), (1, 1, None)])
def test_a_convolution_keeps_a_strip_and_its_reach(kernel: int, dilation: int, rows: int | None) -> None:
    drawing = Drawing(64)
    before = dilation * (kernel - 1) // 2
    graph = drawing.graph(drawing.window(0, kernel, 1, before, dilation))
    assert lines(graph, 4) == ({"input0": rows * ROW} if rows else {})


def test_a_pooling_on_whole_windows_keeps_nothing() -> None:
    drawing = Drawing(64)
    assert lines(drawing.graph(drawing.pool(0)), 4) == {}


def test_one_strip_for_the_whole_image_keeps_nothing() -> None:
    assert lines(unet(64), 1000) == {}


def test_a_skip_across_a_pooling_and_an_upsampling() -> None:
    """Output rows stand at 3, 7, 11, 15, 16 for input rows 4, 8, 12, 16: the sum lags one row behind, and the pooled
    row 1 serves output rows 2 and 3, of which the first step makes one."""
    drawing = Drawing(16)
    graph = drawing.graph(drawing.sum(drawing.upsample(drawing.pool(0, width=4)), 0))
    assert lines(graph, 4) == {"input0": 5 * ROW, "pool1": 3 * ROW // 2}


def test_a_skip_over_two_convolutions_keeps_what_both_readers_need() -> None:
    """Output rows stand at 2, 6, 10, ... for 4, 8, 12, ... of the input, whose convolution is one row ahead (3, 7)."""
    drawing = Drawing(40)
    first = drawing.window(0)
    graph = drawing.graph(drawing.sum(drawing.window(first), 0))
    assert lines(graph, 4) == {"input0": 6 * ROW, f"conv{first}": 6 * ROW}


@pytest.mark.parametrize("strip", [4, 16])
def test_a_unet_keeps_as_much_on_every_tall_image(strip: int) -> None:
    first, *others = [lines(unet(height), strip) for height in (128, 256, 4096)]
    assert len(first) >= 4
    assert others == [first, first]


def test_deeper_levels_of_a_unet_make_the_skips_above_wait_longer() -> None:
    skips = [lines(unet(512, levels), 4)["conv1"] for levels in (1, 2, 3)]
    assert skips == sorted(set(skips))


def test_a_row_leaves_when_nobody_needs_it() -> None:
    drawing = Drawing(12)
    far = drawing.window(0, kernel=5, before=2)
    near = drawing.window(0, kernel=3, before=1)
    plan = residency(drawing.graph(far, near), 2)
    # With 2 to 10 output rows made, the five-row window of the next begins two rows above it.
    made = [(e.start, e.keep_from) for events in plan.walk() for e in events if e.node.index == 0]
    assert made == [(0, 0), (2, 0), (4, 0), (6, 2), (8, 4), (10, 6)]
    assert plan.capacity == {0: 6}


def test_a_value_passes_in_memory_of_its_own_until_its_last_reader() -> None:
    drawing = Drawing(8)
    one = drawing.add("relu", (0, Same(8)), height=8)
    two = drawing.add("scale", (one, Same(8)), height=8)
    three = drawing.sum(one, two)
    plan = residency(drawing.graph(three), 4)
    assert not plan.capacity
    assert plan.owner == {0: 0, one: one, two: two, three: three}
    drops = [(event.node.index, event.drop) for event in next(iter(plan.walk()))]
    assert drops == [(0, ()), (one, (0,)), (two, ()), (three, (one, two, three))]


def test_a_chain_of_pointwise_operators_works_in_one_piece_of_memory() -> None:
    drawing = Drawing(8)
    base = drawing.window(0, kernel=1, before=0)
    one = drawing.add("relu", (base, Same(8)), height=8, overwrites=0)
    two = drawing.add("relu", (one, Same(8)), height=8, overwrites=0)
    plan = residency(drawing.graph(two), 4)
    assert plan.members[base] == (base, one, two)
    assert [event.overwrite for event in next(iter(plan.walk()))] == [False, False, True, True]
    strips = [e for e in keep_books(plan.graph, plan).ledger.entries if e.kind == "strip"]
    assert {(e.name, e.bytes) for e in strips} == {("input0 (input)", 4 * ROW), (f"conv{base} (conv)", 4 * ROW)}


@pytest.mark.parametrize("why", ["an input", "an output", "read twice", "of another size", "kept"])
def test_what_may_not_be_overwritten(why: str) -> None:
    drawing = Drawing(8)
    base = 0 if why == "an input" else drawing.window(0, kernel=1, before=0)
    channels = 2 if why == "of another size" else 1
    over = drawing.add("relu", (base, Same(8)), height=8, channels=channels, overwrites=0)
    others = {
        "an output": [base],
        "read twice": [drawing.add("scale", (base, Same(8)), height=8)] if why == "read twice" else [],
        "kept": [drawing.window(base)] if why == "kept" else [],
    }
    plan = residency(drawing.graph(over, *others.get(why, [])), 4)
    assert not [event for events in plan.walk() for event in events if event.overwrite]
    assert plan.owner[over] == over


def test_a_view_takes_no_memory_and_lives_in_that_of_its_input() -> None:
    drawing = Drawing(8)
    base = drawing.window(0, kernel=1, before=0)
    view = drawing.add("view", (base, Same(8)), height=8, view_of=0)
    last = drawing.add("scale", (view, Same(8)), height=8)
    graph = drawing.graph(last)
    plan = residency(graph, 4)
    assert plan.owner[view] == base
    assert plan.members[base] == (base, view)
    books = keep_books(graph, plan)
    assert f"view{view} (view)" not in {entry.name for entry in books.ledger.entries}
    # The memory of both is given up by the reader of the view.
    assert {e.node.index: e.drop for e in next(iter(plan.walk()))}[last] == (base, last)


def test_a_view_of_kept_rows_lives_in_the_line_buffer() -> None:
    drawing = Drawing(16)
    view = drawing.add("view", (0, Same(16)), height=16, view_of=0)
    plan = residency(drawing.graph(drawing.sum(view, drawing.window(0))), 4)
    assert 0 in plan.capacity
    assert plan.owner[view] == 0


def test_padding_alone_asks_for_no_rows() -> None:
    drawing = Drawing(4)
    padded = drawing.add("pad", (0, Window(4, before=3)), height=10)
    spans = [e.spans[0] for events in residency(drawing.graph(padded), 2).walk() for e in events if e.node.index]
    assert spans == [(0, 0), (0, 1), (1, 3), (3, 4), (4, 4)]
