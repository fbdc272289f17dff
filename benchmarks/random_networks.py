"""Convolutional networks drawn from a seed, of diverse kinds, and two transformers: to judge predictions on.

Nothing here is used in fitting a machine's tables.
"""

from __future__ import annotations

import random
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["random_network", "vision_transformer", "window_transformer"]

_ACTIVATIONS: tuple[Any, ...] = (nn.ReLU, nn.GELU, nn.SiLU, nn.Hardswish, nn.LeakyReLU, nn.ELU, nn.ReLU6)


class _Block(nn.Module):
    """One of the usual blocks, residual where its shape allows."""

    def __init__(self, r: random.Random, channels_in: int, channels_out: int, stride: int, act: Any, inplace: bool):
        super().__init__()
        kind = r.choice(("plain", "plain", "bottleneck", "inverted", "grouped", "wide", "split", "dilated"))

        def activation() -> nn.Module:
            return act(inplace=True) if inplace and act is not nn.GELU else act()

        def conv(a: int, b: int, k: Any, s: int = 1, g: int = 1, d: int = 1) -> list[nn.Module]:
            k = (k, k) if isinstance(k, int) else k
            padding = tuple(d * (side - 1) // 2 for side in k)
            return [nn.Conv2d(a, b, k, s, padding, d, g, bias=False), nn.BatchNorm2d(b)]

        if kind == "plain":
            layers = [*conv(channels_in, channels_out, r.choice((3, 3, 5)), stride)]
        elif kind == "bottleneck":
            inner = max(4, channels_out // 4)
            layers = [*conv(channels_in, inner, 1), activation(), *conv(inner, inner, 3, stride), activation()]
            layers += conv(inner, channels_out, 1)
        elif kind == "inverted":
            inner = channels_in * r.choice((2, 3, 4))
            layers = [*conv(channels_in, inner, 1), activation(), *conv(inner, inner, r.choice((3, 5)), stride, inner)]
            layers += [activation(), *conv(inner, channels_out, 1)]
        elif kind == "grouped":
            groups = next(g for g in (8, 4, 3, 2, 1) if channels_in % g == 0 and channels_out % g == 0)
            layers = [*conv(channels_in, channels_out, 3, stride, groups), activation()]
            layers += conv(channels_out, channels_out, 1)
        elif kind == "wide":
            layers = [*conv(channels_in, channels_in, 7, stride, channels_in), *conv(channels_in, 2 * channels_out, 1)]
            layers += [activation(), *conv(2 * channels_out, channels_out, 1)]
        elif kind == "split":
            layers = [*conv(channels_in, channels_out, (1, 3), stride), activation()]
            layers += conv(channels_out, channels_out, (3, 1))
        else:
            layers = [*conv(channels_in, channels_out, 3, stride, 1, 1 if stride > 1 else 2)]
        self.body = nn.Sequential(*layers)
        self.act = activation()
        self.residual = stride == 1 and channels_in == channels_out
        self.gate = None
        if r.random() < 0.25:
            inner = max(4, channels_out // 8)
            self.gate = nn.Sequential(
                nn.AdaptiveAvgPool2d(1), nn.Conv2d(channels_out, inner, 1), nn.ReLU(), nn.Conv2d(inner, channels_out, 1)
            )

    def forward(self, x: Tensor) -> Tensor:
        y = self.body(x)
        if self.gate is not None:
            y = y * torch.sigmoid(self.gate(y))
        return self.act(x + y if self.residual else y)


class _Random(nn.Module):
    def __init__(self, seed: int):
        super().__init__()
        r = random.Random(seed)
        self.dense = r.random() < 0.5
        act, inplace = r.choice(_ACTIVATIONS), r.random() < 0.5
        width = r.choice((12, 16, 20, 24, 32, 40))
        growth = r.choice((1.5, 2, 2))
        widths = [int(width * growth**level) // 4 * 4 for level in range(4)]
        self.entry = nn.Sequential(nn.Conv2d(3, widths[0], 3, r.choice((1, 2)), 1), act())
        self.stages = nn.ModuleList()
        before = widths[0]
        for level, channels in enumerate(widths):
            blocks = [_Block(r, before, channels, 2 if level else 1, act, inplace)]
            blocks += [_Block(r, channels, channels, 1, act, inplace) for _ in range(r.randint(1, 3))]
            self.stages.append(nn.Sequential(*blocks))
            before = channels
        self.joins = r.choice(("add", "cat"))
        self.mode = r.choice(("nearest", "bilinear"))
        if self.dense:
            self.ups = nn.ModuleList(
                nn.Conv2d(coarse + (fine if self.joins == "cat" else 0), fine, 3, padding=1)
                for fine, coarse in pairwise(widths)
            )
            self.head: nn.Module = nn.Conv2d(widths[0], 2, 1)
        else:
            self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[-1], 100))

    def forward(self, x: Tensor) -> Tensor:
        x = self.entry(x)
        levels = []
        for stage in self.stages:
            x = stage(x)
            levels.append(x)
        if not self.dense:
            return self.head(x)
        for skip, up in zip(reversed(levels[:-1]), reversed(self.ups), strict=True):
            x = F.interpolate(x, size=skip.shape[-2:], mode=self.mode)
            x = up(torch.cat([skip, x], 1)) if self.joins == "cat" else up(x) + skip
        return self.head(x)


def random_network(seed: int) -> nn.Module:
    """A network of four scales from 3 channels, a classifier or a dense one: blocks and widths are drawn."""
    return _Random(seed)


class _Attention(nn.Module):
    def __init__(self, width: int, heads: int):
        super().__init__()
        self.norm, self.heads = nn.LayerNorm(width), heads
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.second = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        n, length, width = x.shape
        parts = self.qkv(self.norm(x)).reshape(n, length, 3, self.heads, width // self.heads)
        q, k, v = parts.permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v)
        x = x + self.out(y.transpose(1, 2).reshape(n, length, width))
        return x + self.mlp(self.second(x))


class _Transformer(nn.Module):
    def __init__(self, width: int, depth: int, heads: int, patch: int, window: int | None):
        super().__init__()
        self.patches = nn.Conv2d(3, width, patch, patch)
        self.blocks = nn.ModuleList(_Attention(width, heads) for _ in range(depth))
        self.head = nn.Linear(width, 100)
        self.window = window

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x)
        n, c, h, w = x.shape
        if self.window is None:
            x = x.flatten(2).transpose(1, 2)
        else:
            s = self.window
            x = x.view(n, c, h // s, s, w // s, s).permute(0, 2, 4, 3, 5, 1).reshape(-1, s * s, c)
        for block in self.blocks:
            x = block(x)
        return self.head(x.mean(1))


def vision_transformer(width: int = 192, depth: int = 6, heads: int = 3, patch: int = 16) -> nn.Module:
    """A plain vision transformer without position table, so that it takes any size that `patch` divides."""
    return _Transformer(width, depth, heads, patch, None)


def window_transformer(width: int = 96, depth: int = 4, heads: int = 3) -> nn.Module:
    """Attention inside windows of 8 x 8 patches of 4 x 4 pixels."""
    return _Transformer(width, depth, heads, 4, 8)
