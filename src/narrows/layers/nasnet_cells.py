"""The two cells of NASNet-A: five sums of two branches each, found by search; the example of a fragmented design.

B. Zoph, V. Vasudevan, J. Shlens, Q. V. Le, "Learning Transferable Architectures for Scalable Image Recognition", arXiv
1707.07012, figure 4. What the figure leaves open (padding, how an input of another shape is brought to the cell's)
follows the authors' code: TensorFlow's "same" padding, ReLU before each convolution and batch norm after.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from narrows.layers.same import pad_same

__all__ = ["FactorizedReduction", "NASNetNormalCell", "NASNetReductionCell", "SeparableTwice"]


def _norm(channels: int) -> nn.BatchNorm2d:
    # TensorFlow's decay of 0.9997 is a momentum of 0.0003 here.
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.0003)


class _Separable(nn.Module):
    """ReLU, depthwise convolution under "same" padding, 1 x 1 convolution, batch norm."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int, stride: int) -> None:
        super().__init__()
        padding = kernel // 2 if stride == 1 else 0
        self.depthwise = nn.Conv2d(channels_in, channels_in, kernel, stride, padding, groups=channels_in, bias=False)
        self.pointwise = nn.Conv2d(channels_in, channels_out, 1, bias=False)
        self.norm = _norm(channels_out)

    def forward(self, x: Tensor) -> Tensor:
        kernel, stride = self.depthwise.kernel_size[0], self.depthwise.stride[0]
        x = F.relu(x)
        x = self.depthwise(pad_same(x, kernel, stride) if stride > 1 else x)
        return self.norm(self.pointwise(x))


class SeparableTwice(nn.Sequential):
    """A separable convolution, twice: (N, channels_in, H, W) to (N, channels_out, ceil(H / stride), ceil(W / stride)).

    The first has the stride. ReLU comes before each, batch norm after each 1 x 1 convolution.
    """

    def __init__(self, channels_in: int, channels_out: int, kernel: int, stride: int = 1) -> None:
        super().__init__(
            _Separable(channels_in, channels_out, kernel, stride), _Separable(channels_out, channels_out, kernel, 1)
        )


class FactorizedReduction(nn.Module):
    """Halve the sides without convolving: (N, channels_in, H, W) to (N, channels_out, ceil(H / 2), ceil(W / 2)).

    One half of the output channels comes from pixels (0, 0), (0, 2), ..., the other from (1, 1), (1, 3), ...; what
    would lie outside is zero. ReLU before, batch norm after.

    Args:
        channels_out: even.
    """

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.even = nn.Conv2d(channels_in, channels_out // 2, 1, stride=2, bias=False)
        self.odd = nn.Conv2d(channels_in, channels_out // 2, 1, stride=2, bias=False)
        self.norm = _norm(channels_out)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(x)
        shifted = F.pad(x, (0, 1, 0, 1))[..., 1:, 1:]
        return self.norm(torch.cat([self.even(x), self.odd(shifted)], dim=1))


def _pointwise(channels_in: int, channels_out: int) -> nn.Sequential:
    return nn.Sequential(nn.ReLU(), nn.Conv2d(channels_in, channels_out, 1, bias=False), _norm(channels_out))


class _Cell(nn.Module):
    """Brings the previous cell's output and the one before it to the cell's channels and size."""

    def __init__(self, channels_in: int, channels_before: int, channels: int, halved: bool) -> None:
        super().__init__()
        self.entry = _pointwise(channels_in, channels)
        self.entry_before: nn.Module
        if halved:
            self.entry_before = FactorizedReduction(channels_before, channels)
        elif channels_before != channels:
            self.entry_before = _pointwise(channels_before, channels)
        else:
            self.entry_before = nn.Identity()


class NASNetNormalCell(_Cell):
    """(N, channels_in, H, W) and the input of the cell before to (N, 6 channels, H, W).

    Args:
        channels_in: of the output of the cell before.
        channels_before: of the output of the cell before that one.
        channels: of each of the branches.
        halved: the output of the cell before that one has twice the sides.
    """

    def __init__(self, channels_in: int, channels_before: int, channels: int, *, halved: bool = False) -> None:
        super().__init__(channels_in, channels_before, channels, halved)
        self.separable = nn.ModuleList(SeparableTwice(channels, channels, kernel) for kernel in (5, 3, 5, 3, 3))

    def forward(self, x: Tensor, before: Tensor) -> Tensor:
        x, before = self.entry(x), self.entry_before(before)
        five, three, five_before, three_before, last = self.separable
        return torch.cat(
            [
                before,
                five(x) + three(before),
                five_before(before) + three_before(before),
                _average(x) + before,
                _average(before) + _average(before),
                last(x) + x,
            ],
            dim=1,
        )


class NASNetReductionCell(_Cell):
    """(N, channels_in, H, W) and the input of the cell before to (N, 4 channels, ceil(H / 2), ceil(W / 2)).

    Args:
        channels_in: of the output of the cell before.
        channels_before: of the output of the cell before that one; None for the very first cell, which has none and
            takes its own input in its place, as it is.
        channels: of each of the branches.
        halved: the output of the cell before that one has twice the sides.
    """

    def __init__(self, channels_in: int, channels_before: int | None, channels: int, *, halved: bool = False) -> None:
        super().__init__(channels_in, channels if channels_before is None else channels_before, channels, halved)
        second = channels_in if channels_before is None else channels
        self.five = SeparableTwice(channels, channels, 5, 2)
        self.before = nn.ModuleList(SeparableTwice(second, channels, kernel, 2) for kernel in (7, 7, 5))
        self.three = SeparableTwice(channels, channels, 3)

    def forward(self, x: Tensor, before: Tensor) -> Tensor:
        x, before = self.entry(x), self.entry_before(before)
        seven, other_seven, five = self.before
        first = self.five(x) + seven(before)
        second = _halved_maximum(x) + other_seven(before)
        third = _halved_average(x) + five(before)
        return torch.cat([second, third, second + _average(first), self.three(first) + _halved_maximum(x)], dim=1)


def _average(x: Tensor) -> Tensor:
    """3 x 3 means at stride 1, of the pixels that exist."""
    return F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)


# Under "same" padding a 3 x 3 window at stride 2 begins a pixel outside on odd sides; on even ones the last ends so.
def _halved_average(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 3, stride=2, padding=_odd(x), ceil_mode=True, count_include_pad=False)


def _halved_maximum(x: Tensor) -> Tensor:
    return F.max_pool2d(x, 3, stride=2, padding=_odd(x), ceil_mode=True)


def _odd(x: Tensor) -> tuple[int, int]:
    return x.shape[-2] % 2, x.shape[-1] % 2
