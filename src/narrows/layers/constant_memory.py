"""Scaling that keeps as many values as before: four times the channels where each side halves.

L. F. Isikdogan, A. C. Bovik, P. Passalacqua, "Seeing Through the Clouds With DeepWaterMap", IEEE GRSL, 2019. Doubling
the channels, as is usual, halves the values with each halving of the sides, so that the first scale holds most of the
memory and the coarse ones, which see most, have few channels.
"""

from __future__ import annotations

from torch import Tensor, nn

from narrows.layers.same import SameConvNorm

__all__ = ["ConstantMemoryDown", "ConstantMemoryUp", "ResidualPair"]


class ResidualPair(nn.Module):
    """Two layers, the second's output added to the first's: ``y = first(x)``, then ``y + second(y)``."""

    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.first = first
        self.second = second

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        return x + self.second(x)


class ConstantMemoryDown(ResidualPair):
    """(N, C, H, W) to (N, 4 C, ceil(H / 2), ceil(W / 2)): 5 x 5 convolution at stride 2, then a residual 3 x 3.

    Both have batch norm and ReLU. On even sides as many values come out as go in.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(SameConvNorm(channels, 4 * channels, 5, stride=2), SameConvNorm(4 * channels, 4 * channels, 3))


class ConstantMemoryUp(nn.Sequential):
    """(N, 4 C, H, W) to (N, C, 2 H, 2 W): depth to space, then a 3 x 3 convolution and a residual 3 x 3.

    Args:
        channels: C, the channels that come out.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(
            nn.PixelShuffle(2),
            ResidualPair(SameConvNorm(channels, channels, 3), SameConvNorm(channels, channels, 3)),
        )
