"""A network of dilated convolutions at full resolution, a reference for a long reach without pooling.

F. Yu, V. Koltun, "Multi-Scale Context Aggregation by Dilated Convolutions", arXiv 1511.07122; here residual and with
batch norm.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["Dilated", "dilated"]


class Dilated(nn.Module):
    """Float (N, in_channels, H, W) to (N, out_channels, H, W) without a final activation, at any size.

    Its reach is 1 + sum(dilations) rows up and down, and as many columns.

    Args:
        width: channels throughout.
        dilations: of the 3 x 3 convolutions, one after the other.
    """

    def __init__(self, in_channels: int, out_channels: int, width: int, dilations: Sequence[int]) -> None:
        super().__init__()
        self.entry = nn.Conv2d(in_channels, width, 3, padding=1)
        self.context = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(width, width, 3, padding=dilation, dilation=dilation, bias=False), nn.BatchNorm2d(width)
            )
            for dilation in dilations
        )
        self.head = nn.Conv2d(width, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.entry(x))
        for block in self.context:
            x = F.relu(x + block(x))
        return self.head(x)


def dilated(
    in_channels: int = 6, out_channels: int = 1, width: int = 16, dilations: Sequence[int] = (1, 2, 4, 8, 16, 1)
) -> Dilated:
    """A network of dilated convolutions with random weights, in training mode."""
    return Dilated(in_channels, out_channels, width, dilations)
