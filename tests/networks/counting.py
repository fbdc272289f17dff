"""Counts of parameters and multiply-accumulates: PyTorch's own counter, and sums by hand from a list of layers."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


def parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def norm_parameters(model: nn.Module) -> int:
    return sum(parameters(part) for part in model.modules() if isinstance(part, nn.BatchNorm2d))


def macs(model: nn.Module, size: int = 224) -> int:
    """Multiply-accumulates of convolutions and products of matrices, as PyTorch counts them (two operations each)."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.eval().to("meta")(torch.empty(1, 3, size, size, device="meta"))
    return counter.get_total_flops() // 2


@dataclass
class Sums:
    """Adds up a network that is read out layer by layer; `size` is the side of the square image at hand."""

    size: int
    channels: int = 3
    parameters: int = 0
    macs: int = 0

    def conv(
        self,
        channels: int,
        kernel: int = 1,
        *,
        stride: int = 1,
        depthwise: bool = False,
        bias: bool = False,
        norm: bool = True,
        valid: bool = False,
        stay: bool = False,
    ) -> Sums:
        """A convolution and its batch norm; with `stay` beside the path, which keeps its channels and size."""
        side = (self.size - kernel) // stride + 1 if valid else -(-self.size // stride)
        weights = kernel * kernel * channels * (1 if depthwise else self.channels)
        self.parameters += weights + channels * bias + 2 * channels * norm
        self.macs += weights * side * side
        if not stay:
            self.size, self.channels = side, channels
        return self

    def pool(self, *, ceil: bool = False) -> Sums:
        """3 x 3 at stride 2; unpadded and rounded up with `ceil`."""
        self.size = -(-(self.size - 3) // 2) + 1 if ceil else -(-self.size // 2)
        return self

    def excite(self, squeezed: int) -> Sums:
        self.parameters += 2 * self.channels * squeezed + self.channels + squeezed
        self.macs += 2 * self.channels * squeezed
        return self

    def linear(self, outputs: int) -> Sums:
        self.size = 1
        return self.conv(outputs, bias=True, norm=False)
