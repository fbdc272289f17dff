"""Networks that give (water, hidden) as networks of one output, which one sink can follow."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

__all__ = ["WaterAndHidden", "WaterOnly"]


class WaterOnly(nn.Module):
    """The first output of `network`, (N, 1, H, W)."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, reflectance: Tensor) -> Tensor:
        water: Tensor = self.network(reflectance)[0]
        return water


class WaterAndHidden(nn.Module):
    """Both outputs of `network` as channels, (N, 2, H, W): its logits, which lie together, made probabilities."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, reflectance: Tensor) -> Tensor:
        logits: Tensor = cast(Any, self.network).logits(reflectance)
        return torch.sigmoid(logits)
