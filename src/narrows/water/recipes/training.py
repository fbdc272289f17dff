"""Train one of the package's water networks again.

    python -m narrows.water.recipes.training water --chips hls306_6band.npz --out runs/water
    python -m narrows.water.recipes.training water-small --out runs/small     # on simulated chips alone

writes the chips that it simulates into `--pools` (kept for the next training), checkpoints while it runs (a second
start continues), then `<name>.safetensors` and `<name>.json` with what it was made of.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor, nn

from narrows.networks.water_net import WaterNet, water, water_small
from narrows.training.loop import LoopSettings, Step, fit
from narrows.training.losses import adaptive_max_pool_loss, masked_cross_entropy
from narrows.water.evaluation.confusion import Confusion
from narrows.water.model_files import WaterModel, save_model_file
from narrows.water.recipes.augmentation import Batch, vary
from narrows.water.recipes.chips import Chips, read_chips, read_split
from narrows.water.recipes.pool import Pool, make_pool, simulated
from narrows.water.recipes.sharpness import fit_sharpness
from narrows.water.recipes.skies import Skies

__all__ = ["NETWORKS", "Mixture", "loss_of", "score_pool", "train"]

NETWORKS: dict[str, Callable[[], WaterNet]] = {"water": water, "water-small": water_small}
SIMULATED, SKIES = 8_000, 2_000
CHECKED_FROM, CHECKED = 50_000, 20
"""The first seed of those that check, and for how many chips that teach there is one."""
HIDDEN_SHARE, HARD_SHARE = 0.5, 0.25
SETTINGS = LoopSettings(steps=9_000, seed=306, validate_every=1_000, half=True)


@dataclass(frozen=True)
class Mixture:
    """What a batch is made of: chips as they are, chips under other skies, simulated ones; and how many of each."""

    simulated: Pool
    skies: Pool | None = None
    chips: Batch | None = None
    counts: tuple[int, int, int] = (3, 5, 8)

    def draw(self, generator: Generator) -> Batch:
        """One batch, varied; without chips, simulated ones take their place."""
        plain, skies, simulated = self.counts
        if self.chips is None or self.skies is None:
            return vary(self.simulated.draw(sum(self.counts), generator), generator, strength=0.5)
        chosen = torch.randint(len(self.chips.reflectance), (plain,), generator=generator)
        chips = Batch(*(part[chosen] for part in (self.chips.reflectance, self.chips.target, self.chips.weight)))
        parts = [
            vary(chips, generator),
            vary(self.skies.draw(skies, generator), generator, strength=0.5),
            vary(self.simulated.draw(simulated, generator), generator, strength=0.5),
        ]
        return join(parts)


def join(batches: Sequence[Batch]) -> Batch:
    """Batches one after the other."""
    return Batch(
        torch.cat([b.reflectance for b in batches]),
        torch.cat([b.target for b in batches]),
        torch.cat([b.weight for b in batches]),
    )


def batch_of_chips(chips: Chips) -> Batch:
    """All chips as they are; what label and Fmask don't agree on, and what isn't clear, is unknown."""
    water, known, clear = (torch.from_numpy(x).float() for x in (chips.label, chips.known, ~chips.unclear))
    # Fmask's few clouds are too doubtful to teach what cloud looks like, and mustn't teach clear sky either.
    return Batch(
        torch.from_numpy(chips.reflectance),
        torch.stack((water, torch.zeros_like(water)), 1),
        torch.stack((known, clear), 1),
    )


def loss_of(logits: Tensor, batch: Batch, hard: float = HARD_SHARE) -> Tensor:
    """Cross-entropy of water, half that of hidden, and `hard` of the adaptive max-pool loss of water."""
    logits = logits.float()
    water = (logits[:, :1], batch.target[:, :1], batch.weight[:, :1])
    hidden = (logits[:, 1:], batch.target[:, 1:], batch.weight[:, 1:])
    loss = masked_cross_entropy(*water) + HIDDEN_SHARE * masked_cross_entropy(*hidden)
    return loss + hard * adaptive_max_pool_loss(*water) if hard else loss


def predict_logits(model: nn.Module, batch: Batch, size: int = 16) -> Tensor:
    """Logits (N, 2, H, W), float32."""
    with torch.inference_mode():
        return torch.cat([model.logits(x) for x in batch.reflectance.split(size)])  # type: ignore[operator]


def score_pool(model: nn.Module, batch: Batch) -> dict[str, float]:
    """IoU of water and of hidden at 0.5, over all known pixels together; a pixel of half weight counts as known."""
    found = predict_logits(model, batch) > 0
    scores = {}
    for k, name in enumerate(("water", "hidden")):
        counted = Confusion.of(found[:, k].numpy(), batch.target[:, k].numpy() > 0.5, batch.weight[:, k].numpy() > 0)
        scores[name] = counted.iou or 0.0
    return scores


def train(
    name: str,
    out: Path,
    pools: Path,
    chips: Path | None,
    settings: LoopSettings = SETTINGS,
    *,
    workers: int = 1,
) -> dict[str, Any]:
    """Train a network of `NETWORKS` and write weights and report into `out`; returns the report.

    Args:
        pools: folder of simulated chips, made where they are missing.
        chips: the 306 chips; without them on simulated chips alone.
    """
    make_pool(pools / "simulated", SIMULATED, simulated, workers=workers)
    checking = partial(simulated, first=CHECKED_FROM)
    make_pool(pools / "simulated-check", SIMULATED // CHECKED, checking, workers=workers)
    checks = {"simulated": _all(Pool.open(pools / "simulated-check"))}
    mixture = Mixture(Pool.open(pools / "simulated"))
    if chips is not None:
        split, every = read_split(), read_chips(chips)
        taught, checked = every.at_places(split["train"]), every.at_places(split["validation"])
        make_pool(pools / "skies", SKIES, Skies(taught))
        make_pool(pools / "skies-check", SKIES // CHECKED, Skies(checked))
        mixture = Mixture(mixture.simulated, Pool.open(pools / "skies"), batch_of_chips(taught))
        checks |= {"chips": batch_of_chips(checked), "chips under other skies": _all(Pool.open(pools / "skies-check"))}
    torch.manual_seed(settings.seed)
    model = NETWORKS[name]().to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def loss(network: nn.Module, generator: Generator) -> Tensor:
        batch = mixture.draw(generator)
        x = batch.reflectance.contiguous(memory_format=torch.channels_last)
        return loss_of(network.logits(x), batch)  # type: ignore[operator]

    def validate(network: nn.Module) -> float:
        scores = {of: score_pool(network, batch) for of, batch in checks.items()}
        print(json.dumps({of: {k: round(v, 4) for k, v in each.items()} for of, each in scores.items()}), flush=True)
        return sum(each["water"] for each in scores.values()) / len(scores)

    def report(step: Step) -> None:
        print(f"step {step.step} loss {step.loss:.4f} {step.seconds:.0f} s", flush=True)

    fit(model, loss, out, settings, validate=validate, report=report)
    # How sure to be of water real chips say where there are some: simulated shores are sharper, and under clouds water
    # is taught, not seen.
    cloudy = join([batch for of, batch in checks.items() if of != "chips"])
    sharpness = fit_sharpness(model, checks.get("chips", checks["simulated"]), cloudy)
    described = {
        "name": name,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "settings": asdict(settings),
        "chips": chips is not None,
        "sharpness": sharpness,
        "validation": {of: score_pool(model, batch) for of, batch in checks.items()},
        "torch": torch.__version__,
    }
    save_model_file(WaterModel(name, model, described), out / f"{name}.safetensors")
    (out / f"{name}.json").write_text(json.dumps(described, indent=1) + "\n")
    return described


def _all(pool: Pool) -> Batch:
    return pool.take(range(len(pool)))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Train a water network of the package again.")
    parser.add_argument("name", choices=list(NETWORKS))
    parser.add_argument("--chips", type=Path, help="hls306_6band.npz; without it simulated chips teach alone")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoints and the result")
    parser.add_argument("--pools", type=Path, help="folder for simulated chips; OUT/pools where left out")
    parser.add_argument("--steps", type=int, default=SETTINGS.steps)
    parser.add_argument("--seed", type=int, default=SETTINGS.seed)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    settings = LoopSettings(**{**asdict(SETTINGS), "steps": options.steps, "seed": options.seed})
    pools = options.pools or options.out / "pools"
    print(json.dumps(train(options.name, options.out, pools, options.chips, settings, workers=options.threads)))


if __name__ == "__main__":
    main()
