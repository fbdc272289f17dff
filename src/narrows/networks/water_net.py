"""The water networks: compact, shaped for running row by row."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from narrows.layers.convolution import ConvNorm, PixelShuffleUp, WideRowBlock

__all__ = ["WaterNet", "water", "water_small"]


class WaterNet(nn.Module):
    """A fully convolutional map of surface water.

    Squares of 2 x 2 pixels are folded into channels at once, so that no convolution runs at full resolution, where
    narrow layers move more bytes than they compute; the last one unfolds again. Three scales follow, 1/2, 1/4 and
    1/8, channels about doubling where sides halve. What the network sees beyond its neighbours it sees along the row,
    by dilation along columns, which costs no line buffer; down the rows its kernels are all 3 high. There is no
    barrier: no statistic of the whole image enters.

    Input: float (N, 6, H, W), reflectance of blue, green, red, nir, swir1, swir2, at the surface or at the top of
    the atmosphere, nominally 0 to 1. Values outside are clamped; what is not finite must be replaced (by 0)
    beforehand. A sensor without shortwave infrared gives 1 in both its bands. Any H and W of at least 1: sides are
    padded by replication to multiples of 8 and cropped again.

    Output: ``(water, hidden)``, two float tensors (N, 1, H, W) of probabilities 0 to 1: open water, and
    hidden by cloud or cloud shadow.

    Args:
        widths: channels at scales 1/2, 1/4 and 1/8.
        depths: residual blocks at scales 1/4 and 1/8.
    """

    bands = ("blue", "green", "red", "nir", "swir1", "swir2")
    in_channels = len(bands)
    stride = 8

    def __init__(self, widths: tuple[int, int, int], depths: tuple[int, int] = (1, 2)) -> None:
        super().__init__()
        half, quarter, eighth = widths
        self.stem = ConvNorm(4 * self.in_channels, half, 3)
        self.encode_half = ConvNorm(half, half, 3)
        self.down_quarter = ConvNorm(half, quarter, 3, stride=2)
        self.encode_quarter = nn.Sequential(*[WideRowBlock(quarter, 1) for _ in range(depths[0])])
        self.down_eighth = ConvNorm(quarter, eighth, 3, stride=2)
        self.encode_eighth = nn.Sequential(*[WideRowBlock(eighth, 2 + k) for k in range(depths[1])])
        self.up_quarter = PixelShuffleUp(eighth, quarter)
        self.decode_quarter = WideRowBlock(quarter, 1)
        self.up_half = PixelShuffleUp(quarter, half)
        self.decode_half = ConvNorm(half, half, 3)
        self.head = nn.Conv2d(half, 8, 3, padding=1)

    def logits(self, reflectance: Tensor) -> Tensor:
        """Logits (N, 2, H, W) of water and of hidden, for the losses of training."""
        height, width = reflectance.shape[-2:]
        below, right = -height % self.stride, -width % self.stride
        # The square root spreads the dark end, where water, shadow and burnt ground have to be told apart.
        x = torch.sqrt(torch.clamp(reflectance, 0.0, 1.0))
        if below or right:
            x = F.pad(x, (0, right, 0, below), mode="replicate")
        half = self.encode_half(self.stem(F.pixel_unshuffle(x, 2)))
        quarter = self.encode_quarter(self.down_quarter(half))
        y = self.encode_eighth(self.down_eighth(quarter))
        y = self.decode_quarter(F.relu(quarter + self.up_quarter(y)))
        y = self.decode_half(F.relu(half + self.up_half(y)))
        y = F.pixel_shuffle(self.head(y), 2)
        return y[..., :height, :width]

    def forward(self, reflectance: Tensor) -> tuple[Tensor, Tensor]:
        probability = torch.sigmoid(self.logits(reflectance))
        return probability[:, :1], probability[:, 1:]


def water() -> WaterNet:
    """The larger water network, below 500,000 parameters, random weights, in training mode."""
    return WaterNet((16, 32, 80))


def water_small() -> WaterNet:
    """The smaller water network, below 60,000 parameters, random weights, in training mode."""
    return WaterNet((8, 16, 32))
