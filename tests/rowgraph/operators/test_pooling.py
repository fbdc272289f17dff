"""Pooling on strips against the full frame."""

from __future__ import annotations

import random

import pytest
import torch
import torch.nn.functional as F

import narrows
from narrows.errors import NotStreamableError

STRIPS = (1, 2, 3, 7, 1000)


class Wrapped(torch.nn.Module):
    """A function as a network."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *inputs):
        return self.function(*inputs)


def flat(result):
    return list(result) if isinstance(result, tuple) else [result]


def check(function, x, exact=True):
    torch.set_num_threads(1)
    model = Wrapped(function).eval()
    full = flat(model(x))
    for strip in STRIPS:
        for got, wanted in zip(flat(narrows.stream(model, x, strip=strip)), full, strict=True):
            assert got.shape == wanted.shape and got.dtype == wanted.dtype
            if exact:
                assert torch.equal(got, wanted), strip
            else:
                assert (got - wanted).abs().max() <= 1e-10 * wanted.abs().max()


def image(rng, height=None, width=None, channels=3, batch=1, dtype=torch.float32):
    shape = (batch, channels, height or rng.randint(1, 24), width or rng.randint(1, 20))
    x = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(rng.randint(0, 9999))).to(dtype)
    return x.contiguous(memory_format=torch.channels_last)


def windows(rng):
    kernel = (rng.randint(1, 5), rng.randint(1, 4))
    stride = rng.choice([None, (rng.randint(1, 6), rng.randint(1, 3))])
    padding = (rng.randint(0, kernel[0] // 2), rng.randint(0, kernel[1] // 2))
    return kernel, stride, padding


def runs(function, x):
    try:
        function(x)
    except RuntimeError:
        return False
    return True


@pytest.mark.parametrize("seed", range(25))
def test_max_pool(seed):
    rng = random.Random(seed)
    kernel, stride, padding = windows(rng)
    dilation, ceil = (rng.randint(1, 3), rng.randint(1, 2)), rng.random() < 0.5
    x = image(rng, batch=rng.choice([1, 2]), dtype=rng.choice([torch.float32, torch.float64]))

    def both(x):
        return F.max_pool2d(x, kernel, stride, padding, dilation, ceil, return_indices=True)

    def values(x):
        return F.max_pool2d(x, kernel, stride, padding, dilation, ceil)

    if runs(both, x):
        check(both, x)
        check(values, x)


def test_places_of_windows_of_nothing():
    x = torch.full((1, 2, 9, 7), float("-inf"))
    check(lambda x: F.max_pool2d(x, 3, 2, 1, return_indices=True), x)


@pytest.mark.parametrize("seed", range(25))
def test_avg_pool(seed):
    rng = random.Random(100 + seed)
    kernel, stride, padding = windows(rng)
    ceil, counted, divisor = rng.random() < 0.5, rng.random() < 0.5, rng.choice([None, None, 5])
    x = image(rng, channels=rng.choice([1, 3, 17]), dtype=rng.choice([torch.float32, torch.float64]))

    def function(x):
        return F.avg_pool2d(x, kernel, stride, padding, ceil, counted, divisor)

    if runs(function, x):
        check(function, x)


@pytest.mark.parametrize("seed", range(15))
def test_adaptive_pools(seed):
    rng = random.Random(200 + seed)
    x = image(rng, height=rng.randint(2, 24), channels=rng.choice([1, 5]))
    size = (rng.randint(2, 30), rng.choice([1, 3, 30]))
    check(lambda x: F.adaptive_avg_pool2d(x, size), x)
    check(lambda x: F.adaptive_max_pool2d(x, size, return_indices=True), x)


def test_pools_of_an_image_without_batch():
    x = torch.randn(4, 15, 9)
    model = Wrapped(lambda x: F.avg_pool2d(F.max_pool2d(x[0], 3, 2, 1), 2)[None])
    full = model(x[None])
    assert torch.equal(narrows.stream(model.eval(), x[None], strip=2), full)


def test_pools_within_rows_and_over_depth():
    x = torch.randn(1, 4, 13, 12)
    check(lambda x: F.max_pool1d(x[0].transpose(0, 1), 2, 2, 1).transpose(0, 1)[None], x)
    check(lambda x: F.avg_pool3d(x[:, None], (2, 3, 2), (1, 2, 1), (1, 1, 0))[:, 0], x)
    check(lambda x: F.max_pool3d(x[:, None], (2, 3, 2), (1, 2, 1), (1, 1, 0))[:, 0], x)


@pytest.mark.parametrize("order", [2, 1.5])
def test_lp_pool(order):
    x = torch.rand(1, 3, 17, 8, dtype=torch.float64)
    check(lambda x: F.lp_pool2d(x, order, 3, 2, ceil_mode=True), x, exact=False)


@pytest.mark.parametrize("pool", [torch.nn.AdaptiveAvgPool2d(1), torch.nn.AdaptiveMaxPool2d((1, 3))])
def test_pooling_over_all_rows_is_refused(pool):
    with pytest.raises(NotStreamableError, match="every row"):
        narrows.stream(torch.nn.Sequential(pool).eval(), torch.randn(1, 2, 8, 8))


def test_random_windows_are_refused():
    with pytest.raises(NotStreamableError, match="random"):
        narrows.stream(torch.nn.FractionalMaxPool2d(2, output_size=(4, 4)).eval(), torch.randn(1, 2, 8, 8))
