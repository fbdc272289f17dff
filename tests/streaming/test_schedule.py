"""The order of rows: each once, after what it needs, and none before it is wanted."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.streaming.drawn_graphs import Drawing, graphs, unet
from torch import nn

import narrows
from narrows.layers.line_coding import ChannelCompressor, Quantiser
from narrows.rowgraph.graph import RowGraph
from narrows.rowgraph.rows import Whole
from narrows.streaming.capturing import captured
from narrows.streaming.schedule import Schedule, Step


def rows_after_each_tick(schedule: Schedule, index: int) -> list[int]:
    stops, done = [], 0
    for steps in schedule.steps():
        done = max([done, *(step.stop for step in steps if step.node == index)])
        stops.append(done)
    return stops


def chain(height: int, convolutions: int, **window: int) -> RowGraph:
    drawing = Drawing(height)
    value = 0
    for _ in range(convolutions):
        value = drawing.window(value, **window)
    return drawing.graph(value)


@settings(max_examples=150, deadline=None)
@given(graph=graphs(), strip=st.integers(1, 50))
def test_each_row_is_made_once_in_order_and_after_the_rows_it_needs(graph: RowGraph, strip: int) -> None:
    done = [0] * len(graph.nodes)
    schedule = Schedule(graph, strip)
    for tick, steps in enumerate(schedule.steps(), start=1):
        assert len({step.node for step in steps}) == len(steps)
        for step in steps:
            assert step.start == done[step.node] < step.stop
            node = graph.nodes[step.node]
            for source, need in zip(node.inputs, node.needs, strict=True):
                assert need is not None
                assert done[source] >= need.last(step.stop)
            done[step.node] = step.stop
        assert tick <= schedule.ticks
    assert all(done[index] == graph.nodes[index].height for index in graph.outputs)
    assert all(rows <= node.height for rows, node in zip(done, graph.nodes, strict=True))


@settings(max_examples=150, deadline=None)
@given(graph=graphs(), strip=st.integers(1, 50))
def test_nothing_is_made_before_a_reader_wants_it(graph: RowGraph, strip: int) -> None:
    done = [0] * len(graph.nodes)
    consumers = graph.consumers()
    for steps in Schedule(graph, strip).steps():
        for step in steps:
            done[step.node] = step.stop
        for node in graph.nodes:
            readers = [(c, graph.nodes[c].needs[p]) for c, p in consumers[node.index]]
            started = all(done[reader] > 0 for reader, _ in readers)
            if node.index not in graph.outputs and started:
                assert done[node.index] == max([need.last(done[c]) for c, need in readers if need], default=0)


@settings(max_examples=100, deadline=None)
@given(graph=graphs(), strip=st.integers(1, 50))
def test_outputs_keep_pace_with_each_other_in_steps_of_a_strip(graph: RowGraph, strip: int) -> None:
    schedule = Schedule(graph, strip)
    stands = {index: rows_after_each_tick(schedule, index) for index in graph.outputs}
    for tick in range(schedule.ticks):
        progress = max(0, min((tick + 1) * strip - schedule.lead, schedule.height))
        for index, rows in stands.items():
            assert rows[tick] >= progress * graph.nodes[index].height // schedule.height


@pytest.mark.parametrize("strip", [1, 4, 7, 100])
def test_a_step_of_an_aligned_network_moves_the_output_by_a_strip(strip: int) -> None:
    rows = rows_after_each_tick(Schedule(chain(60, 2), strip), 2)
    assert rows == [max(0, min(60, (tick + 1) * strip - 2)) for tick in range(-(-62 // strip))]


@pytest.mark.parametrize(("convolutions", "delay"), [(1, 2), (2, 3), (5, 6)])
def test_each_3x3_convolution_waits_for_one_row_more(convolutions: int, delay: int) -> None:
    schedule = Schedule(chain(30, convolutions), 1)
    assert schedule.delay == delay
    assert schedule.ticks == 30 + convolutions
    assert rows_after_each_tick(schedule, convolutions)[convolutions - 1 : convolutions + 1] == [0, 1]
    assert rows_after_each_tick(schedule, 0) == [*range(1, 31), *[30] * convolutions]


def test_the_layers_fill_by_one_strip_at_a_time() -> None:
    taken = [0, *rows_after_each_tick(Schedule(chain(200, 20), 4), 0)]
    assert max(later - earlier for earlier, later in pairwise(taken)) == 4
    assert taken[1] == 4


@pytest.mark.parametrize(
    ("drawn", "delay"),
    [
        pytest.param(lambda d: d.window(0, kernel=5, before=2), 3, id="5 rows, padded"),
        pytest.param(lambda d: d.window(0, kernel=3, before=0), 3, id="3 rows, not padded"),
        pytest.param(lambda d: d.window(0, dilation=4, before=4), 5, id="dilated"),
        pytest.param(lambda d: d.window(0, stride=2), 2, id="stride 2"),
        pytest.param(lambda d: d.window(d.window(0, stride=2), stride=2), 4, id="stride 2 twice"),
        pytest.param(lambda d: d.window(d.pool(0)), 4, id="convolution behind a pooling"),
        pytest.param(lambda d: d.upsample(d.pool(0)), 2, id="pooled and repeated"),
        pytest.param(lambda d: d.window(d.upsample(0)), 1, id="convolution behind an upsampling"),
        pytest.param(lambda d: d.transposed(0, 3, 2), 1, id="transposed convolution"),
        pytest.param(lambda d: d.sum(d.window(d.window(0)), 0), 3, id="skip over two convolutions"),
        pytest.param(lambda d: d.window(0, kernel=3, before=3), 0, id="first row of padding alone"),
    ],
)
def test_delays_by_hand(drawn: Callable[[Drawing], int], delay: int) -> None:
    drawing = Drawing(32)
    assert Schedule(drawing.graph(drawn(drawing)), 1).delay == delay


def test_the_steps_of_a_strided_convolution_by_hand() -> None:
    ticks = list(Schedule(chain(8, 1, stride=2), 4).steps())
    assert ticks == [
        [Step(0, 0, 4), Step(1, 0, 2)],
        [Step(0, 4, 8), Step(1, 2, 4)],
    ]


def test_a_skip_connection_waits_for_the_longer_way_without_reading_more() -> None:
    drawing = Drawing(20)
    long = drawing.window(drawing.window(0))
    graph = drawing.graph(drawing.sum(0, long))
    assert rows_after_each_tick(Schedule(graph, 3), 0) == [3, 6, 9, 12, 15, 18, 20, 20]
    assert rows_after_each_tick(Schedule(graph, 3), 3) == [1, 4, 7, 10, 13, 16, 19, 20]


def test_two_outputs_at_two_scales_leave_together() -> None:
    drawing = Drawing(12)
    half = drawing.pool(0)
    schedule = Schedule(drawing.graph(drawing.window(0, kernel=1, before=0), half), 4)
    assert rows_after_each_tick(schedule, 2)[-1] == 12
    assert rows_after_each_tick(schedule, half)[-1] == 6
    for full, pooled in zip(rows_after_each_tick(schedule, 2), rows_after_each_tick(schedule, half), strict=True):
        assert pooled == full // 2


def test_an_input_that_no_output_depends_on_is_never_read() -> None:
    drawing = Drawing(10)
    drawing.inputs.append(drawing.add("input", height=10))
    schedule = Schedule(drawing.graph(drawing.window(0)), 3)
    assert rows_after_each_tick(schedule, 1)[-1] == 0
    assert rows_after_each_tick(schedule, 0)[-1] == 10


def test_rows_below_the_last_window_are_not_read() -> None:
    graph = chain(10, 1, kernel=2, stride=4, before=0)
    assert graph.nodes[1].height == 3
    assert rows_after_each_tick(Schedule(graph, 2), 0)[-1] == 10
    shorter = chain(12, 1, kernel=2, stride=4, before=0)
    assert rows_after_each_tick(Schedule(shorter, 2), 0)[-1] == 10


def test_a_strip_taller_than_the_image_is_one_tick() -> None:
    schedule = Schedule(unet(64), 10_000)
    assert schedule.ticks == 1
    assert [step.stop for steps in schedule.steps() for step in steps] == [n.height for n in schedule.graph.nodes]


def test_a_barrier_waits_for_every_row() -> None:
    drawing = Drawing(16)
    graph = drawing.graph(drawing.add("flip", (0, Whole(16)), height=16))
    assert Schedule(graph, 1).delay == 16


def test_rows_are_kept_for_the_reader_that_is_furthest_behind() -> None:
    drawing = Drawing(20)
    far = drawing.window(0, kernel=5, before=2)
    near = drawing.window(0)
    schedule = Schedule(drawing.graph(far, near), 1)
    source = schedule.graph.nodes[0]
    assert schedule.kept_from(source, [10, 8, 9]) == 6
    assert schedule.kept_from(source, [10, 8, 3]) == 2
    assert schedule.kept_from(source, [20, 20, 19]) == 18
    assert schedule.kept_from(source, [20, 20, 20]) == 20


class CodedSkip(nn.Module):
    """A branch that waits for six rows beside a skip of half the channels."""

    def __init__(self) -> None:
        super().__init__()
        self.before = nn.Conv2d(8, 8, (3, 1), padding=(1, 0))
        self.branch = nn.Conv2d(8, 8, (13, 1), padding=(6, 0))
        self.skip = ChannelCompressor(8, Quantiser(4, 5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.before(x)
        kept: torch.Tensor = self.skip(torch.tanh(y))
        return kept + self.branch(y[:, :4].repeat(1, 2, 1, 1))


@pytest.mark.parametrize("strip", [1, 4])
def test_the_code_of_a_line_waits_and_not_the_line(strip: int) -> None:
    torch.manual_seed(0)
    model = CodedSkip().double().eval()
    image = torch.randn(1, 8, 40, 5, dtype=torch.float64)
    graph = captured(model, [tuple(image.shape)], [torch.float64])
    (code,) = [node for node in graph.nodes if node.coded_bits is not None]
    (line,) = [node for node in graph.nodes if node.operator == "tanh"]
    schedule, done, most = Schedule(graph, strip), [0] * len(graph.nodes), {}
    for steps in schedule.steps():
        for step in steps:
            done[step.node] = step.stop
        for node in (code, line):
            most[node.operator] = max(most.get(node.operator, 0), done[node.index] - schedule.kept_from(node, done))
    assert most == {code.operator: 6, "tanh": 0}
    with torch.no_grad():
        torch.testing.assert_close(narrows.stream(model, image, strip=strip), model(image), rtol=0, atol=1e-10)
