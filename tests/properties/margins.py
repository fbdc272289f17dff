"""How far step functions are from deciding otherwise."""

from __future__ import annotations

import torch
import torch.nn.functional as F

__all__ = ["of_maxima"]


def of_maxima(q: torch.Tensor, kernel: tuple[int, int]) -> torch.Tensor:
    """Of each window of `kernel` side by side in (N, C, H, W), the largest less the second largest, at each pixel of
    the window; infinite where there is no window."""
    batch, channels, height, width = q.shape
    high, wide = height // kernel[0], width // kernel[1]
    windows = F.unfold(q.reshape(-1, 1, height, width), kernel, stride=kernel)
    margin = windows.topk(2, 1)[0].diff(dim=1).abs().view(batch, channels, high, wide)
    spread = margin.repeat_interleave(kernel[0], 2).repeat_interleave(kernel[1], 3)
    return F.pad(spread, (0, width - wide * kernel[1], 0, height - high * kernel[0]), value=torch.inf)
