"""Networks with one fault planted, each with its clean twin."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn


def conv(a: int, b: int, kernel: int = 3, **options: object) -> nn.Conv2d:
    return nn.Conv2d(a, b, kernel, padding=kernel // 2, **options)  # type: ignore[arg-type]


class Chain(nn.Sequential):
    """Layers between a 3 x 3 on three channels and a 1 x 1 to one."""

    def __init__(self, first: int, *layers: nn.Module, last: int | None = None) -> None:
        super().__init__()
        self.stem = conv(3, first)
        self.body = nn.Sequential(*layers)
        self.head = conv(last or first, 1, 1)


def unequal() -> nn.Module:
    return Chain(16, conv(16, 128), conv(128, 16))


def equal() -> nn.Module:
    return Chain(48, conv(48, 48), conv(48, 48))


def grouped() -> nn.Module:
    return Chain(32, conv(32, 32, groups=4), conv(32, 32, groups=4))


def ungrouped() -> nn.Module:
    return Chain(16, conv(16, 16), conv(16, 16, groups=16), conv(16, 16, 1))


class Branches(nn.Module):
    def __init__(self, channels: int, count: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(conv(channels, channels) for _ in range(count))

    def forward(self, x: Tensor) -> Tensor:
        return sum((branch(x) for branch in self.branches), torch.zeros_like(x))


def fragmented() -> nn.Module:
    return Chain(16, Branches(16, 5))


def whole() -> nn.Module:
    return Chain(16, Branches(16, 2))


def _normed(channels: int, inplace: bool) -> nn.Sequential:
    return nn.Sequential(conv(channels, channels, bias=False), nn.BatchNorm2d(channels), nn.ReLU(inplace))


def passes() -> nn.Module:
    model = Chain(16, *(_normed(16, False) for _ in range(3)))
    for part in model.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.uniform_(part.running_mean, -1, 1)
            nn.init.uniform_(part.running_var, 0.5, 2)
    return model


def few_passes() -> nn.Module:
    return Chain(16, conv(16, 16), conv(16, 16), nn.ReLU(True))


def changing() -> nn.Module:
    return Chain(16, *(layer for _ in range(3) for layer in (conv(16, 40, 1), conv(40, 16))))


def steady() -> nn.Module:
    return Chain(24, *(conv(24, 24) for _ in range(6)))


def narrow_relu() -> nn.Module:
    return Chain(16, conv(16, 8), nn.BatchNorm2d(8), nn.ReLU(True), conv(8, 16))


def narrow_linear() -> nn.Module:
    return Chain(16, conv(16, 8), conv(8, 16), nn.ReLU(True))


def _first(stem: nn.Module) -> nn.Module:
    model = Chain(16, conv(16, 16))
    model.stem = stem
    return model


def separable_first() -> nn.Module:
    return _first(nn.Sequential(conv(3, 3, groups=3), conv(3, 16, 1)))


def dense_first() -> nn.Module:
    return _first(conv(3, 16))


def split() -> nn.Module:
    down = nn.Conv2d(16, 16, (3, 1), padding=(1, 0))
    across = nn.Conv2d(16, 16, (1, 3), padding=(0, 1))
    return Chain(16, down, nn.ReLU(True), across)


def unsplit() -> nn.Module:
    return Chain(16, conv(16, 16), nn.ReLU(True))


class Pyramid(nn.Module):
    """An encoder whose widths multiply by `factor` where the sides halve."""

    def __init__(self, width: int, factor: int) -> None:
        super().__init__()
        widths = [width * factor**level for level in range(4)]
        self.stem = conv(3, width)
        self.down = nn.ModuleList(conv(a, b, stride=2) for a, b in pairwise(widths))
        self.head = conv(widths[-1], 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for down in self.down:
            x = down(x)
        return self.head(x)


def doubling() -> nn.Module:
    return Pyramid(16, 2)


def quadrupling() -> nn.Module:
    return Pyramid(4, 4)


class Gate(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.scale = nn.Sequential(conv(channels, 8, 1), nn.Tanh(), conv(8, channels, 1), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale(self.pool(x))


def _deep(end: nn.Module | None) -> nn.Module:
    down = [conv(32, 64, stride=2), conv(64, 64, stride=2), conv(64, 64, stride=2)]
    return Chain(32, *down, *(conv(64, 64) for _ in range(4)), *([end] if end else []), conv(64, 64), last=64)


def without_attention() -> nn.Module:
    return _deep(None)


class Spatial(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.map = conv(1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.map(x.mean(1, keepdim=True)))


def with_attention() -> nn.Module:
    return _deep(Spatial())


def gated() -> nn.Module:
    return Chain(16, conv(16, 16), Gate(16), conv(16, 16))


def not_gated() -> nn.Module:
    return Chain(16, conv(16, 16), conv(16, 16))


class Skip(nn.Module):
    """A value kept for the end of a path, which reaches 32 rows if it is deep."""

    def __init__(self, channels: int, deep: bool) -> None:
        super().__init__()
        self.entry = conv(3, channels)
        far = [nn.Conv2d(16, 16, 3, padding=8, dilation=8) for _ in range(4 if deep else 0)]
        self.path = nn.Sequential(conv(channels, 16), *far)
        self.out = conv(channels + 16, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.entry(x)
        return self.out(torch.cat([x, self.path(x)], 1))


def long_skip() -> nn.Module:
    return Skip(56, True)


def short_skip() -> nn.Module:
    return Skip(56, False)


def tall() -> nn.Module:
    return Chain(16, *(nn.Conv2d(16, 16, (13, 1), padding=(6, 0)) for _ in range(6)))


def flat() -> nn.Module:
    return Chain(16, *(nn.Conv2d(16, 16, (1, 13), padding=(0, 6)) for _ in range(6)))


def barred() -> nn.Module:
    return Chain(16, conv(16, 16), nn.InstanceNorm2d(16), conv(16, 16))


class Classifier(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(conv(3, 16), conv(16, 16))
        self.classes = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.classes(self.features(x).mean((2, 3)))


def unbarred() -> nn.Module:
    return Classifier()


def odd_widths() -> nn.Module:
    return Chain(16, conv(16, 20), conv(20, 16))


def even_widths() -> nn.Module:
    return Chain(16, conv(16, 24), conv(24, 16))
