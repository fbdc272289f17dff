"""Tables of positions are made by rows: equal to the full frame, and never held whole."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import narrows
from narrows.streaming.capturing import captured

D = torch.float64
SMALL, TALL, SINE = torch.randn(1, 6, 6, 4, dtype=D), torch.randn(1, 6, 12, 8, dtype=D), torch.randn(40, 6, dtype=D)
KERNEL = torch.randn(6, 2, 3, 3, dtype=D)


def grid(first=12, second=8):
    return torch.meshgrid(torch.arange(first, dtype=D), torch.arange(second, dtype=D), indexing="ij")


TABLES = {
    "channels": lambda x: torch.cat([x, torch.stack(grid())[None].expand(2, -1, -1, -1)], 1),
    "sines": lambda x: x + torch.stack([(grid()[0] / 2**k).sin() + (grid()[1] / 2**k).cos() for k in range(6)]),
    "zeros": lambda x: torch.cat(
        [x, torch.cat([grid()[0][None, None].expand(2, 1, 12, 8), torch.zeros_like(x)], 1)], 1
    ),
    "chequered": lambda x: torch.where((torch.arange(12)[:, None] + torch.arange(8)) % 2 == 0, x, -x),
    "tokens": lambda x: (
        x.flatten(2).transpose(1, 2) + torch.arange(96, dtype=D).view(1, 96, 1) * torch.ones(6, dtype=D)
    ),
    "weights": lambda x: x + (TALL * 2).expand(2, -1, -1, -1),
    "resized": lambda x: x + F.interpolate(SMALL, size=(12, 8), mode="bilinear"),
    "convolved": lambda x: x + F.conv2d(torch.stack(grid())[None], KERNEL, padding=1),
    "embedded": lambda x: x + F.embedding(torch.arange(12), SINE).t()[None, :, :, None],
    "window": lambda x: x * torch.outer(torch.hann_window(12, dtype=D), torch.hann_window(8, dtype=D)),
    "counted": lambda x: x * (torch.ones(12, 8, dtype=D).cumsum(0) + torch.ones(12, 8, dtype=D).cumsum(1)),
}


class Wrapped(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


@pytest.mark.parametrize("name", TABLES)
def test_tables_are_made_by_rows(name):
    torch.set_num_threads(1)
    model, x = Wrapped(TABLES[name]).eval(), torch.randn(2, 6, 12, 8, dtype=D)
    full = model(x)
    for strip in (1, 2, 5, 1000):
        assert (narrows.stream(model, x, strip=strip) - full).abs().max() <= 1e-10 * full.abs().max()
    graph = captured(model, [tuple(x.shape)], [D])
    whole = [n.shape for n in graph.nodes if n.rows is None and n.operator != "constant"]
    assert not [shape for shape in whole if shape[-2:] in ((12, 8), (96, 6))]


def test_rows_and_columns_of_one_size_are_told_apart():
    def function(x):
        down, across = grid(8, 8)
        return x * down + x * across * 3 + torch.cat([down[None], across[None]] * 3)

    model, x = Wrapped(function).eval(), torch.randn(1, 6, 8, 8, dtype=D)
    for strip in (1, 3, 100):
        assert (narrows.stream(model, x, strip=strip) - model(x)).abs().max() <= 1e-10 * model(x).abs().max()
