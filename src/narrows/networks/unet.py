"""U-Net, a reference for networks whose skips are concatenated.

O. Ronneberger, P. Fischer, T. Brox, "U-Net: Convolutional Networks for Biomedical Image Segmentation", arXiv
1505.04597; here with batch norm and padded convolutions.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from narrows.layers.convolution import ConvNorm

__all__ = ["UNet", "unet"]


class UNet(nn.Module):
    """Float (N, in_channels, H, W) to (N, out_channels, H, W) without a final activation, at any size.

    Where a side is odd, pooling rounds up and what is scaled up again is cropped to the skip it meets.

    Args:
        width: channels at full resolution.
        depth: halvings.
        multiplier: of the channels at each halving. 2, as in the paper, halves what a level holds, so that full
            resolution holds most; 4 keeps it as it is, with fewer channels at full resolution for the same cost.
        transposed: scale up by transposed 2 x 2 convolutions; otherwise by bilinear interpolation to the skip's size
            and a 1 x 1 convolution.
    """

    def __init__(
        self, in_channels: int, out_channels: int, width: int, depth: int, transposed: bool, multiplier: int = 2
    ) -> None:
        super().__init__()
        self.transposed = transposed
        widths = [width * multiplier**level for level in range(depth + 1)]
        self.encoder = nn.ModuleList(_pair(a, b) for a, b in pairwise([in_channels, *widths]))
        self.pool = nn.MaxPool2d(2, ceil_mode=True)
        steps = list(pairwise(reversed(widths)))
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(coarse, fine, 2, stride=2) if transposed else nn.Conv2d(coarse, fine, 1)
            for coarse, fine in steps
        )
        self.decoder = nn.ModuleList(_pair(2 * fine, fine) for _, fine in steps)
        self.head = nn.Conv2d(width, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        skips: list[Tensor] = []
        for level, block in enumerate(self.encoder):
            x = block(self.pool(x) if level else x)
            skips.append(x)
        skips.pop()
        for up, block in zip(self.up, self.decoder, strict=True):
            skip = skips.pop()
            height, width = skip.shape[-2:]
            if self.transposed:
                x = up(x)[..., :height, :width]
            else:
                x = F.interpolate(up(x), size=(height, width), mode="bilinear", align_corners=False)
            x = block(torch.cat([skip, x], dim=1))
        return self.head(x)


def unet(
    in_channels: int = 6,
    out_channels: int = 1,
    width: int = 16,
    depth: int = 4,
    transposed: bool = True,
    multiplier: int = 2,
) -> UNet:
    """A U-Net with random weights, in training mode."""
    return UNet(in_channels, out_channels, width, depth, transposed, multiplier)


def _pair(channels_in: int, channels_out: int) -> nn.Sequential:
    return nn.Sequential(ConvNorm(channels_in, channels_out, 3), ConvNorm(channels_out, channels_out, 3))
