"""Self-attention that a row-by-row run can do: within each row, or within windows of rows.

A. Vaswani and others, "Attention Is All You Need", arXiv 1706.03762; within rows as in axial attention (J. Ho and
others, arXiv 1912.12180), within windows as in Swin (Z. Liu and others, arXiv 2103.14030). Over all pixels attention
needs every row before the first can be made, and H W scores for each of H W pixels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from narrows.layers.convnext import ChannelNorm

__all__ = ["RowAttention", "WindowAttention"]


class _Attention(nn.Module):
    """``x + project(attention(norm(x)))``: what attends to what is said by `tokens` and its inverse, `pixels`."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        if channels % heads:
            raise ValueError(f"{channels} channels can't be shared among {heads} heads")
        self.heads = heads
        self.norm = ChannelNorm(channels, eps=1e-6)
        self.parts = nn.Linear(channels, 3 * channels)
        self.project = nn.Linear(channels, channels)

    def attended(self, tokens: Tensor, bias: Tensor | None = None) -> Tensor:
        """(G, T, C) to the same: in each of G groups every token attends to all T."""
        groups, count, channels = tokens.shape
        parts = self.parts(tokens).reshape(groups, count, 3, self.heads, channels // self.heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4).unbind(0)
        found = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        return self.project(found.transpose(1, 2).reshape(groups, count, channels))


class RowAttention(_Attention):
    """Residual attention of every pixel to its whole row, (N, C, H, W) to the same.

    It reaches across the image and needs no other row. W^2 scores for each row and head are held, so that a strip of
    n rows needs about 2 n W^2 heads values of scratch memory. Positions aren't told apart: put convolutions before it.

    Args:
        heads: must divide `channels`.

    Raises:
        ValueError: `heads` doesn't divide `channels`.
    """

    def __init__(self, channels: int, heads: int = 4) -> None:
        super().__init__(channels, heads)

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        tokens = self.norm(x).permute(0, 2, 3, 1).reshape(batch * height, width, channels)
        found = self.attended(tokens).reshape(batch, height, width, channels)
        return x + found.permute(0, 3, 1, 2)


class WindowAttention(_Attention):
    """Residual attention within windows that don't overlap, (N, C, H, W) to the same.

    A row of the output needs the rows of its window, so it waits for at most ``window[0] - 1`` rows below. A learnt
    bias tells places within a window apart, by their distance in rows and columns. Sides that are no multiple of the
    window are padded below and on the right by replication, and cropped again.

    Args:
        heads: must divide `channels`.
        window: rows and columns.

    Raises:
        ValueError: `heads` doesn't divide `channels`.
    """

    places: Tensor

    def __init__(self, channels: int, heads: int = 4, window: tuple[int, int] = (4, 32)) -> None:
        super().__init__(channels, heads)
        self.window = window
        rows, columns = window
        self.bias = nn.Parameter(torch.zeros((2 * rows - 1) * (2 * columns - 1), heads))
        nn.init.trunc_normal_(self.bias, std=0.02)
        y, x = (index.flatten() for index in torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij"))
        down, along = y[:, None] - y + rows - 1, x[:, None] - x + columns - 1
        self.register_buffer("places", down * (2 * columns - 1) + along, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        rows, columns = self.window
        below, right = -height % rows, -width % columns
        padded = F.pad(x, (0, right, 0, below), mode="replicate") if below or right else x
        high, wide = (height + below) // rows, (width + right) // columns
        tokens = self.norm(padded).reshape(batch, channels, high, rows, wide, columns).permute(0, 2, 4, 3, 5, 1)
        bias = self.bias[self.places.flatten()].reshape(*self.places.shape, self.heads).permute(2, 0, 1)
        found = self.attended(tokens.reshape(-1, rows * columns, channels), bias)
        found = found.reshape(batch, high, wide, rows, columns, channels).permute(0, 5, 1, 3, 2, 4)
        return x + found.reshape(batch, channels, height + below, width + right)[..., :height, :width]
