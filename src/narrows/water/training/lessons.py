"""What each step of a training is taught by: crops of scenes, simulated chips, and the loss."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Generator, Tensor, nn

from narrows.errors import InputError
from narrows.training.losses import adaptive_max_pool_loss, masked_cross_entropy
from narrows.water.recipes.augmentation import Batch
from narrows.water.recipes.pool import labels_of
from narrows.water.simulation import simulate_chip
from narrows.water.training.labels import batch_of, varied
from narrows.water.training.windows import RandomWindows

__all__ = ["Lessons"]

_HIDDEN_SHARE = 0.5
_HARD_SHARE = 0.25
_SEEDS = 2**31 - 1


@dataclass(frozen=True)
class Lessons:
    """Draws a varied batch, and gives the loss of a network on it.

    Attributes:
        windows: crops of the user's scenes. real: of these in a batch. simulated: chips simulated for a batch.
        side: of each. device: where the network is.
    """

    windows: RandomWindows
    real: int
    simulated: int
    side: int
    device: torch.device

    def batch(self, generator: Generator) -> Batch:
        """The next batch; reproducible from the generator's state."""
        parts = [batch_of(*self.windows.draw(self.real, generator))]
        parts += [
            _simulated(int(torch.randint(_SEEDS, (), generator=generator)), self.side) for _ in range(self.simulated)
        ]
        together = Batch(
            torch.cat([part.reflectance for part in parts]),
            torch.cat([part.target for part in parts]),
            torch.cat([part.weight for part in parts]),
        )
        return varied(together, generator)

    def loss(self, model: nn.Module, generator: Generator) -> Tensor:
        """Cross-entropy of water and (by half) of hidden, and a quarter of the adaptive max-pool loss of water.

        Raises:
            InputError: it isn't finite any more.
        """
        batch = self.batch(generator)
        x = batch.reflectance.to(self.device).contiguous(memory_format=torch.channels_last)
        logits: Tensor = model.logits(x)  # type: ignore[operator]
        target, weight = batch.target.to(self.device), batch.weight.to(self.device)
        water, hidden = ((logits[:, k : k + 1], target[:, k : k + 1], weight[:, k : k + 1]) for k in (0, 1))
        loss = masked_cross_entropy(*water) + _HIDDEN_SHARE * masked_cross_entropy(*hidden)
        loss = loss + _HARD_SHARE * adaptive_max_pool_loss(*water)
        if not torch.isfinite(loss):
            raise InputError(
                "the loss is no number any more: the training has failed; begin again with a smaller --rate"
            )
        return loss


def _simulated(seed: int, side: int) -> Batch:
    chip = simulate_chip(side, side, seed)
    reflectance = np.where(chip.known, chip.reflectance, np.float32(np.nan)).astype(np.float32)
    labels = torch.from_numpy(labels_of(chip))[None].float() / 255
    return Batch(torch.from_numpy(reflectance)[None], labels[:, 0::2].contiguous(), labels[:, 1::2].contiguous())
