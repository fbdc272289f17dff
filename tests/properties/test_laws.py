"""The laws on generated networks."""

from __future__ import annotations

import os

import pytest
import torch

import narrows
from narrows.errors import BudgetError, NotStreamableError
from narrows.streaming.capturing import captured
from narrows.streaming.plan import make_plan
from tests.properties.checks import check_laws
from tests.properties.generate import generate

GRAPHS = int(os.environ.get("NARROWS_GRAPHS", "100"))


def drawn(seed, dtype, exact=False):
    """A network, images that it takes, and the dice; None where PyTorch refuses the size."""
    model, rng = generate(seed, exact)
    model = model.to(dtype)
    if exact:
        height, width = rng.randint(130, 160), rng.randint(130, 160)
    else:
        height, width = rng.choice([1, 2, 3, 5, 9, 16, 31, 64]), rng.choice([1, 2, 5, 8, 17])
    batch = 1 if exact else rng.choice([1, 1, 2, 3])
    x = torch.randn(batch, model.channels_in, height, width, dtype=dtype)
    inputs = [x.contiguous(memory_format=torch.channels_last)]
    if model.second_input:
        inputs.append(torch.randn(batch, model.channels_in, -(-height // 2), -(-width // 2), dtype=dtype))
    try:
        with torch.no_grad():
            outputs = model(*inputs)
    except RuntimeError:
        return None
    if any(0 in leaf.shape for leaf in torch.utils._pytree.tree_leaves(outputs)):
        return None
    return model, inputs, rng


@pytest.mark.parametrize("seed", range(GRAPHS))
def test_streamed_equals_full_frame_and_plan_equals_run(seed):
    dtype = torch.float32 if seed % 3 == 0 else torch.float64
    while (case := drawn(seed, dtype)) is None:
        seed += 1_000_000
    model, inputs, rng = case
    for strip in {1, rng.randint(2, 20), 1000}:
        check_laws(model, inputs, strip)


@pytest.mark.parametrize("seed", range(max(GRAPHS // 8, 1)))
def test_bitwise_in_float32(seed):
    """Images large enough that PyTorch computes the full frame's convolutions with oneDNN, too (20,480 values), and
    strips tall enough that oneDNN sums in the same order for both; on lower ones it may not, and they differ by
    rounding."""
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        while True:
            case = drawn(seed, torch.float32, exact=True)
            if case is not None:
                graph = captured(case[0], [tuple(x.shape) for x in case[1]], [torch.float32])
                sizes = [
                    torch.Size(graph.nodes[node.inputs[0]].shape).numel()
                    for node in graph.nodes
                    if node.operator == "conv2d"
                ]
                if all(node.bitwise for node in graph.nodes) and min(sizes, default=0) > 20_480:
                    break
            seed += 1_000_000
        model, inputs, rng = case
        check_laws(model, inputs, rng.randint(1, 9))
        for strip in (64, 128):
            check_laws(model, inputs, strip, bitwise=True)
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("seed", range(10))
def test_a_smaller_budget_changes_time_only(seed):
    while (case := drawn(seed, torch.float64)) is None or case[0].second_input:
        seed += 1_000_000
    model, (x,), _ = case
    x = torch.randn(1, x.shape[1], 64, 257, dtype=torch.float64)
    with torch.no_grad():
        full = model(x)
    graph = captured(model, [tuple(x.shape)], [x.dtype])
    tall = make_plan(graph, process=0, strip=64)
    low = make_plan(graph, process=0, strip=1)
    assert low.buffers_peak <= tall.buffers_peak
    with pytest.raises(BudgetError, match="smallest that works is") as refused:
        narrows.stream(model, x, memory=1)
    assert sum(entry.name in str(refused.value) for entry in low.ledger) >= min(2, len(low.ledger))
    streamed = narrows.stream(model, x, memory=refused.value.smallest)
    for got, wanted in zip(*(torch.utils._pytree.tree_leaves(o) for o in (streamed, full)), strict=True):
        assert (got - wanted).abs().max() <= 1e-10 * wanted.abs().max()


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
