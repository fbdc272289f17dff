"""Plans: their sums, their reasons, their table and JSON, and budgets."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.streaming.drawn_graphs import WIDTH, Drawing, graphs, unet

import narrows
from narrows.errors import BudgetError, InputError, NotStreamableError
from narrows.networks.unet import UNet
from narrows.rowgraph.graph import RowGraph
from narrows.rowgraph.rows import Same, Transposed, Whole
from narrows.streaming.capturing import captured
from narrows.streaming.ledger import Entry
from narrows.streaming.plan import QUEUE_BLOCKS, Plan, make_plan
from narrows.streaming.strips import strip_candidates
from narrows.units import format_bytes

ROW = 4 * WIDTH
KINDS = {"line buffer", "strip", "scratch", "weights", "state", "queue"}


@pytest.fixture(scope="module")
def real() -> RowGraph:
    """A U-Net as it is captured, with weights and scratch."""
    torch.manual_seed(0)
    return captured(UNet(3, 2, width=8, depth=3, transposed=True).eval(), [(1, 3, 400, 3000)], [torch.float32])


def one_convolution(strip: int, **more: int) -> Plan:
    drawing = Drawing(64, channels=3)
    return make_plan(drawing.graph(drawing.window(0)), process=more.pop("process", 0), strip=strip, **more)


@settings(max_examples=100, deadline=None)
@given(graph=graphs(), strip=st.integers(1, 50))
def test_the_entries_at_the_peak_add_up_to_it(graph: RowGraph, strip: int) -> None:
    plan = make_plan(graph, process=0, strip=strip)
    largest = {entry.name: entry.bytes for entry in plan.ledger}
    assert len(largest) == len(plan.ledger)
    assert sum(plan.at_peak.values()) == plan.buffers_peak
    assert all(0 < count <= largest[name] for name, count in plan.at_peak.items())
    assert max(largest.values()) <= plan.buffers_peak <= sum(largest.values())
    lines = sum(entry.bytes for entry in plan.ledger if entry.kind == "line buffer")
    assert sum(plan.at_peak.get(e.name, 0) for e in plan.ledger if e.kind == "line buffer") == lines


def test_the_ledger_of_one_convolution_by_hand() -> None:
    plan = one_convolution(4)
    assert plan.ledger == (
        Entry("input input0 queue", "queue", QUEUE_BLOCKS * 4 * 3 * ROW, "blocks of up to 4 rows, read ahead"),
        Entry("input0 lines", "line buffer", 6 * 3 * ROW, "6 rows kept for conv1"),
        Entry("output conv1 queue", "queue", QUEUE_BLOCKS * 4 * ROW, "blocks of up to 4 rows, waiting to be written"),
        Entry("input0 (input)", "strip", 4 * 3 * ROW, "4 rows made in one step"),
        Entry("conv1 (conv)", "strip", 4 * ROW, "4 rows made in one step"),
    )
    # From the second step on a strip that is read stands beside the line buffer that it goes into. It is given up when
    # the convolution's, which is smaller by two channels, is made.
    assert set(plan.at_peak) == {entry.name for entry in plan.ledger} - {"conv1 (conv)"}
    assert plan.buffers_peak == (16 * 3 + 6 * 3 + 16 + 4 * 3) * ROW
    assert (plan.height, plan.width, plan.strip, plan.delay, plan.ticks) == (64, WIDTH, 4, 2, 17)


def test_weights_scratch_and_state_are_entries() -> None:
    drawing = Drawing(16)
    more = {"prepared_bytes": 1000, "state_bytes": 70}
    deep = drawing.add("iir", (0, Same(16)), height=16, workspace=lambda rows: 100 * rows, **more)
    plan = make_plan(drawing.graph(drawing.add("relu", (deep, Same(16)), height=16)), process=0, strip=4)
    kinds = {entry.kind: (entry.name, entry.bytes) for entry in plan.ledger if entry.kind not in ("queue", "strip")}
    assert kinds == {
        "weights": ("iir1 weights", 1000),
        "state": ("iir1 state", 70),
        "scratch": ("iir1 (iir) scratch", 400),
    }
    assert plan.at_peak["iir1 weights"] == 1000
    assert plan.at_peak["iir1 state"] == 70


def test_scratch_is_given_up_before_the_next_operator_takes_its_own() -> None:
    drawing = Drawing(16)
    first = drawing.add("conv", (0, Same(16)), height=16, workspace=lambda rows: 100_000)
    last = drawing.add("conv", (first, Same(16)), height=16, workspace=lambda rows: 90_000)
    plan = make_plan(drawing.graph(last), process=0, strip=4)
    assert [entry.bytes for entry in plan.ledger if entry.kind == "scratch"] == [100_000, 90_000]
    assert 100_000 <= plan.buffers_peak < 110_000
    assert "conv2 (conv) scratch" not in plan.at_peak


def test_rows_that_are_cropped_are_counted() -> None:
    drawing = Drawing(8)
    cropped = drawing.add(
        "deconv", (0, Transposed(8, 3, 2, 1, 1)), height=15, discarded=lambda start, stop: 2 * (stop - start)
    )
    plan = make_plan(drawing.graph(cropped), process=0, strip=4)
    assert plan.discarded_rows == 30
    assert re.search(r"partial rows made and thrown away +30$", str(plan), re.MULTILINE)


def test_every_entry_of_a_real_network_has_its_kind_and_reason(real: RowGraph) -> None:
    plan = make_plan(real, process=0)
    assert {entry.kind for entry in plan.ledger} <= KINDS
    assert {"line buffer", "strip", "queue"} <= {entry.kind for entry in plan.ledger}
    assert all(entry.why and entry.bytes > 0 for entry in plan.ledger)
    assert [entry.bytes for entry in plan.ledger] == sorted((e.bytes for e in plan.ledger), reverse=True)
    names = {node.name for node in real.nodes}
    for entry in plan.ledger:
        if entry.kind == "line buffer":
            rows, readers = re.fullmatch(r"(\d+) rows kept for (.*)", entry.why).groups()  # type: ignore[union-attr]
            node = next(n for n in real.nodes if entry.name == f"{n.name} lines")
            assert entry.bytes == int(rows) * node.row_bytes
            assert set(readers.split(", ")) <= names


def test_the_peak_is_what_the_process_the_files_the_ledger_and_the_engine_hold() -> None:
    alone = one_convolution(4)
    assert alone.peak > alone.buffers_peak
    more = one_convolution(4, process=300_000_000, outside=7_000, arrays=55)
    assert more.peak - alone.peak == 300_007_000
    assert (more.process, more.outside, more.arrays) == (300_000_000, 7_000, 55)
    assert more.ledger == alone.ledger


def test_the_peak_does_not_depend_on_the_height() -> None:
    assert make_plan(unet(256), process=0, strip=8).peak == make_plan(unet(8192), process=0, strip=8).peak


@pytest.mark.parametrize("memory", [None, 10**9])
def test_json_holds_the_whole_plan(real: RowGraph, memory: int | None) -> None:
    plan = make_plan(real, process=5, outside=6, memory=memory, arrays=7)
    read = json.loads(plan.to_json())
    entries = tuple(Entry(**entry) for entry in read.pop("ledger"))
    assert Plan(ledger=entries, **read) == plan
    assert read["memory"] == memory
    for name in ("strip", "buffers_peak", "process", "outside", "peak", "delay", "passes", "ticks"):
        assert type(read[name]) is int


def test_the_table_shows_each_buffer_and_the_sums() -> None:
    plan = one_convolution(4, process=300_000_000, outside=20_000_000, memory=10**9, arrays=8_000_000)
    first, header, *lines = str(plan).splitlines()
    assert first == f"64 x {WIDTH}: strips of 4 rows, 1 pass, delay 2 rows"
    assert header.split() == ["buffer", "kind", "bytes", "why"]
    for entry, line in zip(plan.ledger, lines, strict=False):
        assert re.fullmatch(
            rf"{re.escape(entry.name)} +{entry.kind} +{re.escape(format_bytes(entry.bytes))}  {entry.why}", line
        )
    sums = dict(re.split("  +", line) for line in lines[5:])
    assert sums == {
        "held together at most": format_bytes(plan.buffers_peak),
        "held by the process before": "300.0 MB",
        "held by files (GDAL cache, blocks)": "20.0 MB",
        "predicted peak of the process": format_bytes(plan.peak),
        "beside it: arrays passed in": "8.0 MB",
        "budget": "1.000 GB",
    }


def test_a_long_table_sums_up_the_smallest_buffers() -> None:
    plan = make_plan(unet(64, levels=5), process=0, strip=4)
    assert len(plan.ledger) > 24
    rest = plan.ledger[24:]
    line = next(line for line in str(plan).splitlines() if "smaller ones" in line)
    assert line.split(maxsplit=3) == [
        str(len(rest)),
        "smaller",
        "ones",
        format_bytes(sum(entry.bytes for entry in rest)),
    ]
    assert plan.ledger[23].name in str(plan)
    assert f"{rest[-1].name} " not in str(plan)


def test_what_a_plan_leaves_out_is_not_printed() -> None:
    text = str(one_convolution(4))
    assert "budget" not in text
    assert "arrays" not in text
    assert "thrown away" not in text


@pytest.mark.parametrize("process", [0, 250_000_000])
@pytest.mark.parametrize("strip", [None, 64])
def test_the_smallest_budget_that_is_named_works(real: RowGraph, process: int, strip: int | None) -> None:
    with pytest.raises(BudgetError) as refused:
        make_plan(real, process=process, memory=1, strip=strip)
    smallest = refused.value.smallest
    plan = make_plan(real, process=process, memory=smallest, strip=strip)
    assert plan.peak <= smallest
    assert f"the smallest that works is {smallest // 1_000_000}MB" in str(refused.value)
    assert format_bytes(process) in str(refused.value)
    # Rounded up, and with some megabytes for what the process may grow by: no more.
    with pytest.raises(BudgetError):
        make_plan(real, process=process, memory=smallest - 6_000_000, strip=strip)


def test_a_refusal_names_the_largest_buffers(real: RowGraph) -> None:
    with pytest.raises(BudgetError) as refused:
        make_plan(real, process=0, memory=1, strip=64)
    plan = make_plan(real, process=0, strip=64)
    named = re.findall(r"([^,]+?) ([\d.]+ [kMG]?B)(?:, |$)", str(refused.value).split("largest buffers are ")[1])
    largest = sorted(plan.at_peak.values(), reverse=True)[:3]
    assert [count for _, count in named] == [format_bytes(count) for count in largest]
    assert all(format_bytes(plan.at_peak[name]) == count for name, count in named)


def test_the_budget_is_kept_to_the_byte(real: RowGraph) -> None:
    plan = make_plan(real, process=0, strip=16)
    assert make_plan(real, process=0, strip=16, memory=plan.peak) == replace(plan, memory=plan.peak)
    with pytest.raises(BudgetError):
        make_plan(real, process=0, strip=16, memory=plan.peak - 1)


def test_a_larger_budget_never_gives_a_smaller_strip(real: RowGraph) -> None:
    with pytest.raises(BudgetError) as refused:
        make_plan(real, process=0, memory=1)
    most = make_plan(real, process=0).peak
    budgets = [refused.value.smallest + i * (most - refused.value.smallest) // 12 for i in range(13)]
    plans = [make_plan(real, process=0, memory=budget) for budget in budgets]
    strips = [plan.strip for plan in plans]
    assert all(plan.peak <= budget for plan, budget in zip(plans, budgets, strict=True))
    assert strips == sorted(strips)
    assert strips[-1] == make_plan(real, process=0).strip
    assert len(set(strips)) > 3


@settings(max_examples=60, deadline=None)
@given(graph=graphs(), share=st.floats(-0.2, 1.2))
def test_dry_runs_cut_short_choose_as_whole_ones_do(graph: RowGraph, share: float) -> None:
    whole = [make_plan(graph, process=1000, strip=strip) for strip in strip_candidates(graph)]
    peaks = [plan.peak for plan in whole]
    memory = int(min(peaks) + share * (max(peaks) - min(peaks) + 10))
    fitting = [plan for plan in whole if plan.peak <= memory]
    if fitting:
        assert make_plan(graph, process=1000, memory=memory) == replace(fitting[0], memory=memory)
        return
    least = min(whole, key=lambda plan: plan.peak)
    with pytest.raises(BudgetError) as refusal:
        make_plan(graph, process=1000, memory=memory)
    assert refusal.value.smallest == -(-(least.peak + 4_000_000) // 1_000_000) * 1_000_000
    largest = max(least.at_peak, key=lambda name: least.at_peak[name])
    assert format_bytes(least.at_peak[largest]) in str(refusal.value)


def test_a_strip_that_the_user_gives_is_taken_as_it_is(real: RowGraph) -> None:
    assert make_plan(real, process=0, strip=37).strip == 37
    tall = make_plan(real, process=0, strip=256)
    with pytest.raises(BudgetError) as refused:
        make_plan(real, process=0, strip=256, memory=tall.peak * 3 // 4)
    assert refused.value.smallest >= tall.peak
    assert make_plan(real, process=0, memory=tall.peak * 3 // 4).strip < 256


@pytest.mark.parametrize("strip", [0, -4])
def test_a_strip_of_no_rows(strip: int) -> None:
    with pytest.raises(InputError, match=f"at least 1 row, not {strip}"):
        make_plan(unet(64), process=0, strip=strip)


def test_what_cannot_be_streamed_is_refused_whatever_the_budget() -> None:
    drawing = Drawing(16)
    where: dict[str, Any] = {"target": "aten.mean", "module": "neck.pool", "source": "a.py:7"}
    mean = drawing.add("mean", (0, Whole(16)), height=16, barrier="statistics over all pixels", **where)
    graph = drawing.graph(mean)
    with pytest.raises(NotStreamableError, match=r"aten.mean in module 'neck.pool' at a.py:7 .*all pixels.*replace"):
        make_plan(graph, process=0, memory=1)
    drawing = Drawing(16)
    graph = drawing.graph(drawing.add("sort", (0, Same(16)), height=16, unsupported="rows change places"))
    with pytest.raises(NotStreamableError, match="rows change places"):
        make_plan(graph, process=0)
    drawing = Drawing(16)
    drawing.window(0)
    with pytest.raises(NotStreamableError, match="one of its inputs"):
        make_plan(drawing.graph(0), process=0)


def test_plans_of_a_module_for_its_users() -> None:
    network = torch.nn.Conv2d(4, 2, 3, padding=1).eval()
    plan = narrows.plan(network, 100, 50, strip=5, resident_bytes=1_000_000)
    assert (plan.height, plan.width, plan.strip, plan.outside, plan.delay) == (100, 50, 5, 1_000_000, 2)
    lines = [entry for entry in plan.ledger if entry.kind == "line buffer"]
    assert [entry.bytes for entry in lines] == [(5 + 2) * 4 * 50 * 4]
    for height, width in ((0, 5), (5, 0)):
        with pytest.raises(InputError, match="at least one row"):
            narrows.plan(network, height, width)
    with pytest.raises(InputError, match="give channels"):
        narrows.plan(torch.nn.ReLU().eval(), 10, 10)
    assert narrows.plan(torch.nn.ReLU().eval(), 10, 10, channels=3, strip=2).delay == 1
