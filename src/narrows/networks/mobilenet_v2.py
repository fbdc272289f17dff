"""MobileNetV2.

M. Sandler, A. Howard, M. Zhu, A. Zhmoginov, L.-C. Chen, "MobileNetV2: Inverted Residuals and Linear Bottlenecks", arXiv
1801.04381, table 2.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from narrows.layers.inverted_residual import InvertedResidual
from narrows.layers.widths import divisible

__all__ = ["MobileNetV2", "mobilenet_v2"]

# Expansion, channels, blocks, stride of the first block.
_STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))


class MobileNetV2(nn.Module):
    """Float (N, in_channels, H, W) to logits (N, classes).

    Channels are multiplied by `width` and rounded to multiples of 8; the last convolution's 1,280 only where `width` is
    above 1. At width 1 the paper prints 3.4 million parameters and 300 million multiply-accumulates at 224 x 224; here
    they are 3,504,872 and 300,774,272. At width 1.4 the paper prints 6.9 and 585 million; here they are 6,108,776 and
    582,195,824. The authors' code (research/slim/nets/mobilenet in github.com/tensorflow/models) states 3.47 and 6.06
    million parameters, which are those here without the batch norms', and 300 and 582 million multiply-accumulates: at
    width 1.4 the paper's network isn't quite that of the code.

    Args:
        width: multiplier of the channels.
    """

    def __init__(self, in_channels: int, classes: int, width: float) -> None:
        super().__init__()
        channels = divisible(32 * width)
        last = divisible(1280 * max(width, 1.0))
        self.stem = _conv(in_channels, channels, 3, 2)
        stages = []
        for expansion, base, count, stride in _STAGES:
            wanted = divisible(base * width)
            blocks = []
            for place in range(count):
                blocks.append(InvertedResidual(channels, wanted, expansion * channels, stride=1 if place else stride))
                channels = wanted
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.ModuleList(stages)
        self.last = _conv(channels, last, 1, 1)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(last, classes))

    def features(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) to (N, 1280 or more, ceil(H / 32), ceil(W / 32))."""
        x = self.stem(x)
        for stage in self.stages:
            x = stage(x)
        return self.last(x)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(F.adaptive_avg_pool2d(self.features(x), 1).flatten(1))


def mobilenet_v2(width: float = 1.0, in_channels: int = 3, classes: int = 1000) -> MobileNetV2:
    """MobileNetV2 with random weights, in training mode."""
    return MobileNetV2(in_channels, classes, width)


def _conv(channels_in: int, channels_out: int, kernel: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU6(),
    )
