"""MobileNetV3, large and small.

A. Howard and others, "Searching for MobileNetV3", arXiv 1905.02244, tables 1 and 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from narrows.layers.inverted_residual import InvertedResidual

__all__ = ["MobileNetV3", "mobilenet_v3_large", "mobilenet_v3_small"]

# Batch norm as the authors' code has it.
_EPSILON, _MOMENTUM = 1e-3, 0.01


@dataclass(frozen=True)
class _Row:
    """A row of the paper's tables: kernel, channels in the middle, channels out, squeeze, hard swish, stride."""

    kernel: int
    hidden: int
    channels: int
    squeeze: bool
    swish: bool
    stride: int


_LARGE = (
    _Row(3, 16, 16, False, False, 1),
    _Row(3, 64, 24, False, False, 2),
    _Row(3, 72, 24, False, False, 1),
    _Row(5, 72, 40, True, False, 2),
    _Row(5, 120, 40, True, False, 1),
    _Row(5, 120, 40, True, False, 1),
    _Row(3, 240, 80, False, True, 2),
    _Row(3, 200, 80, False, True, 1),
    _Row(3, 184, 80, False, True, 1),
    _Row(3, 184, 80, False, True, 1),
    _Row(3, 480, 112, True, True, 1),
    _Row(3, 672, 112, True, True, 1),
    _Row(5, 672, 160, True, True, 2),
    _Row(5, 960, 160, True, True, 1),
    _Row(5, 960, 160, True, True, 1),
)
_SMALL = (
    _Row(3, 16, 16, True, False, 2),
    _Row(3, 72, 24, False, False, 2),
    _Row(3, 88, 24, False, False, 1),
    _Row(5, 96, 40, True, True, 2),
    _Row(5, 240, 40, True, True, 1),
    _Row(5, 240, 40, True, True, 1),
    _Row(5, 120, 48, True, True, 1),
    _Row(5, 144, 48, True, True, 1),
    _Row(5, 288, 96, True, True, 2),
    _Row(5, 576, 96, True, True, 1),
    _Row(5, 576, 96, True, True, 1),
)


class MobileNetV3(nn.Module):
    """Float (N, in_channels, H, W) to logits (N, classes).

    For the large one the paper prints 5.4 million parameters and 219 million multiply-accumulates at 224 x 224, and the
    authors' code (research/slim/nets/mobilenet in github.com/tensorflow/models) 5.4 and 217 million; here they are
    5,483,032 and 216,589,760. For the small one the paper's last version prints 2.5 and 56 million; here they are
    2,542,856 and 56,510,400. The authors' code states 2.9 and 66 million for a small one that is wider at its end.
    Squeezed channels are rounded to multiples of 8, as in that code.

    Its squeeze-and-excitation is a barrier: features can't be made in one pass over the rows.
    """

    def __init__(self, in_channels: int, classes: int, rows: Sequence[_Row], last: int, wide: int) -> None:
        super().__init__()
        self.stem = _conv(in_channels, 16, 3, 2)
        channels, blocks = 16, []
        for row in rows:
            blocks.append(
                InvertedResidual(
                    channels,
                    row.channels,
                    row.hidden,
                    stride=row.stride,
                    kernel=row.kernel,
                    activation=nn.Hardswish if row.swish else nn.ReLU,
                    squeeze=row.squeeze,
                    epsilon=_EPSILON,
                    momentum=_MOMENTUM,
                )
            )
            channels = row.channels
        self.blocks = nn.Sequential(*blocks)
        self.last = _conv(channels, last, 1, 1)
        self.classifier = nn.Sequential(
            nn.Linear(last, wide), nn.Hardswish(), nn.Dropout(0.2), nn.Linear(wide, classes)
        )

    def features(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) to (N, 960 or 576, ceil(H / 32), ceil(W / 32))."""
        return self.last(self.blocks(self.stem(x)))

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(F.adaptive_avg_pool2d(self.features(x), 1).flatten(1))


def mobilenet_v3_large(in_channels: int = 3, classes: int = 1000) -> MobileNetV3:
    """MobileNetV3-Large with random weights, in training mode."""
    return MobileNetV3(in_channels, classes, _LARGE, 960, 1280)


def mobilenet_v3_small(in_channels: int = 3, classes: int = 1000) -> MobileNetV3:
    """MobileNetV3-Small with random weights, in training mode."""
    return MobileNetV3(in_channels, classes, _SMALL, 576, 1024)


def _conv(channels_in: int, channels_out: int, kernel: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(channels_out, _EPSILON, _MOMENTUM),
        nn.Hardswish(),
    )
