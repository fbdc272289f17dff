"""ResNet-50 as in the paper, and with squeeze-and-excitation.

K. He, X. Zhang, S. Ren, J. Sun, "Deep Residual Learning for Image Recognition", arXiv 1512.03385, table 1; J. Hu and
others, "Squeeze-and-Excitation Networks", arXiv 1709.01507, table 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from narrows.layers.convolution import ConvNorm
from narrows.layers.residual import Bottleneck

__all__ = ["ResNet", "resnet50", "se_resnet50"]


class ResNet(nn.Module):
    """Float (N, in_channels, H, W) to logits (N, classes).

    ResNet-50 has 25,557,032 parameters (25.6 million in arXiv 1709.01507). With the stride in the first 1 x 1 of a
    block, as in the paper, it makes 3,857,973,248 multiply-accumulates at 224 x 224: the 3.8 thousand million of its
    paper, the 3.86 of arXiv 1709.01507. With the stride in the 3 x 3 ("v1.5") there are 4,089,184,256.

    SE-ResNet-50 has 28,088,024 parameters, 9.9 % more, and 3,860,488,192 multiply-accumulates; one operation for each
    value that its means add up, 5,519,360 of them, makes the 3.87 thousand million that arXiv 1709.01507 prints.

    Args:
        depths: bottleneck blocks of each of the four stages.
        reduction: of squeeze-and-excitation; None for none. It is a barrier.
        stride_first: see `Bottleneck`.
    """

    def __init__(
        self, in_channels: int, classes: int, depths: Sequence[int], reduction: int | None, stride_first: bool
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(ConvNorm(in_channels, 64, 7, stride=2), nn.MaxPool2d(3, stride=2, padding=1))
        widths = [64, *(256 << stage for stage in range(len(depths)))]
        self.stages = nn.ModuleList()
        for stage, ((fine, coarse), depth) in enumerate(zip(pairwise(widths), depths, strict=True)):
            self.stages.append(
                nn.Sequential(
                    *[
                        Bottleneck(
                            coarse if place else fine,
                            coarse,
                            stride=2 if stage and not place else 1,
                            stride_first=stride_first,
                            reduction=reduction,
                        )
                        for place in range(depth)
                    ]
                )
            )
        self.classifier = nn.Linear(widths[-1], classes)

    def features(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) to (N, 2048, ceil(H / 32), ceil(W / 32))."""
        x = self.stem(x)
        for stage in self.stages:
            x = stage(x)
        return x

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(F.adaptive_avg_pool2d(self.features(x), 1).flatten(1))


def resnet50(in_channels: int = 3, classes: int = 1000, stride_first: bool = True) -> ResNet:
    """ResNet-50 with random weights, in training mode."""
    return ResNet(in_channels, classes, (3, 4, 6, 3), None, stride_first)


def se_resnet50(in_channels: int = 3, classes: int = 1000, reduction: int = 16, stride_first: bool = True) -> ResNet:
    """ResNet-50 with squeeze-and-excitation in each block, random weights, in training mode."""
    return ResNet(in_channels, classes, (3, 4, 6, 3), reduction, stride_first)
