"""Where a call came from: the module's path and the innermost line outside torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from narrows.rowgraph.capture import capture, export_at
from narrows.rowgraph.provenance import module_path, source_line

TORCH = Path(torch.__file__).parent


def call(**meta: Any) -> fx.Node:
    node = fx.Graph().placeholder("x")
    node.meta.update(meta)
    return node


@pytest.mark.parametrize(
    ("paths", "wanted"),
    [
        ([""], ""),
        (["", "encoder", "encoder.0.conv"], "encoder.0.conv"),
        (["L['self']", "L['self'].encoder"], "encoder"),
        (["L['self']"], ""),
        (["L__self__", "L__self__.head.1"], "head.1"),
        ([], ""),
    ],
)
def test_the_innermost_module(paths: list[str], wanted: str) -> None:
    stack = {f"entry {place}": (path, nn.Module) for place, path in enumerate(paths)}
    assert module_path(call(nn_module_stack=stack)) == wanted


def test_a_call_without_a_record() -> None:
    assert module_path(call()) == ""
    assert source_line(call()) is None
    assert source_line(call(stack_trace=None)) is None


def frame(path: Path | str, line: int) -> str:
    return f'  File "{path}", line {line}, in forward\n    y = self.step(x)\n'


@pytest.mark.parametrize(
    ("frames", "wanted"),
    [
        ([("/home/a/train.py", 3), ("/home/a/network.py", 12)], "network.py:12"),
        ([("/home/a/network.py", 12), (TORCH / "nn" / "modules" / "conv.py", 548)], "network.py:12"),
        ([(TORCH / "nn" / "modules" / "conv.py", 548)], None),
        ([("/home/a/torch/network.py", 7), (TORCH / "functional.py", 1)], "network.py:7"),
        ([(f"{TORCH}_layers/network.py", 9)], "network.py:9"),
    ],
)
def test_the_innermost_line_outside_torch(frames: list[tuple[Path | str, int]], wanted: str | None) -> None:
    assert source_line(call(stack_trace="".join(frame(*one) for one in frames))) == wanted


class Inner(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        return F.gelu(self.convolution(x))


class Outer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([Inner(), Inner()])
        self.tail = nn.Sequential(nn.Identity(), nn.Softplus())

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return self.tail(x).sin()


def line_of(text: str) -> str:
    lines = Path(__file__).read_text().splitlines()
    return f"test_provenance.py:{next(place for place, line in enumerate(lines, 1) if line.strip() == text)}"


@pytest.mark.parametrize("saved", [False, True])
def test_calls_of_a_network(saved: bool, tmp_path: Path) -> None:
    program = export_at(Outer().eval(), (torch.zeros(1, 3, 4, 5),), {})
    if saved:
        torch.export.save(program, tmp_path / "outer.pt2")
        program = torch.export.load(tmp_path / "outer.pt2")
    found = [(n.operator, n.module, n.source) for n in capture(program).nodes if n.rows and n.operator != "input"]
    inside, last = line_of("return F.gelu(self.convolution(x))"), line_of("return self.tail(x).sin()")
    assert found == [
        ("conv2d", "blocks.0.convolution", inside),
        ("gelu", "blocks.0", inside),
        ("conv2d", "blocks.1.convolution", inside),
        ("gelu", "blocks.1", inside),
        ("softplus", "tail.1", last),
        ("sin", "", last),
    ]


def shifted(x: Tensor) -> Tensor:
    return x.cos() + 1


class Helped(nn.Module):
    def sharpened(self, x: Tensor) -> Tensor:
        y = shifted(x)
        return y.tanh()

    def forward(self, x: Tensor) -> Tensor:
        return self.sharpened(x).exp()


def test_calls_of_helpers_stand_where_the_helper_makes_them() -> None:
    program = export_at(Helped().eval(), (torch.zeros(1, 3, 4, 5),), {})
    found = {n.operator: n.source for n in capture(program).nodes if n.rows and n.operator != "input"}
    assert found == {
        "cos": line_of("return x.cos() + 1"),
        "add": line_of("return x.cos() + 1"),
        "tanh": line_of("return y.tanh()"),
        "exp": line_of("return self.sharpened(x).exp()"),
    }
