"""The two units of ShuffleNet V2 and the channel shuffle between them.

N. Ma, X. Zhang, H.-T. Zheng, J. Sun, "ShuffleNet V2: Practical Guidelines for Efficient CNN Architecture Design", arXiv
1807.11164.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from narrows.layers.squeeze_excitation import SqueezeExcitation

__all__ = ["ShuffleDownUnit", "ShuffleUnit", "channel_shuffle"]


def channel_shuffle(x: Tensor, groups: int) -> Tensor:
    """Take channels from `groups` runs in turn, (N, C, H, W) to the same: channel i of run g becomes i * groups + g."""
    batch, channels, height, width = x.shape
    return x.reshape(batch, groups, channels // groups, height, width).transpose(1, 2).reshape(x.shape)


def _pointwise(channels_in: int, channels_out: int) -> list[nn.Module]:
    return [nn.Conv2d(channels_in, channels_out, 1, bias=False), nn.BatchNorm2d(channels_out), nn.ReLU()]


def _depthwise(channels: int, stride: int) -> list[nn.Module]:
    return [
        nn.Conv2d(channels, channels, 3, stride, padding=1, groups=channels, bias=False),
        nn.BatchNorm2d(channels),
    ]


class ShuffleUnit(nn.Module):
    """(N, C, H, W) to the same: half the channels pass, half go through 1 x 1, depthwise 3 x 3, 1 x 1; then a shuffle.

    No convolution changes its channel count (G1), none but the depthwise one is grouped (G2), and nothing is added
    element by element (G4).

    Args:
        channels: even.
        reduction: of squeeze-and-excitation at the end of the branch; None for none. It is a barrier.
    """

    def __init__(self, channels: int, reduction: int | None = None) -> None:
        super().__init__()
        half = channels // 2
        self.branch = nn.Sequential(*_pointwise(half, half), *_depthwise(half, 1), *_pointwise(half, half))
        if reduction is not None:
            self.branch.append(SqueezeExcitation(half, reduction))

    def forward(self, x: Tensor) -> Tensor:
        passing, worked = x.chunk(2, dim=1)
        return channel_shuffle(torch.cat([passing, self.branch(worked)], dim=1), 2)


class ShuffleDownUnit(nn.Module):
    """(N, channels_in, H, W) to (N, channels_out, ceil(H / 2), ceil(W / 2)): two branches at stride 2, then a shuffle.

    As in the authors' code (github.com/megvii-model/ShuffleNet-Series), the shorter branch keeps its channels and the
    longer one makes the others; in between it has half of `channels_out`.

    Args:
        channels_out: even, and more than `channels_in`.
        reduction: of squeeze-and-excitation at the end of the longer branch; None for none. It is a barrier.

    Raises:
        ValueError: `channels_out` is odd, or no more than `channels_in`.
    """

    def __init__(self, channels_in: int, channels_out: int, reduction: int | None = None) -> None:
        super().__init__()
        if channels_out % 2 or channels_out <= channels_in:
            raise ValueError(
                f"a shuffle unit that halves the sides makes an even number of channels, more than the {channels_in} "
                f"it takes, not {channels_out}"
            )
        half, others = channels_out // 2, channels_out - channels_in
        self.short = nn.Sequential(*_depthwise(channels_in, 2), *_pointwise(channels_in, channels_in))
        self.branch = nn.Sequential(*_pointwise(channels_in, half), *_depthwise(half, 2), *_pointwise(half, others))
        if reduction is not None:
            self.branch.append(SqueezeExcitation(others, reduction))

    def forward(self, x: Tensor) -> Tensor:
        return channel_shuffle(torch.cat([self.short(x), self.branch(x)], dim=1), 2)
