"""Train one of the package's water networks again.

    python -m narrows.water.recipes.training water --chips hls306_6band.npz --out runs/water
    python -m narrows.water.recipes.training water-small --out runs/small     # on simulated chips alone
    python -m narrows.water.recipes.training water --chips … --drawn choose.csv --out runs/water

writes the chips that it simulates into `--pools` (kept for the next training), checkpoints while it runs (a second
start continues), then `<name>.safetensors` and `<name>.json` with what it was made of. `--drawn` lists scenes with
masks drawn by people, as `narrows water train` takes them: a second, shorter stage adds crops of these, whose clouds
are real.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor, nn

from narrows.networks.water_net import WaterNet, water, water_small
from narrows.streaming.memory import steady_heap
from narrows.training.loop import LoopSettings, Step, fit
from narrows.water.evaluation.confusion import Confusion
from narrows.water.evaluation.pairs import Pair, find_pairs
from narrows.water.model_files import WaterModel, read_model_file, save_model_file
from narrows.water.recipes.augmentation import Batch, join, vary
from narrows.water.recipes.chips import Chips, read_chips, read_split
from narrows.water.recipes.loss import loss_of
from narrows.water.recipes.pool import SIDE, Pool, difficult, make_pool, simulated
from narrows.water.recipes.sharpness import fit_sharpness
from narrows.water.recipes.skies import Skies
from narrows.water.training.crops import varied_crops
from narrows.water.training.division import whole
from narrows.water.training.labelled import open_library
from narrows.water.training.labels import blanked
from narrows.water.training.windows import RandomWindows

__all__ = ["NETWORKS", "Mixture", "score_pool", "train"]

NETWORKS: dict[str, Callable[[], WaterNet]] = {"water": water, "water-small": water_small}
SIMULATED, SKIES, DIFFICULT = 8_000, 2_000, 3_000
CHECKED_FROM, CHECKED = 50_000, 20
"""The first seed of those that check, and for how many chips that teach there is one."""
_OF_DIFFICULT, _OF_DRAWN = 3, 2
SETTINGS = LoopSettings(steps=12_000, seed=306, validate_every=1_000, half=True)
SECOND_STEPS = 3_000
SECOND_RATE, SECOND_WARM = 6e-4, 100


@dataclass(frozen=True)
class Mixture:
    """What a batch is made of, and how many of each: chips as they are, chips under other skies, simulated ones.

    Simulated chips of the difficult kinds, and in the second stage crops of scenes drawn by people, take the places of
    some of the simulated.
    """

    simulated: Pool
    skies: Pool | None = None
    chips: Batch | None = None
    difficult: Pool | None = None
    drawn: RandomWindows | None = None
    counts: tuple[int, int, int] = (3, 4, 9)

    def draw(self, generator: Generator) -> Batch:
        """One batch, varied; without chips, simulated ones take their place."""
        plain, skies, simulated = self.counts
        parts = []
        if self.difficult is not None:
            simulated -= _OF_DIFFICULT
            parts.append(vary(self.difficult.draw(_OF_DIFFICULT, generator), generator, strength=0.5))
        if self.drawn is not None:
            simulated -= _OF_DRAWN
            parts.append(varied_crops(self.drawn, _OF_DRAWN, generator))
        if self.chips is None or self.skies is None:
            simulated += plain + skies
        else:
            chosen = torch.randint(len(self.chips.reflectance), (plain,), generator=generator)
            chips = Batch(*(part[chosen] for part in (self.chips.reflectance, self.chips.target, self.chips.weight)))
            parts.append(vary(chips, generator))
            parts.append(vary(self.skies.draw(skies, generator), generator, strength=0.5))
        parts.append(vary(self.simulated.draw(simulated, generator), generator, strength=0.5))
        return blanked(join(parts))


def batch_of_chips(chips: Chips) -> Batch:
    """All chips as they are; what label and Fmask don't agree on, and what isn't clear, is unknown."""
    water, known, clear = (torch.from_numpy(x).float() for x in (chips.label, chips.known, ~chips.unclear))
    # Fmask's few clouds are too doubtful to teach what cloud looks like, and mustn't teach clear sky either.
    return Batch(
        torch.from_numpy(chips.reflectance),
        torch.stack((water, torch.zeros_like(water)), 1),
        torch.stack((known, clear), 1),
    )


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
    drawn: Sequence[Pair] = (),
    second_steps: int = SECOND_STEPS,
    start: Path | None = None,
    workers: int = 1,
) -> dict[str, Any]:
    """Train a network of `NETWORKS` and write weights and report into `out`; returns the report.

    Args:
        pools: folder of simulated chips, made where they are missing.
        chips: the 306 chips; without them on simulated chips alone.
        drawn: scenes with masks drawn by people: a second stage of `second_steps` adds crops of these.
        start: a model file that takes the place of the first stage.

    Raises:
        InputError: the chips, a scene, a mask or the model file can't be used.
    """
    make_pool(pools / "simulated", SIMULATED, simulated, workers=workers)
    checking = partial(simulated, first=CHECKED_FROM)
    make_pool(pools / "simulated-check", SIMULATED // CHECKED, checking, workers=workers)
    checks = {"simulated": _all(Pool.open(pools / "simulated-check"))}
    make_pool(pools / "difficult", DIFFICULT, difficult, workers=workers)
    mixture = Mixture(Pool.open(pools / "simulated"), difficult=Pool.open(pools / "difficult"))
    if chips is not None:
        split, every = read_split(), read_chips(chips)
        taught, checked = every.at_places(split["train"]), every.at_places(split["validation"])
        make_pool(pools / "skies", SKIES, Skies(taught))
        make_pool(pools / "skies-check", SKIES // CHECKED, Skies(checked))
        mixture = replace(mixture, skies=Pool.open(pools / "skies"), chips=batch_of_chips(taught))
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
        if step.noted:
            print(f"step {step.step} loss {step.loss:.4f} {step.seconds:.0f} s", flush=True)

    # Nothing of the drawn scenes is left to choose an average by, so the last one is kept.
    second = replace(settings, steps=second_steps, rate=SECOND_RATE, warm=SECOND_WARM, validate_every=0)
    if start is None:
        with steady_heap():
            fit(model, loss, out, settings, validate=validate, report=report)
    else:
        model.load_state_dict(read_model_file(str(start)).module.state_dict())
    if drawn:
        with open_library(drawn) as library, steady_heap():
            windows = RandomWindows(library, whole(library.scenes), SIDE)
            mixture = replace(mixture, drawn=windows)
            fit(model, loss, out / "second", second, report=report)
    # How sure to be of water real chips say where there are some: simulated shores are sharper, and under clouds water
    # is taught, not seen.
    cloudy = join([batch for of, batch in checks.items() if of != "chips"])
    sharpness = fit_sharpness(model, checks.get("chips", checks["simulated"]), cloudy)
    described = {
        "name": name,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "settings": asdict(settings),
        "chips": chips is not None,
        "drawn": sorted({pair.name for pair in drawn}),
        "second": asdict(second) if drawn else None,
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
    parser.add_argument(
        "--drawn", type=Path, help="list of scenes with masks drawn by people, .csv, for a second stage"
    )
    parser.add_argument("--second-steps", type=int, default=SECOND_STEPS, help="of that stage")
    parser.add_argument("--from", type=Path, dest="start", help="model file instead of the first stage")
    parser.add_argument("--chips", type=Path, help="hls306_6band.npz; without it simulated chips teach alone")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoints and the result")
    parser.add_argument("--pools", type=Path, help="folder for simulated chips; OUT/pools where left out")
    parser.add_argument("--steps", type=int, default=SETTINGS.steps)
    parser.add_argument("--seed", type=int, default=SETTINGS.seed)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args(arguments)
    if options.start and not options.drawn:
        parser.error("--from takes the place of the first stage; give --drawn for the second")
    torch.set_num_threads(options.threads)
    settings = LoopSettings(**{**asdict(SETTINGS), "steps": options.steps, "seed": options.seed})
    pools = options.pools or options.out / "pools"
    described = train(
        options.name,
        options.out,
        pools,
        options.chips,
        settings,
        drawn=find_pairs(str(options.drawn), None, {}) if options.drawn else (),
        second_steps=options.second_steps,
        start=options.start,
        workers=options.threads,
    )
    print(json.dumps(described))


if __name__ == "__main__":
    main()
