"""Which blocks run strip by strip, and that they do so exactly; which are barriers, and that they are refused."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import narrows
from narrows.errors import NotStreamableError
from narrows.layers.constant_memory import ConstantMemoryDown, ConstantMemoryUp
from narrows.layers.convnext import ConvNeXtBlock
from narrows.layers.fire import Fire
from narrows.layers.inverted_residual import InvertedResidual
from narrows.layers.nasnet_cells import FactorizedReduction, NASNetNormalCell, NASNetReductionCell
from narrows.layers.residual import BasicBlock, Bottleneck
from narrows.layers.self_attention import RowAttention, WindowAttention
from narrows.layers.separable import ThreeWaySeparable
from narrows.layers.shuffle import ShuffleDownUnit, ShuffleUnit
from narrows.layers.spatial_attention import SpatialAttention
from narrows.layers.squeeze_excitation import (
    HardSqueezeExcitation,
    RunningSqueezeExcitation,
    SqueezeExcitation,
)


class _TwoCells(nn.Module):
    """Cells take two inputs: the second one's earlier input is the first one's own."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = NASNetReductionCell(8, None, 4), NASNetNormalCell(16, 8, 4, halved=True)

    def forward(self, x):
        return self.second(self.first(x, x), x)


STREAMABLE = {
    "row attention": lambda: RowAttention(8, heads=2),
    "window attention": lambda: WindowAttention(8, heads=2, window=(3, 4)),
    "running squeeze-and-excitation": lambda: RunningSqueezeExcitation(8, 4),
    "spatial attention": SpatialAttention,
    "constant memory down": lambda: ConstantMemoryDown(8),
    "constant memory up": lambda: ConstantMemoryUp(2),
    "convnext": lambda: ConvNeXtBlock(8),
    "fire": lambda: Fire(8, 4, 5),
    "inverted residual": lambda: InvertedResidual(8, 8, 24),
    "inverted residual, strided": lambda: InvertedResidual(8, 5, 24, stride=2, kernel=5, activation=nn.Hardswish),
    "basic block": lambda: BasicBlock(8, 8),
    "bottleneck": lambda: Bottleneck(8, 16, stride=2),
    "shuffle unit": lambda: ShuffleUnit(8),
    "shuffle unit, down": lambda: ShuffleDownUnit(8, 12),
    "factorized reduction": lambda: FactorizedReduction(8, 6),
    "nasnet cells": _TwoCells,
    "three-way separable": lambda: ThreeWaySeparable(8, 5, rows=5, columns=7),
}
BARRIERS = {
    "squeeze-and-excitation": lambda: SqueezeExcitation(8, 4),
    "hard squeeze-and-excitation": lambda: HardSqueezeExcitation(8),
    "squeezed shuffle unit": lambda: ShuffleUnit(8, reduction=2),
    "squeezed bottleneck": lambda: Bottleneck(8, 16, reduction=4),
    "squeezed inverted residual": lambda: InvertedResidual(8, 8, 24, squeeze=True),
}


def settled(block: nn.Module, dtype: torch.dtype) -> nn.Module:
    """In eval mode, batch norms as after some training."""
    for part in block.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_(0.0, 0.3)
            part.running_var.uniform_(0.5, 1.5)
    return block.to(dtype).eval()


@pytest.mark.parametrize("size", [(13, 9), (24, 16)])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
@pytest.mark.parametrize("name", STREAMABLE)
def test_streamed_equals_full_frame(name, dtype, tolerance, size):
    torch.manual_seed(0)
    block = settled(STREAMABLE[name](), dtype)
    image = torch.randn(2, 8, *size, dtype=dtype)
    with torch.no_grad():
        whole = block(image)
    for strip in (1, 5, 100):
        streamed = narrows.stream(block, image, strip=strip)
        assert streamed.shape == whole.shape
        assert (streamed - whole).abs().max() <= tolerance * whole.abs().max()


@pytest.mark.parametrize("name", BARRIERS)
def test_squeeze_and_excitation_is_refused_as_a_barrier(name):
    block = settled(BARRIERS[name](), torch.float32)
    with pytest.raises(NotStreamableError, match="every row"):
        narrows.plan(block, 32, 32, channels=8)


def test_window_attention_waits_for_no_more_than_its_window():
    block = settled(WindowAttention(8, heads=2, window=(4, 8)), torch.float32)
    assert narrows.plan(block, 64, 16, channels=8, strip=1).delay <= 4
    assert narrows.plan(settled(RowAttention(8, 2), torch.float32), 64, 16, channels=8, strip=1).delay <= 1
