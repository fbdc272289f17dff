"""Resizing on strips against the full frame."""

from __future__ import annotations

import random

import pytest
import torch
import torch.nn.functional as F

import narrows
from narrows.errors import NotStreamableError

STRIPS = (1, 3, 7, 1000)


class Resized(torch.nn.Module):
    """`interpolate` as a network."""

    def __init__(self, **how):
        super().__init__()
        self.how = how

    def forward(self, x):
        return F.interpolate(x, **self.how)


def image(channels, height, width, dtype=torch.float32, batch=1, seed=0):
    x = torch.randn(batch, channels, height, width, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return x.to(dtype).contiguous(memory_format=torch.channels_last)


def check(x, exact, strips=STRIPS, **how):
    torch.set_num_threads(1)
    model = Resized(**how).eval()
    full = model(x)
    for strip in strips:
        got = narrows.stream(model, x, strip=strip)
        assert got.shape == full.shape and got.dtype == full.dtype
        if exact:
            assert torch.equal(got, full), (strip, (got != full).any(dim=3).any(dim=1).nonzero().tolist()[:5])
        else:
            tolerance = 1e-10 if x.dtype is torch.float64 else 1e-5
            assert (got - full).abs().max() <= tolerance * full.abs().max(), strip


def sizing(rng, height, width):
    if rng.random() < 0.5:
        return {"size": (rng.randint(1, 3 * height), rng.randint(1, 3 * width))}
    factor = rng.choice([0.25, 0.5, 2, 4, 3, 1 / 3, 1.1, 0.7, 1.7, 2.3])
    if int(height * factor) < 1 or int(width * factor) < 1:
        factor = 2
    return {"scale_factor": factor, "recompute_scale_factor": rng.choice([None, True])}


@pytest.mark.parametrize("seed", range(16))
@pytest.mark.parametrize("mode", ["nearest", "nearest-exact", "bilinear", "bicubic"])
def test_bitwise(mode, seed):
    rng = random.Random(seed)
    height, width = rng.randint(1, 40), rng.choice([rng.randint(1, 12), rng.randint(100, 160)])
    x = image(rng.choice([1, 2, 3, 4, 5, 8]), height, width, batch=rng.choice([1, 1, 2]), seed=seed)
    check(x, True, mode=mode, **sizing(rng, height, width))


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_aligned_corners_and_antialias(mode, dtype, seed):
    rng = random.Random(seed)
    height, width = rng.randint(1, 40), rng.randint(1, 40)
    x = image(rng.choice([1, 3, 5]), height, width, dtype, seed=seed)
    check(x, False, mode=mode, align_corners=True, **sizing(rng, height, width))
    check(x, False, mode=mode, antialias=True, **sizing(rng, height, width))
    check(x, False, mode=mode, antialias=True, align_corners=True, **sizing(rng, height, width))
    check(x, dtype is torch.float32, mode=mode, **sizing(rng, height, width))


@pytest.mark.parametrize("factor", [2, 4, 0.5])
@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_antialias_at_whole_factors_is_bitwise(mode, factor):
    check(image(5, 36, 12), True, mode=mode, scale_factor=factor, antialias=True)


@pytest.mark.parametrize("how", [{"scale_factor": 1.1}, {"size": (9351, 3)}, {"scale_factor": 0.37}])
@pytest.mark.parametrize("mode", ["nearest", "nearest-exact", "bilinear", "bicubic"])
def test_tall_images(mode, how):
    """Coordinates are rounded in float32, which shifts hundreds of rows at this height."""
    check(image(4, 8500, 3), True, (512,), mode=mode, **how)


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_tall_images_weighted(mode):
    check(image(4, 8500, 3), False, (512,), mode=mode, scale_factor=1.1, align_corners=True)
    check(image(4, 8500, 3), False, (512,), mode=mode, scale_factor=0.73, antialias=True)


def test_bfloat16():
    x = image(4, 21, 10, torch.bfloat16)
    model = Resized(scale_factor=2, mode="bilinear").eval()
    assert (narrows.stream(model, x, strip=4).float() - model(x).float()).abs().max() <= 0.02


def test_area_is_adaptive_pooling():
    check(image(4, 21, 10), True, mode="area", size=(6, 4))


def test_dimensions_without_rows():
    class Along(torch.nn.Module):
        def forward(self, x):
            return F.interpolate(x[0].transpose(0, 1), scale_factor=2, mode="linear").transpose(0, 1)[None]

    x = torch.randn(1, 3, 9, 7)
    assert torch.equal(narrows.stream(Along().eval(), x, strip=2), Along()(x))


def test_nearest_in_three_dimensions():
    class Volume(torch.nn.Module):
        def forward(self, x):
            return F.interpolate(x[:, None], scale_factor=(1, 2, 1.5), mode="nearest")[:, 0]

    x = torch.randn(1, 3, 9, 8)
    assert torch.equal(narrows.stream(Volume().eval(), x, strip=2), Volume()(x))


def test_integers_are_refused():
    class Integers(torch.nn.Module):
        def forward(self, x):
            return F.interpolate(x.to(torch.uint8), scale_factor=2, mode="bilinear")

    with pytest.raises(NotStreamableError, match="integers"):
        narrows.stream(Integers().eval(), torch.rand(1, 3, 9, 8))
