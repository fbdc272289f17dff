"""The two blocks of ResNet, with squeeze-and-excitation where it is asked for.

K. He, X. Zhang, S. Ren, J. Sun, "Deep Residual Learning for Image Recognition", arXiv 1512.03385; with squeeze and
excitation on the branch, before the sum, as in arXiv 1709.01507.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from narrows.layers.convolution import ConvNorm
from narrows.layers.squeeze_excitation import SqueezeExcitation

__all__ = ["BasicBlock", "Bottleneck"]


class _Block(nn.Module):
    """``relu(shortcut(x) + branch(x))``; the shortcut is a 1 x 1 convolution where shapes differ."""

    def __init__(self, branch: nn.Sequential, channels_in: int, channels_out: int, stride: int, reduction: int | None):
        super().__init__()
        self.branch = branch
        if reduction is not None:
            self.branch.append(SqueezeExcitation(channels_out, reduction))
        same = stride == 1 and channels_in == channels_out
        self.shortcut: nn.Module = (
            nn.Identity() if same else ConvNorm(channels_in, channels_out, 1, stride=stride, activation=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.shortcut(x) + self.branch(x))


class BasicBlock(_Block):
    """Two 3 x 3 convolutions: (N, channels_in, H, W) to (N, channels_out, ceil(H / stride), ceil(W / stride)).

    Args:
        reduction: of squeeze-and-excitation; None for none. It is a barrier.
    """

    def __init__(self, channels_in: int, channels_out: int, *, stride: int = 1, reduction: int | None = None) -> None:
        branch = nn.Sequential(
            ConvNorm(channels_in, channels_out, 3, stride=stride),
            ConvNorm(channels_out, channels_out, 3, activation=False),
        )
        super().__init__(branch, channels_in, channels_out, stride, reduction)


class Bottleneck(_Block):
    """1 x 1 down to channels_out / 4, 3 x 3, 1 x 1 up: (N, channels_in, H, W) to
    (N, channels_out, ceil(H / stride), ceil(W / stride)).

    Args:
        stride_first: the first 1 x 1 has the stride, as in the paper; otherwise the 3 x 3 has it, as in most later code
            ("v1.5"), for 6 % more operations in ResNet-50.
        reduction: of squeeze-and-excitation; None for none. It is a barrier.
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        *,
        stride: int = 1,
        stride_first: bool = True,
        reduction: int | None = None,
    ) -> None:
        narrow = channels_out // 4
        first, second = (stride, 1) if stride_first else (1, stride)
        branch = nn.Sequential(
            ConvNorm(channels_in, narrow, 1, stride=first),
            ConvNorm(narrow, narrow, 3, stride=second),
            ConvNorm(narrow, channels_out, 1, activation=False),
        )
        super().__init__(branch, channels_in, channels_out, stride, reduction)
