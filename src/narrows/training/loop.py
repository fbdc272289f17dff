"""A training loop that can be interrupted and goes on, with averaged weights and early stop."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

__all__ = ["LoopSettings", "Step", "fit"]


@dataclass(frozen=True)
class LoopSettings:
    """How a network is trained: AdamW, warm-up and cosine decay, moving average of the weights.

    Attributes:
        steps: of the optimiser.
        rate: the highest learning rate; it rises over the first `warm` steps and falls along half a cosine.
        warm: steps.
        decay: weight decay of AdamW.
        average: what of the averaged weights each step keeps; towards the beginning less, so that the random weights
            are soon forgotten.
        clip: largest norm of the gradient.
        seed: of the batches.
        half: compute in bfloat16 where PyTorch's autocast does; weights and loss stay float32.
        save_every: steps between checkpoints.
        validate_every: steps between validations, 0 for none.
        patience: validations without a better one after which training stops, 0 for never.
    """

    steps: int
    rate: float = 2e-3
    warm: int = 150
    decay: float = 0.02
    average: float = 0.998
    clip: float = 1.0
    seed: int = 0
    half: bool = False
    save_every: int = 250
    validate_every: int = 0
    patience: int = 0

    def rate_at(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        falling = 0.5 * (1 + math.cos(math.pi * min(step / self.steps, 1))) + 1e-3
        return self.rate * min((step + 1) / max(self.warm, 1), falling)


@dataclass(frozen=True)
class Step:
    """What is told while training.

    Attributes:
        step: steps done. loss: moving average. seconds: of training so far, earlier runs included. score: of the
            averaged weights, where this step was validated. best: whether it is the best so far. noted: whether a
            checkpoint was saved or the weights validated at this step, so that it belongs into a log.
    """

    step: int
    loss: float
    seconds: float
    score: float | None = None
    best: bool = False
    noted: bool = True


@dataclass
class _Progress:
    step: int = 0
    loss: float = math.nan
    seconds: float = 0.0
    best: float = -math.inf
    since_best: int = 0


def fit(
    model: nn.Module,
    loss: Callable[[nn.Module, Generator], Tensor],
    folder: Path,
    settings: LoopSettings,
    *,
    validate: Callable[[nn.Module], float] | None = None,
    report: Callable[[Step], None] | None = None,
) -> nn.Module:
    """Train `model` in place and return it in eval mode with the averaged weights, with validation the best of them.

    ``checkpoint.pt`` stands in `folder` and is replaced whole; where one is found, training goes on from it, and ends
    with the very weights of a run that was not interrupted.

    Args:
        loss: from the network in training mode and a generator, of which it draws its batch, to a scalar.
        validate: from the averaged network in eval mode to its score; higher is better.
        report: called after each step.
    """
    folder.mkdir(parents=True, exist_ok=True)
    average = AveragedModel(model, multi_avg_fn=_average(settings.average), use_buffers=True)
    optimiser = torch.optim.AdamW(model.parameters(), lr=settings.rate, weight_decay=settings.decay)
    generator = Generator().manual_seed(settings.seed)
    place, done = folder / "checkpoint.pt", _Progress()
    best: dict[str, Tensor] | None = None
    if place.exists():
        kept = torch.load(place, weights_only=True)
        for name, part in (("model", model), ("average", average), ("optimiser", optimiser)):
            part.load_state_dict(kept[name])
        generator.set_state(kept["generator"])
        done, best = _Progress(**kept["done"]), kept["best"]
    begun, before = time.monotonic(), done.seconds
    kind = next(model.parameters()).device.type
    while done.step < settings.steps and not (settings.patience and done.since_best >= settings.patience):
        model.train()
        for group in optimiser.param_groups:
            group["lr"] = settings.rate_at(done.step)
        with torch.autocast(kind, torch.bfloat16, enabled=settings.half):
            found = loss(model, generator)
        optimiser.zero_grad(set_to_none=True)
        found.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), settings.clip)
        optimiser.step()
        average.update_parameters(model)
        done.step += 1
        done.loss = found.item() if math.isnan(done.loss) else 0.98 * done.loss + 0.02 * found.item()
        done.seconds = before + time.monotonic() - begun
        last = done.step == settings.steps
        score, better = None, False
        if validate and settings.validate_every and (last or done.step % settings.validate_every == 0):
            score = validate(average.module.eval())
            better = score > done.best
            done.best, done.since_best = max(done.best, score), 0 if better else done.since_best + 1
            if better:
                best = {name: tensor.clone() for name, tensor in average.module.state_dict().items()}
        stops = bool(settings.patience) and done.since_best >= settings.patience
        saves = last or stops or done.step % settings.save_every == 0
        if saves:
            state: dict[str, Any] = {"model": model.state_dict(), "average": average.state_dict()}
            state |= {"optimiser": optimiser.state_dict(), "generator": generator.get_state()}
            state |= {"done": vars(done), "best": best}
            torch.save(state, place.with_suffix(".part"))
            place.with_suffix(".part").replace(place)
        if report:
            report(Step(done.step, done.loss, done.seconds, score, better, noted=saves or score is not None))
    model.load_state_dict(best if best is not None else average.module.state_dict())
    return model.eval()


def _average(most: float) -> Callable[..., Any]:
    """An exponential moving average that after n steps keeps (1 + n) / (10 + n), until that is more than `most`."""

    def update(averaged: list[Tensor], current: list[Tensor], count: Tensor | int) -> None:
        kept = min(most, (1 + int(count)) / (10 + int(count)))
        get_ema_multi_avg_fn(kept)(averaged, current, count)

    return update
