"""Spatial attention: pixels weighted by what their surroundings hold.

S. Woo, J. Park, J.-Y. Lee, I. S. Kweon, "CBAM: Convolutional Block Attention Module", arXiv 1807.06521.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["SpatialAttention"]


class SpatialAttention(nn.Module):
    """``x * sigmoid(convolution([mean over channels, maximum over channels]))``, (N, C, H, W) to the same.

    The mean and the maximum are those of each pixel by itself, so its reach is that of the convolution, 3 rows up and
    down for 7 x 7: it streams.

    Args:
        kernel: odd side of the convolution; 7 in the paper. It has 2 x kernel x kernel weights and no bias.
    """

    def __init__(self, kernel: int = 7) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(2, 1, kernel, padding=kernel // 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        seen = torch.cat([x.mean(dim=1, keepdim=True), x.amax(dim=1, keepdim=True)], dim=1)
        return x * torch.sigmoid(self.convolution(seen))
