"""What each step of a training is taught by: crops of scenes, simulated chips, and the loss."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Generator, Tensor, nn

from narrows.errors import InputError
from narrows.water.recipes.augmentation import Batch, join, vary
from narrows.water.recipes.loss import loss_of
from narrows.water.recipes.pool import as_batch, labels_of
from narrows.water.simulation import simulate_chip
from narrows.water.training.crops import varied_crops
from narrows.water.training.labels import blanked
from narrows.water.training.windows import RandomWindows

__all__ = ["Lessons"]

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
        parts = [varied_crops(self.windows, self.real, generator)]
        if self.simulated:
            seeds = torch.randint(_SEEDS, (self.simulated,), generator=generator).tolist()
            parts.append(vary(join([_simulated(seed, self.side) for seed in seeds]), generator, strength=0.5))
        return blanked(join(parts))

    def loss(self, model: nn.Module, generator: Generator) -> Tensor:
        """The loss that the weights of narrows were trained with, on the next batch.

        Raises:
            InputError: it isn't finite any more.
        """
        batch = self.batch(generator)
        x = batch.reflectance.to(self.device).contiguous(memory_format=torch.channels_last)
        taught = Batch(x, batch.target.to(self.device), batch.weight.to(self.device))
        loss = loss_of(model.logits(x), taught)  # type: ignore[operator]
        if not torch.isfinite(loss):
            raise InputError(
                "the loss is no number any more: the training has failed; begin again with a smaller --rate"
            )
        return loss


def _simulated(seed: int, side: int) -> Batch:
    chip = simulate_chip(side, side, seed)
    reflectance = np.where(chip.known, chip.reflectance, np.float32(np.nan)).astype(np.float32)
    return as_batch(torch.from_numpy(reflectance)[None], torch.from_numpy(labels_of(chip))[None])
