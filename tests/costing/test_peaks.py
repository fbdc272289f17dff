"""Both peaks against real tensors: an interpreter that frees at last use, and PyTorch's profiler."""

from __future__ import annotations

import pytest
import torch
from tests.costing.networks import COUNTED, REFERENCES
from torch import nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.profiler import ProfilerActivity, profile
from torch.utils._pytree import tree_leaves

import narrows
from narrows.rowgraph.capture import export_at

NETWORKS = {name: (build, (6, 256, 320)) for name, build in REFERENCES.items()}
NETWORKS |= {name: (kind, (8, 32, 40)) for name, kind in COUNTED.items()}


class Freeing(torch.fx.Interpreter):
    """Real tensors, each let go after its last use; counts the storages that are alive after each call."""

    def __init__(self, program, image):
        super().__init__(program.graph_module, garbage_collect_values=True)
        held = {**program.state_dict, **program.constants}
        self.given = [held[s.target] if s.target else None for s in program.graph_signature.input_specs]
        self.image, self.live, self.peak = [image], {}, 0
        self.weights = {t.untyped_storage()._cdata for t in held.values()}

    def placeholder(self, target, args, kwargs):
        tensor = self.given.pop(0)
        tensor = self.image.pop() if tensor is None else tensor
        self._count(tensor)
        return tensor

    def call_function(self, target, args, kwargs):
        self.live = {key: held for key, held in self.live.items() if not held[0].expired()}
        result = super().call_function(target, args, kwargs)
        self._count(result)
        return result

    def _count(self, result):
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor) and tensor.untyped_storage()._cdata not in self.weights:
                storage = tensor.untyped_storage()
                self.live.setdefault(storage._cdata, (StorageWeakRef(storage), storage.nbytes()))
        self.peak = max(self.peak, sum(count for _, count in self.live.values()))


def within(found: int, expected: int) -> bool:
    return abs(found - expected) <= max(0.05 * expected, 8_000_000)


@pytest.mark.parametrize("name", NETWORKS)
def test_liveness_is_what_an_interpreter_that_frees_holds(name):
    build, shape = NETWORKS[name]
    model = build().eval()
    report = narrows.cost(model, *shape[1:], channels=shape[0])
    program = export_at(model, (torch.rand(1, *shape),), {})
    with torch.no_grad():
        run = Freeing(program, torch.rand(1, *shape))
        run.run()
    assert report.totals["peak_bytes"] >= run.peak  # what a composite makes inside a call is seen as well
    assert abs(report.totals["peak_bytes"] - run.peak) <= 0.05 * run.peak + 200_000


@pytest.mark.parametrize("name", NETWORKS)
def test_eager_is_what_the_profiler_sees_allocated(name):
    build, shape = NETWORKS[name]
    model = build().eval()
    report = narrows.cost(model, *shape[1:], channels=shape[0])
    image = torch.rand(1, *shape)
    with torch.no_grad():
        model(image)  # what is allocated once and kept
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as watched:
            result = model(image)
    del result
    events = [event for event in watched.profiler.kineto_results.events() if event.name() == "[memory]"]
    now = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        now += event.nbytes()
        peak = max(peak, now)
    assert within(report.totals["eager_peak_bytes"], peak + image.nbytes)


class Holding(nn.Module):
    """A local variable holds a map that nothing reads again."""

    def __init__(self, drops: bool):
        super().__init__()
        self.drops = drops
        self.first, self.second, self.third = (nn.Conv2d(8, 8, 3, padding=1) for _ in range(3))

    def forward(self, x):
        held = self.first(x)
        y = self.second(held)
        if self.drops:
            del held
        return self.third(y)


def test_gap_between_the_peaks_is_explained():
    size = 8 * 64 * 64 * 4
    kept, dropped = (narrows.cost(Holding(drops).eval(), 64, 64) for drops in (False, True))
    assert kept.totals["peak_bytes"] == dropped.totals["peak_bytes"] == 2 * size
    packed = 16 * 16 * 9 * 4  # oneDNN's copy of the weight, in blocks of 16 x 16 channels
    assert kept.totals["eager_peak_bytes"] == 4 * size + packed
    assert dropped.totals["eager_peak_bytes"] == 3 * size + packed
    waiting = [tensor for tensor in kept.eager.tensors if tensor.waiting]
    assert {tensor.made_by for tensor in waiting} == {"input", "convolution"}
    (map_held,) = (tensor for tensor in waiting if tensor.made_by != "input")
    assert map_held.module == "first" and map_held.used_last.startswith("convolution")
    assert kept.eager.waiting_bytes == 2 * size
    assert "131.1 kB still held from convolution 'first'" in str(kept)


def test_in_place_operators_hold_nothing_new():
    plain = narrows.cost(nn.Sequential(nn.Conv2d(8, 8, 1), nn.ReLU()).eval(), 32, 32)
    in_place = narrows.cost(nn.Sequential(nn.Conv2d(8, 8, 1), nn.ReLU(inplace=True)).eval(), 32, 32)
    size = 8 * 32 * 32 * 4
    assert plain.totals["eager_peak_bytes"] == 3 * size and in_place.totals["eager_peak_bytes"] == 2 * size


def test_python_that_needs_values_is_said_not_guessed():
    class Peeking(nn.Module):
        def forward(self, x):
            if not torch.compiler.is_exporting():
                float(x.sum())
            return x + 1

    report = narrows.cost(Peeking().eval(), 8, 8, channels=1)
    assert report.eager is None and report.totals["eager_peak_bytes"] is None
    assert any(note.startswith("eager peak: its Python can't be run without values") for note in report.notes)


def test_where_only_torch_runs_there_is_no_line_of_the_users():
    chain = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.ReLU(), torch.nn.Conv2d(8, 8, 1)).eval()
    report = narrows.cost(chain, 64, 48)
    assert report.eager.source is None and report.eager.module in {"0", "1", "2"}
    assert all(tensor.source is None for tensor in report.eager.tensors)


@pytest.mark.parametrize(
    ("layer", "size", "taken", "what"),
    [
        # Few input values: PyTorch's own convolution, 6 x 9 columns of 40 x 40 values.
        (nn.Conv2d(6, 32, 3, padding=1), 40, 6 * 9 * 40 * 40 * 4, "its input unfolded (im2col)"),
        (nn.Conv2d(16, 64, 3, padding=1), 40, 16 * 64 * 9 * 4, "its weight in oneDNN's order"),
        (nn.Conv2d(6, 8, 1), 40, 0, None),
    ],
    ids=["unfolded", "weight", "none"],
)
def test_what_a_kernel_takes_is_part_of_the_gap_and_is_named(layer, size, taken, what):
    report = narrows.cost(nn.Sequential(layer).eval(), size, size)
    assert report.eager.bytes - report.liveness.bytes == report.eager.scratch_bytes == taken
    assert [tensor.scratch for tensor in report.eager.tensors if tensor.scratch] == ([what] if what else [])
    assert (f"that the kernel of convolution takes for itself: {what}" in str(report)) == bool(what)
