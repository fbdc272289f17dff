"""Recursive filters and coders of lines in the row graph."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch
from torch import nn

import narrows
from narrows.errors import NotStreamableError
from narrows.layers.fir_iir import ResidualSeparable, SeparableFIRIIR
from narrows.layers.recursive import vertical_iir
from narrows.layers.vertical_iir import VerticalIIR
from narrows.streaming.capturing import captured
from narrows.streaming.plan import make_plan


def graph_of(model, shape=(1, 4, 32, 10), dtype=torch.float32):
    return captured(model.eval(), [shape], [dtype])


def filters(graph):
    return [node for node in graph.nodes if node.operator == "vertical_iir"]


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_a_filter_is_one_node_with_a_row_of_state_for_each_order(order, dtype):
    graph = graph_of(VerticalIIR(4, order, taps=order).to(dtype), dtype=dtype)
    (node,) = filters(graph)
    assert node.needs[0].first(7) == 7 and node.needs[0].last(7) == 7
    width = 8 if dtype is torch.float64 else 4
    assert node.state_bytes == order * 4 * 10 * width
    assert node.macs == 4 * 32 * 10 * 2 * order
    plan = make_plan(graph, process=0, strip=1)
    assert plan.delay == 1
    assert [entry.bytes for entry in plan.ledger if entry.kind == "state"] == [node.state_bytes]
    assert not [entry for entry in plan.ledger if entry.kind == "line buffer"]


def test_look_ahead_is_the_delay_of_the_plan():
    for delay in (0, 1, 4):
        plan = make_plan(graph_of(SeparableFIRIIR(4, 4, delay=delay)), process=0, strip=1)
        assert plan.delay == delay + 1


def test_the_whole_block_streams_in_any_strip():
    torch.manual_seed(0)
    model = nn.Sequential(
        ResidualSeparable.fir_iir(4, order=2, delay=2), ResidualSeparable.fir_iir(4, activation="relu")
    )
    model = model.double().eval()
    x = torch.randn(1, 4, 33, 10, dtype=torch.float64)
    with torch.no_grad():
        whole = model(x)
    for strip in (1, 2, 5, 40):
        torch.testing.assert_close(narrows.stream(model, x, strip=strip), whole, rtol=0, atol=1e-10)


def test_upward_is_a_barrier():
    with pytest.raises(NotStreamableError, match=r"vertical_iir.*every row.*begins at the last row"):
        narrows.plan(VerticalIIR(4, upward=True).eval(), 32, 10, channels=4)


class OfTheImage(nn.Module):
    def forward(self, x):
        return vertical_iir(x, x.mean(3)[0, :, :1], torch.full((4, 1), 0.5, dtype=x.dtype), "linear", False)


def test_coefficients_of_the_image_are_refused():
    graph = graph_of(OfTheImage())
    assert graph.refusals


class Across(nn.Module):
    def __init__(self):
        super().__init__()
        self.filter = VerticalIIR(4, 2, upward=True)

    def forward(self, x):
        return self.filter(x.transpose(2, 3)).transpose(2, 3)


def test_a_recursion_along_the_line_needs_no_state():
    model = Across().double().eval()
    graph = graph_of(model, dtype=torch.float64)
    assert filters(graph)[0].state_bytes == 0
    x = torch.randn(1, 4, 9, 10, dtype=torch.float64)
    torch.testing.assert_close(narrows.stream(model, x, strip=2), model(x).detach(), rtol=0, atol=1e-10)


def test_exported_files_open_in_a_process_that_has_not_used_the_operator(tmp_path):
    path = tmp_path / "filter.pt2"
    model = nn.Sequential(nn.Conv2d(4, 4, 1), VerticalIIR(4)).eval()
    torch.export.save(torch.export.export(model, (torch.zeros(1, 4, 32, 10),)), path)
    calls = {
        "python": ["-c", f"import narrows; print(narrows.plan({str(path)!r}, 32, 10).to_json())"],
        "command": ["-m", "narrows", "plan", str(path), "--size", "32x10", "--json"],
    }
    for call in calls.values():
        done = subprocess.run([sys.executable, *call], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert any(entry["kind"] == "state" for entry in json.loads(done.stdout)["ledger"])
