"""Squeeze-and-excitation, spatial attention and self-attention against their formulas and PyTorch's own layers."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from narrows.layers.self_attention import RowAttention, WindowAttention
from narrows.layers.spatial_attention import SpatialAttention
from narrows.layers.squeeze_excitation import (
    HardSqueezeExcitation,
    RunningSqueezeExcitation,
    SqueezeExcitation,
)
from narrows.layers.widths import divisible


def parameters(block: nn.Module) -> int:
    return sum(parameter.numel() for parameter in block.parameters())


def excited(block: SqueezeExcitation, mean: torch.Tensor) -> torch.Tensor:
    """(C) means to (C) pre-activations, by plain products of matrices."""
    squeezed = torch.relu(block.squeeze.weight[..., 0, 0] @ mean + block.squeeze.bias)
    return block.excite.weight[..., 0, 0] @ squeezed + block.excite.bias


@torch.no_grad()
def test_squeeze_and_excitation_is_the_papers_formula():
    torch.manual_seed(0)
    block, x = SqueezeExcitation(32, 16), torch.randn(1, 32, 5, 7)
    weights = 1 / (1 + torch.exp(-excited(block, x[0].mean((1, 2)))))
    torch.testing.assert_close(block(x)[0], x[0] * weights[:, None, None])
    assert parameters(block) == 2 * 32 * 2 + 32 + 2


@torch.no_grad()
def test_mobilenets_form_is_hard():
    torch.manual_seed(0)
    block, x = HardSqueezeExcitation(72), 9 * torch.randn(1, 72, 4, 4)
    weights = (excited(block, x[0].mean((1, 2))) + 3).clamp(0, 6) / 6
    torch.testing.assert_close(block(x)[0], x[0] * weights[:, None, None])
    assert block.squeeze.out_channels == 24  # 18, which is a quarter, rounded to 8s without losing a tenth


@torch.no_grad()
def test_the_running_form_knows_the_rows_so_far_and_ends_as_the_whole_one():
    torch.manual_seed(0)
    running, x = RunningSqueezeExcitation(8, 4), torch.randn(2, 8, 9, 5)
    whole = SqueezeExcitation(8, 4)
    whole.load_state_dict(running.state_dict())
    for row in range(9):
        torch.testing.assert_close(running(x)[..., row, :], whole(x[..., : row + 1, :])[..., row, :])


@torch.no_grad()
def test_spatial_attention_is_the_papers_formula():
    torch.manual_seed(0)
    block, x = SpatialAttention(), torch.randn(2, 6, 9, 8)
    seen = torch.stack([x.mean(1), x.max(1).values], 1)
    torch.testing.assert_close(block(x), x * F.conv2d(seen, block.convolution.weight, padding=3).sigmoid())
    assert parameters(block) == 98


def peer(block: RowAttention | WindowAttention, tokens: torch.Tensor, bias: torch.Tensor | None = None):
    """PyTorch's multi-head attention with the block's weights."""
    channels = tokens.shape[-1]
    attention = nn.MultiheadAttention(channels, block.heads, batch_first=True)
    attention.in_proj_weight.copy_(block.parts.weight)
    attention.in_proj_bias.copy_(block.parts.bias)
    attention.out_proj.load_state_dict(block.project.state_dict())
    mask = None if bias is None else bias.repeat(tokens.shape[0], 1, 1)
    return attention(tokens, tokens, tokens, attn_mask=mask, need_weights=False)[0]


@torch.no_grad()
def test_row_attention_is_multi_head_attention_within_each_row():
    torch.manual_seed(0)
    block, x = RowAttention(8, heads=2), torch.randn(1, 8, 3, 6)
    for row in range(3):
        tokens = F.layer_norm(x[0, :, row].T, (8,), block.norm.weight, block.norm.bias, 1e-6)[None]
        torch.testing.assert_close(block(x)[0, :, row], x[0, :, row] + peer(block, tokens)[0].T)


@torch.no_grad()
def test_window_attention_is_multi_head_attention_within_each_window():
    torch.manual_seed(0)
    block, x = WindowAttention(8, heads=2, window=(2, 3)), torch.randn(1, 8, 4, 6)
    block.bias.normal_()
    bias = torch.empty(2, 6, 6)
    for a in range(6):
        for b in range(6):
            down, along = a // 3 - b // 3, a % 3 - b % 3
            bias[:, a, b] = block.bias[(down + 1) * 5 + along + 2]
    for top in (0, 2):
        for left in (0, 3):
            window = x[0, :, top : top + 2, left : left + 3].reshape(8, 6)
            tokens = F.layer_norm(window.T, (8,), block.norm.weight, block.norm.bias, 1e-6)[None]
            expected = window + peer(block, tokens, bias)[0].T
            torch.testing.assert_close(block(x)[0, :, top : top + 2, left : left + 3].reshape(8, 6), expected)


@torch.no_grad()
def test_windows_beyond_the_border_see_its_pixels_repeated():
    torch.manual_seed(0)
    block, x = WindowAttention(4, heads=1, window=(4, 4)), torch.randn(1, 4, 6, 5)
    padded = F.pad(x, (0, 3, 0, 2), mode="replicate")
    torch.testing.assert_close(block(x), block(padded)[..., :6, :5])


@pytest.mark.parametrize("block", [RowAttention, WindowAttention])
def test_heads_must_divide_the_channels(block):
    with pytest.raises(ValueError, match="8 channels can't be shared among 3 heads"):
        block(8, heads=3)


@pytest.mark.parametrize(
    ("wanted", "rounded"), [(3, 8), (12, 16), (18, 24), (30, 32), (33.6, 32), (44.8, 48), (92, 96), (1792, 1792)]
)
def test_widths_are_rounded_to_eights(wanted, rounded):
    assert divisible(wanted) == rounded
