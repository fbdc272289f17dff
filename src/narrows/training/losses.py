"""Losses for maps with unknown pixels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["adaptive_max_pool_loss", "masked_cross_entropy"]


def masked_cross_entropy(logits: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Binary cross-entropy averaged over pixels by `weight` (0 where the truth is unknown).

    All three are float tensors of one shape; the result is a scalar, 0 where no pixel is known.
    """
    loss = F.binary_cross_entropy_with_logits(logits, target, reduction="none") * weight
    return loss.sum() / weight.sum().clamp_min(1.0)


def adaptive_max_pool_loss(
    logits: Tensor, target: Tensor, weight: Tensor, *, scale: float = 0.25, window: int = 8
) -> Tensor:
    """Cross-entropy times its own largest neighbour, so that isolated hard places count (DeepWaterMap, 2019).

    The pixel loss, scaled by `scale`, is multiplied by its maximum over a `window` x `window` neighbourhood (stride 1);
    Isikdogan, Bovik, Passalacqua, IEEE GRSL 2019. Unknown pixels take part in neither factor.

    Args:
        logits, target, weight: float (N, C, H, W).
    """
    loss = scale * F.binary_cross_entropy_with_logits(logits, target, reduction="none") * (weight > 0)
    before, after = (window - 1) // 2, window // 2
    # The largest of a square is the largest of its rows' largest.
    rows = F.max_pool2d(F.pad(loss, (before, after, before, after)), (1, window), stride=1)
    around = F.max_pool2d(rows, (window, 1), stride=1)
    weighted = loss * around * weight
    return weighted.sum() / torch.clamp_min(weight.sum(), 1.0)
