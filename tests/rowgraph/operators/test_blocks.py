"""Whole blocks of well-known networks on strips against the full frame."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils import _pytree as pytree

import narrows

STRIPS = (1, 2, 3, 7, 1000)
TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5}


class ConvNeXt(nn.Module):
    def __init__(self, channels=6):
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.norm, self.wide, self.narrow = nn.LayerNorm(channels), nn.Linear(channels, 24), nn.Linear(24, channels)
        self.scale = nn.Parameter(torch.rand(channels))

    def forward(self, x):
        y = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        return x + (self.scale * self.narrow(F.gelu(self.wide(y)))).permute(0, 3, 1, 2)


class Windows(nn.Module):
    """Attention in windows of 3 x 4 with a relative position bias, as in Swin."""

    def __init__(self, channels=6, heads=2):
        super().__init__()
        self.heads, self.qkv, self.out = heads, nn.Linear(channels, 3 * channels), nn.Linear(channels, channels)
        self.bias = nn.Parameter(torch.randn(5 * 7, heads))
        places = torch.stack(torch.meshgrid(torch.arange(3), torch.arange(4), indexing="ij")).flatten(1)
        apart = places[:, :, None] - places[:, None]
        self.register_buffer("place", (apart[0] + 2) * 7 + apart[1] + 3)

    def forward(self, x):
        n, c, h, w = x.shape
        tokens = x.view(n, c, h // 3, 3, w // 4, 4).permute(0, 2, 4, 3, 5, 1).reshape(-1, 12, c)
        q, k, v = self.qkv(tokens).view(-1, 12, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        bias = self.bias[self.place.view(-1)].view(12, 12, self.heads).permute(2, 0, 1)
        scores = q @ k.transpose(-2, -1) * (c // self.heads) ** -0.5 + bias
        y = self.out((scores.softmax(-1) @ v).transpose(1, 2).reshape(-1, 12, c))
        return x + y.view(n, h // 3, w // 4, 3, 4, c).permute(0, 5, 1, 3, 2, 4).reshape(n, c, h, w)


class Shuffle(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(6, 6, 1, groups=3), nn.Conv2d(6, 6, 3, padding=1, groups=6)

    def forward(self, x):
        n, c, h, w = x.shape
        y = F.relu(self.first(x)).view(n, 3, c // 3, h, w).transpose(1, 2).reshape(n, c, h, w)
        left, right = self.second(y).chunk(2, 1)
        return torch.cat([right, left * x[:, :3]], 1)


class Axial(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(6, 2, batch_first=True)

    def forward(self, x):
        n, c, h, w = x.shape
        rows = x.permute(0, 2, 3, 1).reshape(n * h, w, c)
        return x + self.attention(rows, rows, rows, need_weights=False)[0].view(n, h, w, c).permute(0, 3, 1, 2)


class Inverted(nn.Sequential):
    def __init__(self):
        wide = [nn.Conv2d(6, 18, 1, bias=False), nn.BatchNorm2d(18), nn.ReLU6()]
        deep = [nn.Conv2d(18, 18, 3, padding=1, groups=18, bias=False), nn.BatchNorm2d(18), nn.ReLU6()]
        super().__init__(*wide, *deep, nn.Conv2d(18, 6, 1, bias=False), nn.BatchNorm2d(6))
        for layer in self:
            if isinstance(layer, nn.BatchNorm2d):
                layer.running_mean.normal_()
                layer.running_var.uniform_(0.5, 2)

    def forward(self, x):
        return x + super().forward(x)


class Coordinates(nn.Module):
    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv2d(9, 5, 3, padding=1)

    def forward(self, x):
        n, _, h, w = x.shape
        lines = (torch.linspace(-1, 1, size, dtype=x.dtype) for size in (h, w))
        y, z = torch.meshgrid(*lines, indexing="ij")
        places = [t.expand(n, 1, h, w) for t in (y, z, (y**2 + z**2).sqrt())]
        return {"map": self.convolution(torch.cat([x, *places], 1)), "pair": (x * y, x.softmax(1))}


def check(model, *inputs):
    torch.set_num_threads(1)
    model = model.to(inputs[0].dtype).eval()
    with torch.no_grad():
        full = model(*inputs)
    for strip in STRIPS:
        got = narrows.stream(model, inputs if len(inputs) > 1 else inputs[0], strip=strip)
        for given, wanted in zip(pytree.tree_leaves(got), pytree.tree_leaves(full), strict=True):
            assert given.shape == wanted.shape and given.dtype == wanted.dtype
            assert (given - wanted).abs().max() <= TOLERANCE[wanted.dtype] * wanted.abs().max(), strip


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("block", [ConvNeXt, Windows, Shuffle, Axial, Inverted, Coordinates])
def test_block(block, batch, dtype):
    torch.manual_seed(0)
    check(block(), torch.randn(batch, 6, 12, 8, dtype=dtype))


def test_inputs_of_different_scale():
    class Two(nn.Module):
        def forward(self, x, y):
            return x * F.interpolate(y, scale_factor=2, mode="bilinear"), F.avg_pool2d(x, 2) + y

    check(Two(), torch.randn(2, 3, 12, 8, dtype=torch.float64), torch.randn(2, 3, 6, 4, dtype=torch.float64))


def test_bfloat16_within_its_own_rounding():
    """Eight bits of mantissa: strips agree with the full frame to a few units in the last place (2^-8 each)."""
    model = ConvNeXt().bfloat16().eval()
    x = torch.randn(1, 6, 12, 8, dtype=torch.bfloat16)
    with torch.no_grad():
        full = model(x)
    got = narrows.stream(model, x, strip=3)
    assert (got - full).abs().max() <= 4 * 2**-8 * full.abs().max()
