"""Train an imaging core on pairs of spoilt and clean images, in a run that can be interrupted."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Generator, Tensor, nn

from narrows.imaging.dead_leaves import LeafPool

__all__ = ["Draw", "Settings", "charbonnier", "leaf_pool", "train"]

Draw = Callable[[Tensor, Generator], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Settings:
    """How a core is trained.

    Attributes:
        steps: of Adam (betas 0.9 and 0.99), gradients clipped to a norm of 1.
        rate: the highest learning rate; it rises over the first `warm` steps and falls along half a cosine.
        batch: crops of a step.
        rows, columns: of a crop.
        seed: of the weights, the crops and the noise.
        warm: steps.
        save_every: steps between checkpoints.
    """

    steps: int = 1500
    rate: float = 6e-3
    batch: int = 8
    rows: int = 64
    columns: int = 64
    seed: int = 4
    warm: int = 100
    save_every: int = 250

    def rate_at(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        return self.rate * min((step + 1) / self.warm, 0.5 * (1 + math.cos(math.pi * step / self.steps)))


def charbonnier(made: Tensor, wanted: Tensor, width: float = 1e-3) -> Tensor:
    """Mean of sqrt(difference^2 + width^2): absolute difference rounded off at 0 (Charbonnier et al., ICIP 1994)."""
    return ((made - wanted).square() + width**2).sqrt().mean()


def leaf_pool(file: Path | None, plates: int = 128, seed: int = 31) -> LeafPool:
    """The dead-leaves images to train on; kept in `file` for the next training, if one is named."""
    if file is not None and file.exists():
        kept: LeafPool = torch.load(file, weights_only=False)
        return kept
    pool = LeafPool(plates, seed=seed)
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        torch.save(pool, file.with_suffix(".part"))
        file.with_suffix(".part").replace(file)
    return pool


def train(core: nn.Module, pool: LeafPool, draw: Draw, folder: Path, settings: Settings) -> float:
    """Train `core` in place on crops of `pool`, and leave it in eval mode.

    A checkpoint stands in `folder`; where one is found, training goes on from it.

    Args:
        draw: from clean crops (N, 3, rows, columns) and a generator to the inputs and the target.

    Returns:
        Seconds of processor time, those before an interruption included.
    """
    folder.mkdir(parents=True, exist_ok=True)
    optimiser = torch.optim.Adam(core.parameters(), settings.rate, betas=(0.9, 0.99))
    generator = Generator().manual_seed(settings.seed)
    checkpoint, first, before, running = folder / "checkpoint.pt", 0, 0.0, math.nan
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        core.load_state_dict(state["core"])
        optimiser.load_state_dict(state["optimiser"])
        generator.set_state(state["generator"])
        first, before, running = state["step"], state["seconds"], state["loss"]
    begun = time.process_time()
    core.train()
    for step in range(first, settings.steps):
        for group in optimiser.param_groups:
            group["lr"] = settings.rate_at(step)
        clean = pool.draw(settings.batch, settings.rows, settings.columns, generator)
        inputs, target = draw(clean, generator)
        loss = charbonnier(core(inputs), target)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(core.parameters(), 1.0)
        optimiser.step()
        running = loss.item() if math.isnan(running) else 0.98 * running + 0.02 * loss.item()
        if (step + 1) % settings.save_every == 0 or step + 1 == settings.steps:
            seconds = before + time.process_time() - begun
            print(f"step {step + 1} loss {running:.5f} {seconds:.0f} s", flush=True)
            state = {
                "core": core.state_dict(),
                "optimiser": optimiser.state_dict(),
                "generator": generator.get_state(),
                "step": step + 1,
                "seconds": seconds,
                "loss": running,
            }
            torch.save(state, checkpoint.with_suffix(".part"))
            checkpoint.with_suffix(".part").replace(checkpoint)
    core.eval()
    return before + time.process_time() - begun
