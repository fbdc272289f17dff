from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tests.costing.profiles import A_BYTE, A_CALL, conv_seconds, relu_seconds, write
from torch import nn

import narrows
from narrows.costing.heap import Heap
from narrows.costing.layouts import placed_calls
from narrows.costing.machine import read_profile
from narrows.costing.prediction import Predictor
from narrows.errors import InputError
from narrows.rowgraph.capture import export_at


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    return Predictor(read_profile(write(tmp_path_factory.mktemp("profile") / "p.json")))


def exported(model: nn.Module, *shape: int) -> torch.export.ExportedProgram:
    return export_at(model.eval(), [torch.zeros((1,) * len(shape)).expand(shape)], {})


def test_a_known_law_is_found_again(predictor: Predictor) -> None:
    network = nn.Sequential(nn.Conv2d(24, 48, 3, padding=1, bias=False), nn.ReLU())
    found = predictor.predict(exported(network, 1, 24, 100, 100))
    assert [operator.kind for operator in found.operators] == ["conv contiguous", "unary relu"]
    assert found.operators[0].seconds == pytest.approx(conv_seconds(24, 48, 100, 3), rel=0.02)
    assert found.operators[1].seconds == pytest.approx(relu_seconds(48 * 100 * 100), rel=0.02)
    assert found.seconds == pytest.approx(sum(operator.seconds for operator in found.operators))
    assert found.unmeasured == ()


def test_each_point_is_told_by_the_others(predictor: Predictor) -> None:
    table = predictor.table("conv contiguous")
    assert table is not None
    assert abs(table.errors).max() < 0.05


def test_dropout_takes_nothing_in_eval_mode(predictor: Predictor) -> None:
    found = predictor.predict(exported(nn.Sequential(nn.Conv2d(16, 16, 3), nn.Dropout(0.2)), 1, 16, 200, 200))
    assert found.unmeasured == ()
    assert [operator.kind for operator in found.operators] == ["conv contiguous", "view"]


def test_a_larger_or_wider_network_takes_longer(predictor: Predictor) -> None:
    def seconds(width: int, side: int) -> float:
        network = nn.Sequential(nn.Conv2d(16, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, 16, 3, padding=1))
        return predictor.predict(exported(network, 1, 16, side, side)).seconds

    by_side = [seconds(32, side) for side in (64, 80, 112, 160, 240, 480)]
    by_width = [seconds(width, 96) for width in (8, 12, 16, 24, 40, 64, 128)]
    assert by_side == sorted(by_side)
    assert by_width == sorted(by_width)


def test_an_operator_that_was_not_measured_is_named(predictor: Predictor) -> None:
    found = predictor.predict(exported(nn.Sequential(nn.Conv2d(16, 16, 3), nn.Softshrink()), 1, 16, 200, 200))
    assert found.unmeasured == ("aten.softshrink.default",)
    assert found.operators[-1].seconds == pytest.approx(A_CALL + A_BYTE * 2 * 4 * 16 * 198**2, rel=1e-6)


def test_views_take_no_more_than_a_view(predictor: Predictor) -> None:
    class Views(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.permute(0, 2, 3, 1).transpose(1, 2)[:, 1:].unsqueeze(0)

    found = predictor.predict(exported(Views(), 1, 16, 64, 64))
    assert {operator.kind for operator in found.operators} == {"view"}
    assert found.seconds == pytest.approx(1e-6 * len(found.operators))


def test_calls_know_what_they_make_and_free() -> None:
    class Residual(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = torch.relu(x)
            z = y.reshape(1, -1)
            w = torch.sigmoid(y)
            w.add_(1)
            return w.reshape(1, -1) + z

    calls = placed_calls(exported(Residual(), 1, 2, 8, 8))
    by_target = {each.call.target: each for each in calls}
    relu, sigmoid = by_target["aten.relu.default"], by_target["aten.sigmoid.default"]
    added, last = by_target["aten.add_.Tensor"], calls[-1]
    assert relu.makes[0][1] == 4 * 128
    assert not added.makes
    assert not added.view
    assert by_target["aten.reshape.default"].view
    assert {relu.makes[0][0], sigmoid.makes[0][0], last.makes[0][0]} == set(last.frees)
    assert not any(each.frees for each in calls[:-1])


def test_cost_takes_a_machine(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Conv2d(16, 32, 3, padding=1, bias=False), nn.ReLU()).eval()
    path = write(tmp_path / "p.json")
    report = narrows.cost(network, 128, 128, machine=path)
    wanted = conv_seconds(16, 32, 128, 3) + relu_seconds(32 * 128 * 128)
    assert report.totals["seconds"] == pytest.approx(wanted, rel=0.02)
    assert sum(operator.seconds or 0 for operator in report.operators) == pytest.approx(report.totals["seconds"])
    with pytest.raises(InputError, match="float32 only"):
        narrows.cost(network.double(), 128, 128, machine=path)


def test_a_block_that_is_used_again_is_not_fresh() -> None:
    heap = Heap()
    for _ in range(2):
        heap.allocate("block", 1 << 19)
        heap.free("block")
    assert heap.allocate("block", 1 << 19) == 0
    heap.free("block")
    assert heap.allocate("part", 1 << 18) == 0


def test_the_largest_blocks_are_fresh_each_time() -> None:
    heap = Heap()
    for _ in range(3):
        assert 0 <= heap.allocate("huge", 40 << 20) - (40 << 20) <= 4096
        heap.free("huge")


def test_what_is_free_at_the_top_is_given_back_above_twice_the_threshold() -> None:
    heap = Heap()
    sizes = {"a": 1 << 20, "b": 1 << 20, "c": 1 << 20}
    for _ in range(2):
        fresh = 0
        for name, size in sizes.items():
            fresh += heap.allocate(name, size)
        for name in reversed(sizes):
            heap.free(name)
    # The threshold is a megabyte by now, so that two may stay free; the third is given back, and is fresh each time.
    assert 1 << 20 <= fresh < (3 << 20) + 4096


# Runs in a process of its own: a heap that other tests have used does otherwise.
_FAULTS = """
import resource, torch
for _ in range(4):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.empty(40 << 20, dtype=torch.uint8).fill_(1)
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(faults * resource.getpagesize())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the heap that is simulated is glibc's")
def test_glibc_asks_for_the_pages_of_the_largest_blocks_each_time() -> None:
    told = subprocess.run([sys.executable, "-c", _FAULTS], capture_output=True, text=True, check=True)
    heap = Heap()
    for _ in range(4):
        fresh = heap.allocate("block", 40 << 20)
        heap.free("block")
    assert fresh == pytest.approx(int(told.stdout), rel=0.05)
