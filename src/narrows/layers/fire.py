"""SqueezeNet's Fire module.

F. N. Iandola and others, "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and < 0.5 MB model size", arXiv
1602.07360.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["Fire"]


class Fire(nn.Module):
    """(N, channels_in, H, W) to (N, 2 expanded, H, W): 1 x 1 down to `squeezed`, then 1 x 1 and 3 x 3 side by side.

    All three have a bias and ReLU.
    """

    def __init__(self, channels_in: int, squeezed: int, expanded: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels_in, squeezed, 1)
        self.expand_1x1 = nn.Conv2d(squeezed, expanded, 1)
        self.expand_3x3 = nn.Conv2d(squeezed, expanded, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.squeeze(x))
        return F.relu(torch.cat([self.expand_1x1(x), self.expand_3x3(x)], dim=1))
