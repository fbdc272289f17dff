"""Every registered operator, drawn with every argument it declares, keeps the laws."""

from __future__ import annotations

import os
import random

import pytest
import torch

import narrows.rowgraph.operators  # noqa: F401
from narrows.errors import CaptureError, NotStreamableError
from narrows.rowgraph.registry import registered
from narrows.streaming.capturing import captured
from narrows.streaming.plan import check_streamable
from tests.properties.checks import TOLERANCE, Run, check_books, check_equal, check_rows
from tests.properties.draw import CHANNELS, REFUSED, draw

DRAWS = max(2, int(os.environ.get("NARROWS_GRAPHS", "0")) // 250)


class AfterConvolution(torch.nn.Module):
    """Rows reach the operator unevenly, as in a real network."""

    def __init__(self, operator: torch.nn.Module, dtype: torch.dtype):
        super().__init__()
        self.convolution = torch.nn.Conv2d(3, CHANNELS, 3, padding=1, dtype=dtype)
        self.operator = operator

    def forward(self, x):
        return self.operator(self.convolution(x) * 1.25)  # a ReLU or norm right behind would become part of it


@pytest.mark.parametrize("target", sorted(set(registered()) - REFUSED))
def test_operator_keeps_the_laws(target):
    drawn = streamed = 0
    for seed in range(10 * DRAWS):
        rng = random.Random(f"{target} {seed}")
        torch.manual_seed(seed)
        height, width = rng.choice([1, 2, 5, 12, 13, 18]), rng.choice([1, 3, 8, 12])
        x = torch.randn(rng.choice([1, 1, 2]), 3, height, width, dtype=torch.float64)
        try:
            model = AfterConvolution(draw(target, rng, (x.shape[0], CHANNELS, height, width)), x.dtype).eval()
            with torch.no_grad():
                full = model(x)
        except (RuntimeError, ValueError, IndexError):
            continue  # PyTorch itself refuses these arguments at this size
        if any(0 in leaf.shape for leaf in torch.utils._pytree.tree_leaves(full)):
            continue
        try:
            graph = captured(model, [tuple(x.shape)], [x.dtype])
        except CaptureError:
            continue  # nor does its export of them (antialias to one row, align_corners)
        assert any(node.target == target for node in graph.nodes), f"{target} does not survive the export"
        drawn += 1
        if graph.refusals:
            with pytest.raises(NotStreamableError, match=target.split(".")[1]):
                check_streamable(graph)
            continue
        streamed += 1
        for strip in (1, rng.randint(2, 9), 100):
            run = Run(model, [x], strip)
            check_equal(run.outputs, full, TOLERANCE[x.dtype])
            check_books(run)
            check_rows(run)
        if streamed == DRAWS:
            break
    assert drawn > 0, f"no arguments were drawn with which PyTorch runs {target}"
