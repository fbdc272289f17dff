"""Padding, cropping and slices on strips against the full frame."""

from __future__ import annotations

import random

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import narrows
from narrows.errors import NotStreamableError

STRIPS = (1, 2, 3, 7, 1000)


class Wrapped(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def check(function, x):
    torch.set_num_threads(1)
    model = Wrapped(function).eval()
    full = function(x)
    for strip in STRIPS:
        got = narrows.stream(model, x, strip=strip)
        assert got.dtype == full.dtype
        assert torch.equal(got, full), strip


@pytest.mark.parametrize("seed", range(60))
@pytest.mark.parametrize("mode", ["constant", "reflect", "replicate"])
def test_pad(mode, seed):
    rng = random.Random(seed)
    height, width = rng.randint(1, 14), rng.randint(1, 9)
    most = 12 if mode != "reflect" else min(height, width) - 1
    sizes = [rng.randint(-3, max(most, 0)) for _ in range(4)]
    sizes = [min(size, width - 1) if mode == "reflect" else size for size in sizes]
    cropped = [-min(sizes[i], 0) - min(sizes[i + 1], 0) for i in (0, 2)]
    if cropped[0] >= width or cropped[1] >= height:
        sizes = [max(size, 0) for size in sizes]
    x = torch.randn(rng.choice([1, 2]), 3, height, width, dtype=rng.choice([torch.float32, torch.float64]))
    value = rng.choice([None, 2.5]) if mode == "constant" else None
    if mode == "constant" or all(size >= 0 for size in sizes):
        check(lambda x: F.pad(x, sizes, mode, value), x)


@pytest.mark.parametrize("mode", ["reflect", "replicate"])
@pytest.mark.parametrize("sizes", [(0, 0, -2, 3), (1, -1, 4, -2), (-1, 2, 0, 0), (-2, -1, -3, -1)])
def test_negative_sizes_crop_in_every_mode(mode, sizes):
    x = torch.randn(1, 2, 11, 9)
    check(lambda x: F.pad(x, sizes, mode), x)


def test_padding_beside_the_rows_only():
    x = torch.randn(1, 3, 8, 9)
    check(lambda x: F.pad(x, (2, 1, 0, 0), "replicate"), x)
    check(lambda x: F.pad(x, (3, 2, 0, 0), "circular"), x)
    check(lambda x: F.pad(x, (1, 1, 2, 0, 0, 2), value=-1.0), x)
    check(lambda x: F.pad(x[0], (3, 3), "reflect")[None], x)
    check(lambda x: F.pad(x[0], (1, 2, 3, 4), "replicate")[None], x)


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool])
def test_integers(dtype):
    check(lambda x: F.pad((x > 0).to(dtype), (1, 2, 3, 4), value=1).float(), torch.randn(1, 2, 7, 6))


def test_padding_keeps_columns_known_to_what_follows():
    model = nn.Sequential(nn.ReflectionPad2d(3), nn.Conv2d(2, 3, 7), nn.ReplicationPad2d(2), nn.Conv2d(3, 2, 3))
    model = model.double().eval()
    x = torch.randn(1, 2, 15, 12, dtype=torch.float64)
    full = model(x)
    for strip in STRIPS:
        assert (narrows.stream(model, x, strip=strip) - full).abs().max() <= 1e-10 * full.abs().max()


def test_circular_rows_are_refused():
    with pytest.raises(NotStreamableError, match="circular padding of rows"):
        narrows.stream(nn.CircularPad2d((0, 0, 1, 0)).eval(), torch.randn(1, 2, 8, 8))


@pytest.mark.parametrize("seed", range(30))
def test_slices(seed):
    rng = random.Random(seed)
    height, width = rng.randint(3, 20), rng.randint(3, 12)

    def part(size):
        while True:
            start = rng.choice([None, rng.randint(-size, size - 1)])
            stop = rng.choice([None, rng.randint(-size, size + 3)])
            found = slice(start, stop, rng.choice([None, 1, 2, 3, 5]))
            if len(range(size)[found]):
                return found

    rows, columns, channels = part(height), part(width), part(5)
    check(lambda x: x[:, channels, rows, columns], torch.randn(2, 5, height, width))
    check(lambda x: x[:, channels, rows, columns] * 2, torch.randn(1, 5, height, width))


def test_narrow_and_a_crop_joined_to_its_image():
    x = torch.randn(1, 3, 12, 10)
    check(lambda x: x.narrow(2, 3, 7).narrow(3, 1, 5), x)
    check(lambda x: torch.cat([F.pad(x[:, :, 2:-2], (0, 0, 2, 2)), x], 1), x)
    check(lambda x: x[:, :, 1:] - x[:, :, :-1], x)
