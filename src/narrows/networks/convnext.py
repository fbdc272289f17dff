"""A dense network in the manner of ConvNeXt, a reference for channels-last blocks.

Z. Liu and others, "A ConvNet for the 2020s", arXiv 2201.03545; the head that brings the scales together is this
project's choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from narrows.layers.convnext import ChannelNorm, ConvNeXtBlock

__all__ = ["ConvNeXtBlock", "ConvNeXtDense", "convnext_dense"]


class ConvNeXtDense(nn.Module):
    """Float (N, in_channels, H, W) to (N, out_channels, H, W) without a final activation, at any size.

    A 4 x 4 patch becomes a pixel of the first stage; each later stage halves the sides. All stages are brought to the
    first one's channels, scaled up bilinearly from coarse to fine and added. Sides are padded below and on the right
    by replication to multiples of the total stride, and cropped again.

    Args:
        widths: channels of each stage.
        depths: blocks of each stage.
        scale: what each block's layer scale starts with.
    """

    def __init__(
        self, in_channels: int, out_channels: int, widths: Sequence[int], depths: Sequence[int], scale: float
    ) -> None:
        super().__init__()
        self.stride = 4 << (len(widths) - 1)
        self.entries = nn.ModuleList(
            [nn.Sequential(nn.Conv2d(in_channels, widths[0], 4, stride=4), ChannelNorm(widths[0], eps=1e-6))]
        )
        for fine, coarse in pairwise(widths):
            self.entries.append(nn.Sequential(ChannelNorm(fine, eps=1e-6), nn.Conv2d(fine, coarse, 2, stride=2)))
        self.stages = nn.ModuleList(
            nn.Sequential(*[ConvNeXtBlock(width, scale) for _ in range(depth)])
            for width, depth in zip(widths, depths, strict=True)
        )
        self.laterals = nn.ModuleList(nn.Conv2d(width, widths[0], 1) for width in widths)
        self.head = nn.Sequential(ChannelNorm(widths[0], eps=1e-6), nn.GELU(), nn.Conv2d(widths[0], out_channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        below, right = -height % self.stride, -width % self.stride
        if below or right:
            x = F.pad(x, (0, right, 0, below), mode="replicate")
        levels: list[Tensor] = []
        for entry, stage, lateral in zip(self.entries, self.stages, self.laterals, strict=True):
            x = stage(entry(x))
            levels.append(lateral(x))
        y = levels.pop()
        while levels:
            y = levels.pop() + F.interpolate(y, scale_factor=2, mode="bilinear", align_corners=False)
        y = F.interpolate(self.head(y), scale_factor=4, mode="bilinear", align_corners=False)
        return y[..., :height, :width]


def convnext_dense(
    in_channels: int = 6,
    out_channels: int = 1,
    widths: Sequence[int] = (32, 64, 128),
    depths: Sequence[int] = (2, 2, 2),
    scale: float = 1.0,
) -> ConvNeXtDense:
    """A small ConvNeXt-like network with random weights, in training mode.

    The layer scale starts with 1 unless told otherwise, so that an untrained network's blocks count in comparisons.
    """
    return ConvNeXtDense(in_channels, out_channels, widths, depths, scale)
