"""The water networks: compact, shaped for running row by row."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from narrows.layers.convolution import ConvNorm, PixelShuffleUp, WideRowBlock

__all__ = ["WaterNet", "water", "water_small"]

# Reflectance that keeps noise out of the differences of very dark bands.
_DARK = 0.02


class WaterNet(nn.Module):
    """A fully convolutional map of surface water.

    Squares of 2 x 2 pixels are folded into channels at once, so that no convolution runs at full resolution, where
    narrow layers move more bytes than they compute; the last one unfolds again. The first layer looks at no neighbours
    beyond the square; it feeds the three scales that follow, 1/2, 1/4 and 1/8, channels about doubling where sides
    halve, and the logits directly too, so that what holds for a single pixel needn't pass through narrow layers. What
    the network sees beyond its neighbours it sees along the row, by dilation along columns, which costs no line buffer;
    down the rows its kernels are all 3 high. There is no barrier: no statistic of the whole image enters.

    Beside the square roots of the bands stand three normalised differences, which hardly change in shadow, and which
    convolutions can't form since they don't divide: of green and shortwave infrared (MNDWI; Xu 2006, IJRS 27(14),
    3025), of green and near infrared (NDWI; McFeeters 1996, IJRS 17(7), 1425), of near infrared and red (NDVI).

    Input: float (N, 6, H, W), reflectance of blue, green, red, nir, swir1, swir2, at the surface or at the top of
    the atmosphere, nominally 0 to 1. Values outside are clamped; what is not finite must be replaced (by 0)
    beforehand. A sensor without shortwave infrared gives 1 in both its bands. Any H and W of at least 1: sides are
    padded by replication to multiples of 8 and cropped again.

    Output: ``(water, hidden)``, two float tensors (N, 1, H, W) of probabilities 0 to 1: open water, and
    hidden by cloud or cloud shadow.

    Args:
        widths: channels of the first layer and at scales 1/2, 1/4 and 1/8.
        depths: residual blocks at scales 1/4 and 1/8.
    """

    bands = ("blue", "green", "red", "nir", "swir1", "swir2")
    in_channels = len(bands)
    features = in_channels + 3
    stride = 8

    def __init__(self, widths: tuple[int, int, int, int], depths: tuple[int, int] = (1, 2)) -> None:
        super().__init__()
        square, half, quarter, eighth = widths
        self.squares = ConvNorm(4 * self.features, square, 1)
        self.encode_half = nn.Sequential(ConvNorm(square, half, 3), ConvNorm(half, half, 3))
        self.down_quarter = ConvNorm(half, quarter, 3, stride=2)
        self.encode_quarter = nn.Sequential(*[WideRowBlock(quarter, 1) for _ in range(depths[0])])
        self.down_eighth = ConvNorm(quarter, eighth, 3, stride=2)
        self.encode_eighth = nn.Sequential(*[WideRowBlock(eighth, 2 + k) for k in range(depths[1])])
        self.up_quarter = PixelShuffleUp(eighth, quarter)
        self.decode_quarter = WideRowBlock(quarter, 1)
        self.up_half = PixelShuffleUp(quarter, half)
        self.decode_half = ConvNorm(half, half, 3)
        self.head = nn.Conv2d(half, 8, 3, padding=1)
        self.head_of_squares = nn.Conv2d(square, 8, 1, bias=False)

    def features_of(self, folded: Tensor) -> Tensor:
        """What the first layer is given, (N, 4 features, H / 2, W / 2), of folded reflectance within 0 to 1."""
        _, green, red, near, short, _ = folded.split(4, 1)
        differences = [(a - b) / (a + b + _DARK) for a, b in ((green, short), (green, near), (near, red))]
        # The square root spreads the dark end, where water, shadow and burnt ground have to be told apart.
        return torch.cat((torch.sqrt(folded), *differences), 1)

    def logits(self, reflectance: Tensor) -> Tensor:
        """Logits (N, 2, H, W) of water and of hidden, for the losses of training."""
        height, width = reflectance.shape[-2:]
        below, right = -height % self.stride, -width % self.stride
        x = torch.clamp(reflectance, 0.0, 1.0)
        if below or right:
            x = F.pad(x, (0, right, 0, below), mode="replicate")
        squares = self.squares(self.features_of(F.pixel_unshuffle(x, 2)))
        half = self.encode_half(squares)
        quarter = self.encode_quarter(self.down_quarter(half))
        y = self.encode_eighth(self.down_eighth(quarter))
        y = self.decode_quarter(F.relu(quarter + self.up_quarter(y)))
        y = self.decode_half(F.relu(half + self.up_half(y)))
        y = F.pixel_shuffle(self.head(y) + self.head_of_squares(squares), 2)
        return y[..., :height, :width]

    def forward(self, reflectance: Tensor) -> tuple[Tensor, Tensor]:
        probability = torch.sigmoid(self.logits(reflectance))
        return probability[:, :1], probability[:, 1:]


def water() -> WaterNet:
    """The larger water network, below 500,000 parameters, random weights, in training mode."""
    return WaterNet((32, 16, 32, 80))


def water_small() -> WaterNet:
    """The smaller water network, below 60,000 parameters, random weights, in training mode."""
    return WaterNet((16, 8, 16, 32))
