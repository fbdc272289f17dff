"""Unpooling on strips against the full frame."""

from __future__ import annotations

import random

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import narrows
from narrows.errors import NotStreamableError

STRIPS = (1, 2, 3, 7, 1000)


class Unpooled(nn.Module):
    """Pools, changes the values, and puts them back; `size` is that of the pooled image if asked for."""

    def __init__(self, pool, kernel, stride, padding, size=None, change=lambda x: x):
        super().__init__()
        self.pool, self.change = pool, change
        self.how = kernel, stride, padding, size

    def forward(self, x):
        pooled, places = self.pool(x)
        return F.max_unpool2d(self.change(pooled), places, *self.how)


def check(model, x):
    torch.set_num_threads(1)
    full = model.eval()(x)
    for strip in STRIPS:
        got = narrows.stream(model, x, strip=strip)
        assert torch.equal(got, full), strip


@pytest.mark.parametrize("seed", range(20))
def test_max_unpool(seed):
    rng = random.Random(seed)
    kernel, stride = (rng.randint(1, 4), rng.randint(1, 3)), (rng.randint(1, 5), rng.randint(1, 3))
    padding = (rng.randint(0, kernel[0] // 2), rng.randint(0, kernel[1] // 2))
    dilation, ceil = (rng.randint(1, 2), rng.randint(1, 2)), rng.random() < 0.5
    shape = (rng.choice([1, 2]), 3, rng.randint(10, 24), rng.randint(8, 20))
    x = torch.randn(shape, dtype=rng.choice([torch.float32, torch.float64]))

    def pool(x):
        return F.max_pool2d(x, kernel, stride, padding, dilation, ceil, return_indices=True)

    pooled = pool(x)[0].shape[-2:]
    default = [(n - 1) * s + k - 2 * p for n, s, k, p in zip(pooled, stride, kernel, padding, strict=True)]
    near = [abs(asked - size) < step for asked, size, step in zip(default, shape[2:], stride, strict=True)]
    if all(near):
        check(Unpooled(pool, kernel, stride, padding, shape[2:]), x)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_overlapping_windows_with_values_changed(layout):
    x = torch.randn(1, 4, 19, 14).contiguous(memory_format=layout)
    scale = torch.arange(1.0, 10)[:, None]
    check(
        Unpooled(lambda x: F.max_pool2d(x, 3, 2, return_indices=True), 3, 2, 0, (19, 14), lambda y: y * scale),
        x,
    )


def test_rows_left_over_and_an_output_that_is_larger():
    x = torch.randn(1, 2, 13, 10)
    check(Unpooled(lambda x: F.max_pool2d(x, 2, return_indices=True), 2, 2, 0), x)
    check(Unpooled(lambda x: F.max_pool2d(x, 2, return_indices=True), 2, 2, 0, (13, 11)), x)


@pytest.mark.parametrize("height", [8, 13, 20])
def test_places_of_adaptive_pooling(height):
    x = torch.randn(1, 3, height, 12)
    check(Unpooled(lambda x: F.adaptive_max_pool2d(x, (height // 2, 6), return_indices=True), 2, 2, 0, (height, 12)), x)


def test_encoder_and_decoder():
    class SegNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.down, self.up = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 3, 3, padding=1)
            self.middle = nn.Conv2d(6, 6, 3, padding=1)

        def forward(self, x):
            x, first = F.max_pool2d(torch.relu(self.down(x)), 2, return_indices=True)
            y, second = F.max_pool2d(x, 2, return_indices=True)
            y = F.max_unpool2d(self.middle(y), second, 2, output_size=x.shape[-2:])
            return self.up(F.max_unpool2d(y, first, 2))

    x = torch.randn(1, 3, 44, 32, dtype=torch.float64)
    model = SegNet().double().eval()
    full = model(x)
    for strip in STRIPS:
        assert (narrows.stream(model, x, strip=strip) - full).abs().max() <= 1e-10 * full.abs().max()


def test_places_outside_the_output_are_refused():
    with pytest.raises(NotStreamableError, match="output_size"):
        narrows.stream(
            Unpooled(lambda x: F.max_pool2d(x, 2, return_indices=True), 2, 2, 0).eval(), torch.randn(1, 2, 12, 11)
        )


def test_places_from_elsewhere_are_refused():
    class Given(nn.Module):
        def forward(self, x):
            pooled, places = F.max_pool2d(x, 2, return_indices=True)
            return F.max_unpool2d(pooled, places.flip(3), 2)

    with pytest.raises(NotStreamableError, match="straight from a max pooling"):
        narrows.stream(Given().eval(), torch.randn(1, 2, 12, 10))


def test_rows_in_the_batch_are_unpooled_alone():
    class ByRows(nn.Module):
        def forward(self, x):
            rows = x.permute(2, 0, 1, 3)
            pooled, places = F.max_pool2d(rows, (1, 2), return_indices=True)
            return F.max_unpool2d(pooled, places, (1, 2)).permute(1, 2, 0, 3)

    check(ByRows(), torch.randn(1, 3, 9, 8))
