"""Train the package's default water network again.

    python -m narrows.water.recipes.default --chips hls306_6band.npz --out runs/default

writes checkpoints while it runs (a second start continues), then `default.safetensors` and `default.json` with the
threshold and the scores. On two cores of a server, about half an hour.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Generator, Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from narrows.networks.rowwise_water import RowwiseWater, rowwise_water
from narrows.training.losses import adaptive_max_pool_loss, masked_cross_entropy
from narrows.water.recipes.augmentation import Batch, augment
from narrows.water.recipes.chips import Chips, read_chips, read_split
from narrows.water.recipes.scoring import best_threshold, score_chips
from narrows.water.simulation import simulate_scene

__all__ = ["Samples", "train"]

SEED = 306
STEPS = 4200
REAL, SIMULATED = 12, 4
PEAK_RATE = 2e-3
HIDDEN_SHARE = 0.5
SCENES = range(1000, 1024)


class Samples:
    """Random batches of real chips and of simulated scenes, not yet augmented."""

    def __init__(self, chips: Chips, scenes: Sequence[int] = SCENES, size: tuple[int, int] = (512, 1024)) -> None:
        self.reflectance = torch.from_numpy(chips.reflectance)
        self.water = torch.from_numpy(chips.label).float()[:, None]
        self.known = torch.from_numpy(chips.known).float()[:, None]
        # Fmask's few clouds are too doubtful to teach what cloud looks like, and mustn't teach clear sky either.
        self.clear = torch.from_numpy(~chips.unclear).float()[:, None]
        pairs = [simulate_scene(*size, seed) for seed in scenes]
        self.scenes = [(torch.from_numpy(x), torch.from_numpy(w).float()[None]) for x, w in pairs]

    def batch(self, real: int, simulated: int, generator: Generator) -> Batch:
        """`real` chips and `simulated` crops of the chips' size."""
        chosen = torch.randint(len(self.reflectance), (real,), generator=generator)
        x, water = [self.reflectance[chosen]], [self.water[chosen]]
        known, clear = [self.known[chosen]], [self.clear[chosen]]
        height, width = self.reflectance.shape[-2:]
        for _ in range(simulated):
            crop, mask = self._crop(height, width, generator)
            x.append(crop[None])
            water.append(mask[None])
            known.append(torch.ones_like(mask)[None])
            clear.append(torch.ones_like(mask)[None])
        target = torch.cat((torch.cat(water), torch.zeros(real + simulated, 1, height, width)), 1)
        return Batch(torch.cat(x), target, torch.cat((torch.cat(known), torch.cat(clear)), 1))

    def _crop(self, height: int, width: int, generator: Generator) -> tuple[Tensor, Tensor]:
        """A crop of a simulated scene; of three, the first with both land and water, else the last."""
        for _ in range(3):
            x, water = self.scenes[int(torch.randint(len(self.scenes), (), generator=generator))]
            top = int(torch.randint(x.shape[1] - height + 1, (), generator=generator))
            left = int(torch.randint(x.shape[2] - width + 1, (), generator=generator))
            place = (slice(None), slice(top, top + height), slice(left, left + width))
            if 0.02 < float(water[place].mean()) < 0.98:
                break
        return x[place], water[place]


def _loss(logits: Tensor, batch: Batch, share_of_hard: float) -> Tensor:
    water = (logits[:, :1], batch.target[:, :1], batch.weight[:, :1])
    hidden = (logits[:, 1:], batch.target[:, 1:], batch.weight[:, 1:])
    loss = masked_cross_entropy(*water) + HIDDEN_SHARE * masked_cross_entropy(*hidden)
    return loss + share_of_hard * adaptive_max_pool_loss(*water)


def train(
    chips: Chips,
    out: Path,
    *,
    steps: int = STEPS,
    seed: int = SEED,
    hard: float = 0.25,
    save_every: int = 250,
) -> RowwiseWater:
    """Train on `chips` (the training places only) and return the averaged network in eval mode.

    AdamW, warm-up and cosine decay, exponential moving average of the weights. A checkpoint stands in `out`; where
    one is found there, training goes on from it.

    Args:
        hard: weight of the adaptive max-pool loss of the water head, added to the plain cross-entropy.
    """
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    model = rowwise_water()
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.995), use_buffers=True)
    optimiser = torch.optim.AdamW(model.parameters(), lr=PEAK_RATE, weight_decay=0.02)
    warm = max(1, steps // 30)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser,
        lambda k: min((k + 1) / warm, 0.5 * (1 + math.cos(math.pi * min(k / steps, 1))) + 1e-3),
    )
    generator = Generator().manual_seed(seed)
    samples, checkpoint, first = Samples(chips), out / "checkpoint.pt", 0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        for name, part in (("model", model), ("average", average), ("optimiser", optimiser), ("schedule", schedule)):
            part.load_state_dict(state[name])
        generator.set_state(state["generator"])
        first = state["step"]
    began, running = time.monotonic(), 0.0
    for step in range(first, steps):
        model.train()
        batch = augment(samples.batch(REAL, SIMULATED, generator), generator)
        loss = _loss(model.logits(batch.reflectance.contiguous(memory_format=torch.channels_last)), batch, hard)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        average.update_parameters(model)
        running = loss.item() if step == first else 0.98 * running + 0.02 * loss.item()
        if (step + 1) % save_every == 0 or step + 1 == steps:
            print(f"step {step + 1} loss {running:.4f} {time.monotonic() - began:.0f} s", flush=True)
            state = {
                "model": model.state_dict(),
                "average": average.state_dict(),
                "optimiser": optimiser.state_dict(),
                "schedule": schedule.state_dict(),
                "generator": generator.get_state(),
                "step": step + 1,
            }
            torch.save(state, checkpoint.with_suffix(".part"))
            checkpoint.with_suffix(".part").replace(checkpoint)
    trained = rowwise_water()
    trained.load_state_dict(average.module.state_dict())
    return trained.eval()


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Train the default water network.")
    parser.add_argument("--chips", type=Path, required=True, help="hls306_6band.npz")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoints and the result")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    chips, split = read_chips(options.chips), read_split()
    model = train(chips.at_places(split["train"]), options.out, steps=options.steps, seed=options.seed)
    threshold, sweep = best_threshold(model, chips.at_places(split["validation"]))
    report = {
        "threshold": threshold,
        "validation_iou_by_threshold": {t: round(v, 4) for t, v in sweep.items()},
        "test": score_chips(model, chips.at_places(split["test"]), threshold),
        "steps": options.steps,
        "seed": options.seed,
        "chips": {name: int(np.isin(chips.place, places).sum()) for name, places in split.items()},
        "torch": torch.__version__,
    }
    with torch.no_grad():
        # From here on water begins at 0.5, whichever threshold was best.
        model.get_parameter("head.bias")[0] -= math.log(threshold / (1 - threshold))
    state = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    save_file(state, options.out / "default.safetensors")
    (options.out / "default.json").write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
