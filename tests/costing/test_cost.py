"""What a network costs, against other counters where they are right, and by hand where they are not."""

from __future__ import annotations

import json

import pytest
import torch
from fvcore.nn import FlopCountAnalysis
from tests.costing.networks import COUNTED, REFERENCES, Classifier, Shared
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import narrows
from narrows.errors import CaptureError, InputError
from narrows.networks.deepwatermap import deepwatermap_v2
from narrows.rowgraph.registry import multiplies

SIZE = (64, 96)


@pytest.mark.parametrize("name", REFERENCES)
def test_agrees_with_torch_on_networks_that_it_counts_right(name):
    model = REFERENCES[name]().eval()
    report = narrows.cost(model, *SIZE)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.rand(1, 6, *SIZE))
    assert report.totals["macs"] * 2 == counter.get_total_flops()
    assert report.totals["parameters"] == sum(p.numel() for p in model.parameters())
    assert not report.unknown


@pytest.mark.parametrize("name", ["deepwatermap", "unet", "dilated", "pyramid"])
def test_agrees_with_fvcore_on_networks_that_it_counts_right(name):
    model = REFERENCES[name]().eval()
    analysis = FlopCountAnalysis(model, torch.rand(1, 6, *SIZE))
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    # fvcore counts batch norm and resizing as well; only products are compared.
    found = {name: count for name, count in analysis.by_operator().items() if name in ("conv", "linear", "matmul")}
    assert narrows.cost(model, *SIZE).totals["macs"] == sum(found.values())


@pytest.mark.parametrize("name", COUNTED)
def test_counts_as_by_hand(name):
    kind = COUNTED[name]
    report = narrows.cost(kind().eval(), 12, 16, channels=8)
    assert report.totals["macs"] == kind.macs(12, 16)
    assert sum(op.macs for op in report.operators) == report.totals["macs"]


def test_deepwatermap_counts_what_its_paper_gives():
    report = narrows.cost(deepwatermap_v2().eval(), 1024, 1024)
    assert report.totals["parameters"] == 37_200_150
    assert report.totals["peak_bytes"] == 8 * 4 * 1024 * 1024 * 4  # eight maps of 4 x H x W float32


def test_shared_module_counts_its_weights_once_and_its_work_each_time():
    report = narrows.cost(Shared().eval(), 8, 8)
    assert report.totals["parameters"] == 8 * 8 * 9 + 8
    convolutions = [op for op in report.operators if op.kind == "conv2d"]
    assert [op.parameters for op in convolutions] == [8 * 8 * 9 + 8] * 3
    block = next(module for module in report.modules if module.path == "block.0")
    assert block.calls == 3 and block.macs == report.totals["macs"] and block.parameters == 8 * 8 * 9 + 8


def test_modules_add_up_to_the_whole():
    report = narrows.cost(deepwatermap_v2().eval(), 64, 64)
    root, *rest = report.modules
    assert root.macs == report.totals["macs"] == sum(module.macs for module in rest if module.depth == 1)
    assert root.parameters == report.totals["parameters"]
    assert root.bytes_read == report.totals["bytes_read"] and root.launched == report.totals["launched_operators"]


def test_memory_access_cost_is_that_of_shufflenet_v2():
    """hw(c1 + c2) + c1 c2 / g, without a bias, strides and larger kernels as they come."""
    pointwise = nn.Conv2d(16, 48, 1, groups=4, bias=False)
    (op,) = narrows.cost(pointwise.eval(), 56, 56).operators
    assert op.memory_access == 56 * 56 * (16 + 48) + 16 * 48 // 4
    assert op.bytes_read == 4 * (56 * 56 * 16 + 16 * 48 // 4) and op.bytes_written == 4 * 56 * 56 * 48
    assert op.weight_bytes == 4 * 16 * 48 // 4 and op.arithmetic_intensity == op.macs / (4 * op.memory_access)
    (op,) = narrows.cost(nn.Conv2d(4, 8, 3, stride=2, padding=1, bias=False).eval(), 32, 40).operators
    assert op.memory_access == 32 * 40 * 4 + 16 * 20 * 8 + 4 * 8 * 9


class Views(nn.Module):
    def forward(self, x):
        copied = x.transpose(2, 3).contiguous()
        viewed = x.reshape(x.shape[0], -1)
        broadcast = x[:, :1].expand_as(x) + x
        broadcast += 1
        return copied.relu_(), viewed, broadcast


def test_views_move_nothing_and_broadcasts_are_read_once():
    ops = {op.name: op for op in narrows.cost(Views().eval(), 4, 6, channels=3).operators}
    kinds = {name: op.launched for name, op in ops.items()}
    assert not kinds["transpose"] and not kinds["reshape"] and not kinds["expand_as"] and kinds["contiguous"]
    size = 4 * 6 * 4
    assert ops["add"].bytes_read == 3 * size + size and ops["add"].bytes_written == 3 * size
    assert ops["add_"].in_place and ops["add_"].bytes_read == ops["add_"].bytes_written == 3 * size
    assert ops["relu_"].kind == "relu" and ops["relu_"].elementwise
    assert all(op.bytes_moved == 0 and op.macs == 0 for op in ops.values() if not op.launched)


@torch.library.custom_op("narrows_tests::mystery", mutates_args=())
def mystery(x: torch.Tensor) -> torch.Tensor:
    return x.clone()


@mystery.register_fake
def _(x):
    return torch.empty_like(x)


@torch.library.custom_op("narrows_tests::told", mutates_args=())
def told(x: torch.Tensor) -> torch.Tensor:
    return x.clone()


@told.register_fake
def _(x):
    return torch.empty_like(x)


@multiplies("narrows_tests.told.default")
def _told_macs(call):
    return 7 * call["x"].shape[-1]


class Custom(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function
        self.convolution = nn.Conv2d(3, 4, 1)

    def forward(self, x):
        return self.function(self.convolution(x))


def test_unknown_operator_is_named_never_counted_as_zero():
    report = narrows.cost(Custom(mystery).eval(), 5, 6)
    (unknown,) = report.unknown
    assert unknown.target == "narrows_tests.mystery.default" and unknown.macs is None
    assert unknown.source is not None and unknown.source.startswith("test_cost.py")
    assert any("narrows_tests.mystery" in note for note in report.notes)
    assert report.totals["unknown_operators"] == 1 and "unknown" in str(report)
    assert json.loads(report.to_json())["unknown"] and report.modules[0].unknown == (unknown.target,)


def test_custom_operator_counts_as_it_was_told():
    report = narrows.cost(Custom(told).eval(), 5, 6)
    assert not report.unknown and report.totals["macs"] == 5 * 6 * 12 + 7 * 6


@pytest.mark.parametrize(
    ("function", "macs"),
    [
        (lambda x: torch.tensordot(x, x.new_ones(3, 5), dims=([1], [0])), 4 * 6 * 3 * 5),
        (lambda x: torch.inner(x, x.new_ones(2, 6)), 3 * 4 * 6 * 2),
        (lambda x: torch.einsum("nchw,cd,de->nehw", x, x.new_ones(3, 7), x.new_ones(7, 2)), 24 * (3 * 7 + 7 * 2)),
        (lambda x: torch.nn.functional.unfold(x, 3, padding=1), 0),
    ],
    ids=["tensordot", "inner", "einsum", "unfold"],
)
def test_composites_count_what_they_are_made_of(function, macs):
    class Composite(nn.Module):
        def forward(self, x):
            return function(x)

    report = narrows.cost(Composite().eval(), 4, 6, channels=3)
    assert not report.unknown and report.totals["macs"] == macs


class Branches(nn.Module):
    def __init__(self, count):
        super().__init__()
        self.branches = nn.ModuleList(nn.Sequential(nn.Conv2d(4, 4, 1), nn.ReLU()) for _ in range(count))

    def forward(self, x):
        return sum(branch(x) for branch in self.branches)


def test_chain_and_branches():
    totals = narrows.cost(Branches(4).eval(), 8, 8).totals
    # sum() begins with 0 + the first branch: four additions, one after the other.
    assert totals["launched_operators"] == 12 and totals["parallel_branches"] == 4 and totals["longest_chain"] == 6
    totals = narrows.cost(nn.Sequential(nn.Conv2d(4, 4, 1), nn.ReLU(inplace=True)).eval(), 8, 8).totals
    assert totals["longest_chain"] == 2 and totals["parallel_branches"] == 1


def test_growth_with_the_size():
    growth = {g.name: g for g in narrows.cost(COUNTED["attention"]().eval(), 8, 8, channels=8, growth=True).growth}
    assert 3.5 < growth["macs"].exponent < 4
    growth = {g.name: g for g in narrows.cost(nn.Conv2d(3, 4, 3, padding=1).eval(), 16, 16, growth=True).growth}
    assert growth["macs"].exponent == 2 and growth["macs"].values == tuple(16 * 16 * 3 * 4 * 9 * k for k in (1, 4, 16))
    assert growth["line_buffer_bytes"].exponent == 1 and growth["delay_rows"].exponent == 0


def test_predictor_gives_times_to_operators_modules_and_the_whole():
    class Constant:
        def predict(self, operator):
            return 0.5 if operator.kind == "conv2d" else 0.25

    report = narrows.cost(Shared().eval(), 8, 8).with_times(Constant())
    assert report.totals["seconds"] == 3 * 0.5 + 3 * 0.25
    assert next(m for m in report.modules if m.path == "block.0").seconds == 1.5


def test_exported_program_and_several_inputs(tmp_path):
    model = Classifier().eval()
    torch.export.save(torch.export.export(model, (torch.rand(1, 8, 12, 16),)), tmp_path / "net.pt2")
    report = narrows.cost(tmp_path / "net.pt2", 12, 16)
    expected = narrows.cost(model, 12, 16)
    assert report.totals["macs"] == expected.totals["macs"] and report.eager is None
    assert report.totals["parameters"] == expected.totals["parameters"]
    paths = {module.path: module.macs for module in expected.modules}
    assert {module.path: module.macs for module in report.modules if module.path} == {
        p: m for p, m in paths.items() if p
    }

    class Two(nn.Module):
        def forward(self, a, b):
            return a @ b

    report = narrows.cost(Two().eval(), 4, 5, inputs=[(1, 4, 5), (1, 5, 6)])
    assert report.totals["macs"] == 4 * 5 * 6


def test_bad_input_is_one_line():
    with pytest.raises(InputError, match="at least one row"):
        narrows.cost(Shared().eval(), 0, 8)
    with pytest.raises(InputError, match="how many channels"):
        narrows.cost(nn.ReLU().eval(), 4, 8)
    with pytest.raises(InputError, match="bits"):
        narrows.cost(Shared().eval(), 8, 8, bits=0)
    with pytest.raises(CaptureError, match="training mode"):
        narrows.cost(Shared(), 8, 8)
    with pytest.raises(CaptureError, match="can't be captured at this size"):
        narrows.cost(nn.Conv2d(3, 3, 9).eval(), 4, 4)
