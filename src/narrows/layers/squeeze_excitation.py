"""Squeeze-and-excitation: channels weighted by what the whole image, or the part seen so far, holds.

J. Hu, L. Shen, S. Albanie, G. Sun, E. Wu, "Squeeze-and-Excitation Networks", arXiv 1709.01507; with a hard sigmoid as
in A. Howard and others, "Searching for MobileNetV3", arXiv 1905.02244.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from narrows.layers.widths import divisible

__all__ = ["HardSqueezeExcitation", "RunningSqueezeExcitation", "SqueezeExcitation"]


class SqueezeExcitation(nn.Module):
    """``x * sigmoid(W2 relu(W1 mean(x)))``, (N, C, H, W) to the same; the mean is over all rows and columns.

    Few operations, but the mean is a barrier: every row must be there before the first can be weighted. A network with
    it can't be streamed in one pass. `RunningSqueezeExcitation` can.

    It has ``2 C C_squeezed + C + C_squeezed`` parameters, and makes ``2 C C_squeezed`` multiply-accumulates in its two
    layers, C H W additions for the mean and C H W multiplications for the weighting.

    Args:
        reduction: C / reduction channels are left between the two layers (rounded down, at least 1); 16 in the paper.
        squeezed: how many channels are left, where `reduction` shouldn't say.
    """

    def __init__(self, channels: int, reduction: int = 16, *, squeezed: int | None = None) -> None:
        super().__init__()
        squeezed = max(channels // reduction, 1) if squeezed is None else squeezed
        self.squeeze = nn.Conv2d(channels, squeezed, 1)
        self.excite = nn.Conv2d(squeezed, channels, 1)

    def mean(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to what the weights are made from, (N, C, 1, 1) or (N, C, H, 1)."""
        return F.adaptive_avg_pool2d(x, 1)

    def weights(self, x: Tensor) -> Tensor:
        """What each channel is multiplied by, 0 to 1, in the shape of `mean`."""
        return torch.sigmoid(self.excite(F.relu(self.squeeze(self.mean(x)))))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weights(x)


class HardSqueezeExcitation(SqueezeExcitation):
    """MobileNetV3's form: ``relu6(y + 3) / 6`` in place of the sigmoid, a quarter of the channels squeezed.

    (N, C, H, W) to the same. Squeezed channels are rounded to a multiple of 8 (see `narrows.layers.widths.divisible`),
    as the authors' code does; the paper says one fourth.
    """

    def __init__(self, channels: int, reduction: int = 4) -> None:
        super().__init__(channels, squeezed=divisible(channels / reduction))

    def weights(self, x: Tensor) -> Tensor:
        return F.hardsigmoid(self.excite(F.relu(self.squeeze(self.mean(x)))))


class RunningSqueezeExcitation(SqueezeExcitation):
    """Squeeze-and-excitation whose mean is over the rows so far: row r is weighted by the mean of rows 0 to r.

    (N, C, H, W) to the same. No barrier: it carries one value for each channel from row to row and waits for none
    below, so that it runs in one pass and line by line. It is another function than `SqueezeExcitation`, equal to it in
    the last row only: train with it what is to run with it. The form is this project's own.
    """

    def mean(self, x: Tensor) -> Tensor:
        rows = torch.arange(1, x.shape[-2] + 1, dtype=x.dtype, device=x.device)
        return torch.cumsum(x.mean(dim=-1, keepdim=True), dim=-2) / rows.reshape(-1, 1)
