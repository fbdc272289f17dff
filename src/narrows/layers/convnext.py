"""The ConvNeXt block and the norm that it is built with.

Z. Liu and others, "A ConvNet for the 2020s", arXiv 2201.03545.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["ChannelNorm", "ConvNeXtBlock"]


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of each pixel, (N, C, H, W) to the same."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class ConvNeXtBlock(nn.Module):
    """Residual block, (N, C, H, W) to the same: depthwise 7 x 7, then layer norm and two linear layers at each pixel.

    Args:
        scale: what the layer scale starts with; 1e-6 in the paper.
    """

    def __init__(self, channels: int, scale: float = 1.0) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.norm = nn.LayerNorm(channels, eps=1e-6)
        self.expand = nn.Linear(channels, 4 * channels)
        self.project = nn.Linear(4 * channels, channels)
        self.layer_scale = nn.Parameter(torch.full((channels,), scale))

    def forward(self, x: Tensor) -> Tensor:
        y = self.depthwise(x).permute(0, 2, 3, 1)
        y = self.project(F.gelu(self.expand(self.norm(y))))
        return x + (self.layer_scale * y).permute(0, 3, 1, 2)
