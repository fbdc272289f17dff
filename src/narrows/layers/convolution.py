"""Convolution blocks for networks that are run row by row."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["ConvNorm", "PixelShuffleUp", "WideRowBlock"]


class ConvNorm(nn.Sequential):
    """Convolution without bias, batch norm and, unless `activation` is false, ReLU.

    (N, channels_in, H, W) to (N, channels_out, ceil(H / stride), ceil(W / stride)). In eval mode the norm folds
    into the convolution.

    Args:
        kernel: odd side of the kernel.
        row_dilation: dilation along columns only; widens what a pixel sees without needing further rows.
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        kernel: int,
        *,
        stride: int = 1,
        row_dilation: int = 1,
        activation: bool = True,
    ) -> None:
        half = kernel // 2
        layers: list[nn.Module] = [
            nn.Conv2d(
                channels_in,
                channels_out,
                kernel,
                stride,
                padding=(half, half * row_dilation),
                dilation=(1, row_dilation),
                bias=False,
            ),
            nn.BatchNorm2d(channels_out),
        ]
        if activation:
            layers.append(nn.ReLU())
        super().__init__(*layers)


class WideRowBlock(nn.Module):
    """Residual pair of 3x3 convolutions, (N, C, H, W) to the same, the second dilated along columns.

    Its reach is 2 rows up and down and ``1 + row_dilation`` columns left and right.
    """

    def __init__(self, channels: int, row_dilation: int) -> None:
        super().__init__()
        self.first = ConvNorm(channels, channels, 3)
        self.second = ConvNorm(channels, channels, 3, row_dilation=row_dilation, activation=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.second(self.first(x)))


class PixelShuffleUp(nn.Sequential):
    """1x1 convolution and depth to space: (N, channels_in, H, W) to (N, channels_out, 2 H, 2 W), linear.

    Needs no row beyond its own, where a transposed or bilinear up-sampling needs its neighbour.
    """

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__(
            nn.Conv2d(channels_in, 4 * channels_out, 1, bias=False),
            nn.BatchNorm2d(4 * channels_out),
            nn.PixelShuffle(2),
        )
