"""Reshapes on strips against the full frame."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import narrows
from narrows.rowgraph.operators.rearrange import Regrouping, regrouped
from narrows.rowgraph.rows import Axis


def test_one_row_stays_whole_where_it_can():
    """It lies in the dimension of size 1, not in that of the columns."""
    assert regrouped((1, 2, 3, 1, 5), Axis(3, 1), (1, 6, 1, 5)) == Regrouping(Axis(2, 1))
    assert regrouped((3, 2, 2, 1, 1), Axis(3, 1), (3, 4, 1, 1)) == Regrouping(Axis(2, 1))
    assert regrouped((2, 4, 1, 6), Axis(2, 1), (2, 4, 1, 1, 6)) == Regrouping(Axis(3, 1))


class Interleaved(nn.Module):
    def forward(self, x):
        return torch.stack([x, x * 2], 2).flatten(1, 2) * torch.cat([x, x], 1)


@pytest.mark.parametrize("shape", [(1, 3, 1, 5), (3, 2, 1, 1), (1, 1, 1, 1), (2, 1, 1, 6), (2, 3, 4, 1)])
def test_channels_interleaved_in_images_of_few_rows(shape):
    x = torch.randn(shape, dtype=torch.float64)
    model = Interleaved().eval()
    assert torch.equal(narrows.stream(model, x, strip=1), model(x))
