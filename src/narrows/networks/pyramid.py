"""A feature pyramid with two outputs, a reference for outputs at other scales than the input's.

T.-Y. Lin and others, "Feature Pyramid Networks for Object Detection", arXiv 1612.03144, in small.
"""

from __future__ import annotations

from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from narrows.layers.convolution import ConvNorm

__all__ = ["TwoOutputPyramid", "two_output_pyramid"]


class TwoOutputPyramid(nn.Module):
    """Float (N, in_channels, H, W) to a dictionary of two maps without a final activation, at any size.

    ``"full"`` is (N, out_channels, H, W), ``"quarter"`` (N, out_channels, ceil(H / 4), ceil(W / 4)).

    Args:
        width: channels at full resolution; they double with each of the three halvings. The way back up has
            twice `width` at every scale.
    """

    def __init__(self, in_channels: int, out_channels: int, width: int) -> None:
        super().__init__()
        widths = [width << level for level in range(4)]
        self.encoder = nn.ModuleList([ConvNorm(in_channels, width, 3)])
        for fine, coarse in pairwise(widths):
            self.encoder.append(nn.Sequential(ConvNorm(fine, coarse, 3, stride=2), ConvNorm(coarse, coarse, 3)))
        self.laterals = nn.ModuleList(nn.Conv2d(channels, 2 * width, 1) for channels in widths)
        self.quarter = nn.Conv2d(2 * width, out_channels, 3, padding=1)
        self.full = nn.Conv2d(2 * width, out_channels, 3, padding=1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        levels: list[Tensor] = []
        for block, lateral in zip(self.encoder, self.laterals, strict=True):
            x = block(x)
            levels.append(lateral(x))
        full, half, quarter, eighth = levels
        quarter = quarter + _resized(eighth, quarter)
        full = full + _resized(half + _resized(quarter, half), full)
        return {"full": self.full(full), "quarter": self.quarter(quarter)}


def two_output_pyramid(in_channels: int = 6, out_channels: int = 1, width: int = 16) -> TwoOutputPyramid:
    """A two-output pyramid with random weights, in training mode."""
    return TwoOutputPyramid(in_channels, out_channels, width)


def _resized(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, size=like.shape[-2:], mode="bilinear", align_corners=False)
