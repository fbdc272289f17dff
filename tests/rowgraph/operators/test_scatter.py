"""Writing over parts of a value on strips against the full frame."""

from __future__ import annotations

import random

import pytest
import torch
from torch import nn

import narrows


class Written(nn.Module):
    def __init__(self, *where, blank=False):
        super().__init__()
        self.where, self.blank = where, blank

    def forward(self, x):
        y = torch.zeros_like(x) if self.blank else x * 2
        y[self.where] = x[self.where] - 1
        return y


class Framed(nn.Module):
    """An image put into a larger one of zeros, which is how some write padding."""

    def forward(self, x):
        y = torch.zeros(x.shape[0], x.shape[1], x.shape[2] + 3, x.shape[3] + 2, dtype=x.dtype)
        y[:, :, 1:-2, 1:-1] = x
        return y


class Constant(nn.Module):
    def forward(self, x):
        y = x.clone()
        y[:, :, 2:5] = 0
        y[:, 1:, :, ::2] = 3.5
        return y


def check(model, x):
    full = model.eval()(x)
    for strip in (1, 2, 3, 7, 1000):
        assert torch.equal(narrows.stream(model, x, strip=strip), full), strip


@pytest.mark.parametrize("seed", range(25))
def test_slices_written(seed):
    rng = random.Random(seed)
    height = rng.randint(3, 20)
    start, stop = sorted(rng.sample(range(height + 1), 2))
    rows = slice(start, stop, rng.choice([None, 2, 3]))
    columns = slice(rng.randint(0, 3), rng.randint(4, 8))
    check(Written(slice(None), slice(None), rows, columns, blank=rng.random() < 0.3), torch.randn(2, 3, height, 8))


@pytest.mark.parametrize("model", [Framed(), Constant()])
def test_frames_and_constants(model):
    check(model, torch.randn(1, 3, 9, 7))
