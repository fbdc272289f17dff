"""The laws on generated networks."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch.utils import _pytree as pytree

import narrows
from narrows.errors import BudgetError, CaptureError, NotStreamableError
from narrows.rowgraph.graph import RowGraph
from narrows.streaming.capturing import captured
from narrows.streaming.plan import check_streamable, make_plan
from narrows.streaming.residency import Make, Residency
from narrows.streaming.schedule import Schedule
from tests.properties.checks import TOLERANCE, check_equal, check_laws
from tests.properties.generate import KINDS, Case, generate

GRAPHS = int(os.environ.get("NARROWS_GRAPHS", "100"))
DTYPES = (torch.float64, torch.float32, torch.float64, torch.float32, torch.float64, torch.bfloat16)
# Of the networks drawn, those that may be refused: only such that reshape a value of one row, where the shapes alone
# don't tell what becomes of the row.
REFUSED_AT_MOST = 0.05
# Of all decisions, those that may be closer than the tolerance; of all values, those that may depend on one.
DOUBTFUL_AT_MOST = 0.001
UNSETTLED_AT_MOST = 0.02
# Of the networks in float32, those whose full frame is itself further from float64 than a third of law 1's tolerance.
CANCELLING_AT_MOST = 0.02
CANCELLING_TO = 1e-3
# Of the networks with a bilinear or bicubic resize, those that may differ from the full frame by rounding: PyTorch has
# a kernel of its own for each memory order, and strips don't always have that of the full frame.
ROUNDED_AT_MOST = 0.05
# Rows from which on oneDNN sums a strip in the order of the full frame; lower ones, as the last of a coarse scale, may
# differ by rounding.
ONE_ORDER = 8


@dataclass
class Tally:
    """What one process drew."""

    drawn: int = 0
    refused: list[str] = field(default_factory=list)
    decided: int = 0
    doubtful: int = 0
    values: int = 0
    unsettled: int = 0
    single: int = 0
    cancelling: int = 0
    interpolated: int = 0
    rounded: int = 0


@pytest.fixture(scope="module")
def tally() -> Iterator[Tally]:
    """Fails where too much was refused or could not be compared."""
    kept = Tally()
    yield kept
    refused = "\n".join(kept.refused)
    assert len(kept.refused) <= max(1, REFUSED_AT_MOST * kept.drawn), f"of {kept.drawn} were refused:\n{refused}"
    assert kept.doubtful <= 3 + DOUBTFUL_AT_MOST * kept.decided
    assert kept.unsettled <= UNSETTLED_AT_MOST * kept.values
    assert kept.rounded <= 1 + ROUNDED_AT_MOST * kept.interpolated
    assert kept.cancelling <= 3 + CANCELLING_AT_MOST * kept.single


def drawn(seed: int, dtype: torch.dtype, tally: Tally, **how) -> tuple[Case, RowGraph]:
    """A network that can be streamed, printed for whoever reads of its failure, and its row graph."""
    while True:
        case = generate(seed, dtype, **how)
        tally.drawn += 1
        try:
            graph = captured(case.network, [tuple(x.shape) for x in case.inputs], [x.dtype for x in case.inputs])
            check_streamable(graph)
        except (CaptureError, NotStreamableError) as refusal:
            if not case.network.one_row:
                raise AssertionError(f"{refusal}\n{case.listing}") from refusal
            tally.refused.append(f"seed {seed}: {refusal}")
            seed += 1_000_000
            continue
        print(case.listing)
        return case, graph


def tolerance_of(case: Case, dtype: torch.dtype, full: Any, tally: Tally) -> float:
    """Law 1's, of the largest value; where the full frame's own rounding is larger, three times that.

    Of the 8 bits that a bfloat16 keeps, the last is worth up to 2^-7 of the value. Where a kernel sums a strip in
    another order than the full frame, or a norm is folded into the weights, sums are rounded to the other neighbour,
    and the steps that follow enlarge that as they enlarge the full frame's own rounding. How much they do, the network
    in float64 with the same weights tells. Both lie around it; a strip may round twice as badly. In float32 that
    matters only to networks that cancel nearly everything, as a norm of nearly equal values does.
    """
    if dtype is torch.float64:
        return TOLERANCE[dtype]
    with torch.no_grad():
        exact = copy.deepcopy(case.network).double()(*(x.double() for x in case.inputs))
    pairs = zip(pytree.tree_leaves(full), pytree.tree_leaves(exact), strict=True)
    own = 3 * max(_apart(got, wanted) for got, wanted in pairs)
    if dtype is torch.bfloat16:
        return 2**-7 + own
    tally.single += 1
    tally.cancelling += own > TOLERANCE[dtype]
    return max(TOLERANCE[dtype], min(own, CANCELLING_TO))


def _apart(got: torch.Tensor, wanted: torch.Tensor) -> float:
    """Largest difference of the finite values, of the largest of them; 0 for integers and where nothing is finite."""
    finite = torch.isfinite(got) & torch.isfinite(wanted)
    if not got.is_floating_point() or not finite.any():
        return 0.0
    got, wanted = got[finite].double(), wanted[finite].double()
    return float((got - wanted).abs().max() / got.abs().max().clamp_min(1e-30))


def test_every_kind_of_step_is_drawn():
    for kind in KINDS:
        assert any(kind in generate(seed, torch.float64, must=kind).network.kinds for seed in range(20)), kind


@pytest.mark.parametrize("seed", range(GRAPHS))
def test_streamed_equals_full_frame_and_plan_equals_run(seed, tally):
    dtype = DTYPES[seed % len(DTYPES)]
    case, graph = drawn(seed, dtype, tally, must=list(KINDS)[seed % len(KINDS)])
    with torch.no_grad():
        full = case.network(*case.inputs)
    tolerance = tolerance_of(case, dtype, full, tally)
    settled = case.network.settled(case.inputs, tolerance)
    tally.decided, tally.doubtful = tally.decided + settled.decided, tally.doubtful + settled.doubtful
    for mask in settled.masks:
        tally.values, tally.unsettled = tally.values + mask.numel(), tally.unsettled + int((~mask).sum())
    for strip in (1, case.rng.randint(2, 20), 1000):
        check_laws(
            case.network,
            case.inputs,
            full,
            strip,
            tolerance,
            graph,
            settled=settled.masks,
            discrete=case.network.discrete,
        )


def lowest_convolution(graph: RowGraph, strip: int) -> int:
    """Rows of the lowest strip of any convolution."""
    ticks = Residency(graph, Schedule(graph, strip)).walk()
    made = [event for events in ticks for event in events if isinstance(event, Make) and event.stop > event.start]
    return min((event.stop - event.start for event in made if event.node.operator == "conv2d"), default=strip)


@pytest.mark.parametrize("seed", range(max(GRAPHS // 20, 1)))
def test_bitwise_in_float32(seed, tally):
    """Images large enough that PyTorch computes the full frame's convolutions with oneDNN, too, and strips tall enough
    that oneDNN sums in the same order for both; on lower ones it may not, and they differ by rounding."""
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        while True:
            case, graph = drawn(seed, torch.float32, tally, exact=True)
            if all(node.bitwise for node in graph.nodes) and lowest_convolution(graph, 64) >= ONE_ORDER:
                break
            seed += 1_000_000
        with torch.no_grad():
            full = case.network(*case.inputs)
        check_laws(case.network, case.inputs, full, case.rng.randint(1, 9), TOLERANCE[torch.float32], graph)
        for strip in (64, 128):
            bitwise = lowest_convolution(graph, strip) >= ONE_ORDER
            if any(node.operator == "resize" for node in graph.nodes):
                streamed = narrows.stream(case.network, case.inputs, strip=strip)
                pairs = zip(pytree.tree_leaves(streamed), pytree.tree_leaves(full), strict=True)
                tally.interpolated += 1
                tally.rounded += bitwise and not all(torch.equal(got, wanted) for got, wanted in pairs)
                bitwise = False
            check_laws(case.network, case.inputs, full, strip, TOLERANCE[torch.float32], graph, bitwise=bitwise)
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("seed", range(10))
def test_a_smaller_budget_changes_time_only(seed, tally):
    case, graph = drawn(seed, torch.float64, tally, size=(64, 257))
    (x,) = case.inputs
    with torch.no_grad():
        full = case.network(x)
    tall = make_plan(graph, process=0, strip=64)
    low = make_plan(graph, process=0, strip=1)
    assert low.buffers_peak <= tall.buffers_peak
    with pytest.raises(BudgetError, match="smallest that works is") as refused:
        narrows.stream(case.network, x, memory=1)
    assert sum(entry.name in str(refused.value) for entry in low.ledger) >= min(2, len(low.ledger))
    streamed = narrows.stream(case.network, x, memory=refused.value.smallest)
    settled = case.network.settled(case.inputs, 1e-10)
    assert pytree.tree_structure(streamed) == pytree.tree_structure(full)
    check_equal(streamed, full, 1e-10, settled=settled.masks, discrete=case.network.discrete)


class CountedSource:
    """Counts what is read."""

    def __init__(self):
        self.reads = 0
        self.shape = (3, 64, 32)
        self.dtype = torch.zeros(0).numpy().dtype

    def read(self, start, stop):
        self.reads += 1
        return torch.zeros(3, stop - start, 32).numpy()


class Refused(torch.nn.Module):
    """A convolution and one operator that can't be streamed."""

    def __init__(self, operator):
        super().__init__()
        self.stem = torch.nn.Conv2d(3, 4, 3)
        self.operator = operator

    def forward(self, x):
        return self.operator(self.stem(x))


class Lambda(torch.nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


@pytest.mark.parametrize(
    ("operator", "named"),
    [
        (lambda x: torch.nn.functional.dropout(x, 0.5, training=True), "dropout"),
        (lambda x: x + torch.rand_like(x), "rand_like"),
        (lambda x: x + torch.randn(x.shape), "randn"),
        (lambda x: x - x.mean((2, 3), keepdim=True), "mean"),
        (lambda x: x.flip(2), "flip"),
        (lambda x: torch.nn.functional.instance_norm(x), "norm"),
        (lambda x: torch.nn.functional.pad(x, (1, 1, 1, 1), mode="circular"), "pad"),
        (lambda x: x.softmax(2), "softmax"),
    ],
)
def test_what_cannot_be_exact_is_refused_before_any_work(operator, named):
    source = CountedSource()
    model = Refused(Lambda(operator)).eval()
    with pytest.raises(NotStreamableError, match=named) as refusal:
        narrows.stream(model, source)
    assert source.reads == 0
    assert "'operator'" in str(refusal.value)
    assert "test_laws.py:" in str(refusal.value)
