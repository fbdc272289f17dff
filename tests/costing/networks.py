"""Small networks with known faults of counters in them, and the reference networks at small sizes."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from narrows.networks.convnext import convnext_dense
from narrows.networks.deepwatermap import deepwatermap_v2
from narrows.networks.dilated import dilated
from narrows.networks.pyramid import two_output_pyramid
from narrows.networks.rowwise_water import rowwise_water
from narrows.networks.unet import unet

REFERENCES: dict[str, Callable[[], nn.Module]] = {
    "deepwatermap": lambda: deepwatermap_v2(),
    "unet": lambda: unet(6),
    "convnext": lambda: convnext_dense(6),
    "dilated": lambda: dilated(6),
    "pyramid": lambda: two_output_pyramid(6),
    "rowwise": lambda: rowwise_water(),
}


class Functional(nn.Module):
    """A convolution, grouped transposed convolution and product by functional calls, in a loop."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(8, 8, 3, 3))
        self.up = nn.Parameter(torch.randn(8, 2, 2, 2))
        self.mix = nn.Parameter(torch.randn(8, 8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for _ in range(3):
            x = F.relu(F.conv2d(x, self.weight, padding=1))
        x = F.conv_transpose2d(x, self.up, stride=2, groups=4)
        return torch.einsum("nchw,cd->ndhw", x, self.mix)

    @staticmethod
    def macs(height: int, width: int) -> int:
        pixels = height * width
        return 3 * pixels * 8 * 8 * 9 + pixels * 8 * 2 * 4 + 4 * pixels * 8 * 8


class Shared(nn.Module):
    """One convolution called three times."""

    def __init__(self) -> None:
        super().__init__()
        self.block = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.ReLU())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.block(self.block(self.block(x)))

    @staticmethod
    def macs(height: int, width: int) -> int:
        return 3 * height * width * 8 * 8 * 9


class Attention(nn.Module):
    """Self-attention over all pixels: projections, q k^T, weights times v, output projection."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = x.flatten(2).transpose(1, 2)
        return self.attention(tokens, tokens, tokens, need_weights=False)[0]

    @staticmethod
    def macs(height: int, width: int) -> int:
        pixels = height * width
        return pixels * 8 * 24 + 2 * pixels * pixels * 8 + pixels * 8 * 8


class Recurrent(nn.Module):
    """An LSTM of two directions and a GRU over the rows of each column."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(8, 6, bidirectional=True, batch_first=True)
        self.gru = nn.GRU(12, 5, num_layers=2, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        columns = x.permute(0, 3, 2, 1).flatten(0, 1)
        return self.gru(self.lstm(columns)[0])[0]

    @staticmethod
    def macs(height: int, width: int) -> int:
        lstm = 2 * 4 * 6 * (8 + 6)
        gru = 3 * 5 * (12 + 5) + 3 * 5 * (5 + 5)
        return height * width * (lstm + gru)


class Classifier(nn.Module):
    """Squeeze-and-excitation, global pooling and a linear head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(8, 16, 3, stride=2, padding=1)
        self.squeeze = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(16, 4, 1), nn.ReLU(), nn.Conv2d(4, 16, 1))
        self.head = nn.Linear(16, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        x = x * self.squeeze(x).sigmoid()
        return self.head(x.mean((2, 3)))

    @staticmethod
    def macs(height: int, width: int) -> int:
        return (height // 2) * (width // 2) * 16 * 8 * 9 + 2 * 16 * 4 + 16 * 10


COUNTED: dict[str, type] = {
    "functional": Functional,
    "shared": Shared,
    "attention": Attention,
    "recurrent": Recurrent,
    "classifier": Classifier,
}
