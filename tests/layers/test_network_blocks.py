"""Shapes, counts and formulas of the blocks that published networks are made of."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from narrows.layers.constant_memory import ConstantMemoryDown, ConstantMemoryUp
from narrows.layers.convnext import ChannelNorm
from narrows.layers.fire import Fire
from narrows.layers.inverted_residual import InvertedResidual
from narrows.layers.nasnet_cells import (
    FactorizedReduction,
    NASNetNormalCell,
    NASNetReductionCell,
    SeparableTwice,
)
from narrows.layers.residual import BasicBlock, Bottleneck
from narrows.layers.separable import ThreeWaySeparable
from narrows.layers.shuffle import ShuffleDownUnit, ShuffleUnit, channel_shuffle
from narrows.layers.squeeze_excitation import HardSqueezeExcitation, SqueezeExcitation


def parameters(block: nn.Module) -> int:
    return sum(parameter.numel() for parameter in block.parameters())


def halved(size: tuple[int, int]) -> tuple[int, ...]:
    return tuple(-(-side // 2) for side in size)


SIZES = pytest.mark.parametrize("size", [(8, 12), (7, 9), (1, 5)])


@SIZES
def test_constant_memory_scaling_keeps_the_number_of_values(size):
    x = torch.rand(1, 4, *size)
    down = ConstantMemoryDown(4).eval()(x)
    assert down.shape == (1, 16, *halved(size))
    assert ConstantMemoryUp(4).eval()(down).shape == (1, 4, *(2 * side for side in halved(size)))
    assert down.numel() == x.numel() or any(side % 2 for side in size)


def test_channel_shuffle_is_pytorchs_and_undone_by_its_opposite():
    x = torch.arange(12.0).reshape(1, 12, 1, 1)
    assert torch.equal(channel_shuffle(x, 3), nn.ChannelShuffle(3)(x))
    assert channel_shuffle(x, 3).flatten().tolist() == [0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11]
    assert torch.equal(channel_shuffle(channel_shuffle(x, 3), 4), x)


@SIZES
def test_shuffle_units(size):
    x = torch.rand(2, 8, *size)
    unit = ShuffleUnit(8).eval()
    assert unit(x).shape == x.shape
    assert torch.equal(unit(x)[:, ::2], x[:, :4])  # half of the channels pass, in every other place
    down = ShuffleDownUnit(8, 12).eval()
    assert down(x).shape == (2, 12, *halved(size))
    assert (down.short(x).shape[1], down.branch(x).shape[1]) == (8, 4)
    # 4 to 4 twice, 9 weights a channel; each with the weight and bias of its norm.
    assert parameters(unit) == 2 * 16 + 4 * 9 + 3 * 8


@pytest.mark.parametrize("channels", [8, 6, 13])
def test_a_shuffle_unit_that_halves_the_sides_makes_more_channels(channels):
    with pytest.raises(ValueError, match=f"more than the 8 it takes, not {channels}"):
        ShuffleDownUnit(8, channels)


def test_a_shuffle_units_squeeze_is_in_its_branch():
    squeezes = [part for part in ShuffleUnit(32, reduction=4).modules() if isinstance(part, SqueezeExcitation)]
    assert [(part.squeeze.in_channels, part.squeeze.out_channels) for part in squeezes] == [(16, 4)]


def test_fire():
    torch.manual_seed(0)
    fire, x = Fire(6, 3, 5), torch.randn(1, 6, 7, 8)
    squeezed = F.relu(fire.squeeze(x))
    torch.testing.assert_close(fire(x)[:, :5], F.relu(fire.expand_1x1(squeezed)))
    torch.testing.assert_close(fire(x)[:, 5:], F.relu(fire.expand_3x3(squeezed)))
    assert parameters(fire) == (6 + 1) * 3 + (3 + 1) * 5 + (3 * 9 + 1) * 5


@SIZES
def test_inverted_residual(size):
    x = torch.randn(2, 8, *size)
    block = InvertedResidual(8, 8, 48).eval()
    torch.testing.assert_close(block(x), x + block.layers(x))
    assert parameters(block) == 8 * 48 + 9 * 48 + 48 * 8 + 2 * (48 + 48 + 8)
    assert InvertedResidual(8, 8, 48, stride=2).eval()(x).shape == (2, 8, *halved(size))
    assert InvertedResidual(8, 5, 8).eval()(x).shape == (2, 5, *size)
    assert parameters(InvertedResidual(8, 5, 8)) == 9 * 8 + 8 * 5 + 2 * (8 + 5)


def test_the_bottleneck_is_linear_and_the_squeeze_before_it():
    layers = list(InvertedResidual(8, 8, 48, squeeze=True).layers)
    assert isinstance(layers[-1], nn.BatchNorm2d) and isinstance(layers[-3], HardSqueezeExcitation)


@SIZES
@pytest.mark.parametrize("reduction", [None, 4])
def test_resnet_blocks(size, reduction):
    x = torch.randn(1, 16, *size)
    for block in (BasicBlock(16, 16, reduction=reduction), Bottleneck(16, 16, reduction=reduction)):
        block.eval()
        torch.testing.assert_close(block(x), F.relu(x + block.branch(x)))
        assert any(isinstance(part, SqueezeExcitation) for part in block.modules()) == (reduction is not None)
    for block in (BasicBlock(16, 32, stride=2), Bottleneck(16, 32, stride=2), Bottleneck(16, 32, stride=2)):
        assert block.eval()(x).shape == (1, 32, *halved(size))
    assert parameters(BasicBlock(16, 16)) == 2 * (9 * 16 * 16 + 32)
    assert parameters(Bottleneck(16, 32)) == 16 * 8 + 9 * 64 + 8 * 32 + 2 * (8 + 8 + 32) + 16 * 32 + 2 * 32


def test_where_a_bottlenecks_stride_is():
    def strides(block: nn.Module) -> list[int]:
        return [part.stride[0] for part in block.branch.modules() if isinstance(part, nn.Conv2d)]

    assert strides(Bottleneck(16, 32, stride=2)) == [2, 1, 1]
    assert strides(Bottleneck(16, 32, stride=2, stride_first=False)) == [1, 2, 1]


@torch.no_grad()
def test_three_way_separable_is_a_convolution_of_rank_one():
    torch.manual_seed(0)
    block, x = ThreeWaySeparable(3, 4, rows=3, columns=5), torch.randn(2, 3, 9, 8)
    kernel = block.vertical.weight * block.horizontal.weight  # (3, 1, 3, 1) by (3, 1, 1, 5)
    full = block.pointwise.weight * kernel.permute(1, 0, 2, 3)
    expected = F.conv2d(x, full, block.pointwise.bias, padding=(1, 2))
    torch.testing.assert_close(block(x), expected, rtol=1e-4, atol=1e-5)
    assert parameters(block) == 3 * (3 + 5) + 3 * 4 + 4


def test_channel_norm_is_layer_norm_of_each_pixel():
    x = torch.randn(2, 5, 3, 4)
    expected = (x - x.mean(1, keepdim=True)) / (x.var(1, keepdim=True, unbiased=False) + 1e-6).sqrt()
    torch.testing.assert_close(ChannelNorm(5, eps=1e-6)(x), expected)


@SIZES
def test_nasnet_cells(size):
    x, before = torch.rand(1, 10, *size), torch.rand(1, 7, *size)
    normal, reduction = NASNetNormalCell(10, 7, 4).eval(), NASNetReductionCell(10, 7, 4).eval()
    assert normal(x, before).shape == (1, 24, *size)
    assert reduction(x, before).shape == (1, 16, *halved(size))
    finer = torch.rand(1, 7, *(2 * side - side % 2 for side in size))
    assert NASNetNormalCell(10, 7, 4, halved=True).eval()(x, finer).shape == (1, 24, *size)
    # 1 x 1 entries; two separable convolutions for each of five (normal: 5, 3, 5, 3, 3; reduction: 5, 7, 7, 5, 3).
    entries = (10 * 4 + 8) + (7 * 4 + 8)
    assert parameters(normal) == entries + sum(2 * (4 * k * k + 16 + 8) for k in (5, 3, 5, 3, 3))
    assert parameters(reduction) == entries + sum(2 * (4 * k * k + 16 + 8) for k in (5, 7, 7, 5, 3))


@pytest.mark.parametrize("size", [(8, 12), (7, 9)])
def test_nasnets_strided_convolutions_pad_as_tensorflow_does(size):
    torch.manual_seed(0)
    block, x = SeparableTwice(3, 3, 5, 2).eval(), torch.randn(1, 3, *size)
    first = block[0]
    (top, bottom), (left, right) = [(2, 2) if side % 2 else (1, 2) for side in size]
    padded = F.pad(F.relu(x), (left, right, top, bottom))
    y = F.conv2d(padded, first.depthwise.weight, stride=2, groups=3)
    torch.testing.assert_close(first(x), first.norm(first.pointwise(y)))


@torch.no_grad()
def test_factorized_reduction_takes_even_pixels_and_odd_ones():
    block, x = FactorizedReduction(1, 2).eval(), torch.arange(1.0, 21.0).reshape(1, 1, 4, 5)
    block.even.weight.fill_(1)
    block.odd.weight.fill_(1)
    even, odd = (block(x) * (1 + 1e-3) ** 0.5)[0]
    torch.testing.assert_close(even, x[0, 0, ::2, ::2])
    torch.testing.assert_close(odd, F.pad(x[0, 0, 1::2, 1::2], (0, 1)))
