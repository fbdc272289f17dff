"""The loss of the water networks."""

from __future__ import annotations

from torch import Tensor

from narrows.training.losses import adaptive_max_pool_loss, masked_cross_entropy
from narrows.water.recipes.augmentation import Batch

__all__ = ["HARD_SHARE", "loss_of"]

HIDDEN_SHARE, HARD_SHARE = 0.5, 12.0


def loss_of(logits: Tensor, batch: Batch, hard: float = HARD_SHARE) -> Tensor:
    """Cross-entropy of water, half that of hidden, and `hard` times the adaptive max-pool loss of water.

    That one is small: where the cross-entropy is 1 and nothing around is worse it is 1/16. Twelve times it, narrow
    waters are learned that are lost with a quarter.
    """
    logits = logits.float()
    water = (logits[:, :1], batch.target[:, :1], batch.weight[:, :1])
    hidden = (logits[:, 1:], batch.target[:, 1:], batch.weight[:, 1:])
    loss = masked_cross_entropy(*water) + HIDDEN_SHARE * masked_cross_entropy(*hidden)
    return loss + hard * adaptive_max_pool_loss(*water) if hard else loss
