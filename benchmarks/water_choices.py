"""Why the water networks are built as they are: each choice beside its alternative, trained alike at like cost.

    python benchmarks/water_choices.py train --pools runs/pools --seeds 1,2,3 --runs runs/choices
    python benchmarks/water_choices.py collect --pools runs/pools --runs runs/choices --data ../shared/data
    python benchmarks/water_choices.py cost

and, for what a longer training changes,

    python benchmarks/water_choices.py train --steps 2400 --seeds 1,2,3 --networks "as it is;bands alone" --runs RUNS
    python benchmarks/water_choices.py collect --runs RUNS --name water_choices_longer

`as it is` is `water-small`. Every other network changes one thing, the last one its loss, and has its widths set so
that the multiply-accumulates of a chip stay within a tenth. The training is that of `narrows.water.recipes.training`,
shortened: the same chips and variation, smaller batches without the difficult chips, fewer steps, no choice among
checkpoints. Networks of one seed see the same batches, so that differences are taken seed by seed. `train` goes seed by
seed through all networks, continues where it stopped and passes over what is finished. The pools are those that a
training of the recipe writes.

Scores are IoU of water at 0.5: on chips of the checking places, on the same under other skies, on simulated chips to
check, and in the windows drawn by hand of the half to choose by, whose scenes are mapped whole. Each network is first
calibrated on all clear pixels of the checking chips; `as_trained` is before that. Nothing that is kept for reports is
read. Costs are those of `narrows.costing` at 7,741 columns, 32 bits a value; `buffers_MB` are those of the plan for a
scene in strips of 64 rows; seconds are processor time of streaming on one thread.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
import torch
from common import Discard, Rows, megabytes, middle, save, spread, table
from report import COLUMNS as REPORTED
from safetensors.torch import load_file, save_file
from torch import Generator, Tensor, nn
from water_methods import DATA, ROOT
from water_truth import drawn_scenes

import narrows
from narrows.costing.lines import line_costs
from narrows.layers.convolution import WideRowBlock
from narrows.layers.fir_iir import ResidualSeparable, SeparableFIR, SeparableFIRIIR
from narrows.layers.self_attention import RowAttention
from narrows.networks.water_net import WaterNet, water_small
from narrows.rowgraph.graph import RowGraph
from narrows.streaming.capturing import captured
from narrows.streaming.memory import steady_heap
from narrows.training.loop import LoopSettings, Step, fit
from narrows.water.evaluation.confusion import Confusion
from narrows.water.evaluation.truth import LAND, WATER
from narrows.water.recipes.augmentation import Batch, join
from narrows.water.recipes.chips import read_chips, read_split
from narrows.water.recipes.loss import HARD_SHARE, loss_of
from narrows.water.recipes.pool import SIDE, Pool
from narrows.water.recipes.sharpness import fit_sharpness
from narrows.water.recipes.training import Mixture, batch_of_chips, score_pool

SQUARES = 16
"""Channels of the first layer."""
BITS, HEIGHT, COLUMNS, STRIP = 32, 128, 7741, 64
SCENE = (7591, COLUMNS)
COUNTS = (2, 2, 4)
CHECKED_SIMULATED = 250
SETTINGS = LoopSettings(steps=600, warm=100, average=0.99, half=True, save_every=100)
CHIPS = "checking chips"
CALIBRATED = 60
"""Chips under other skies, and simulated ones, by which hidden is calibrated."""
DRAWN = "drawn windows, to choose by"
PICTURE = ROOT / "docs" / "images" / "water_choices.png"
REACH = 5
"""Columns of the separable filters at 1/8, so that two blocks reach as far along the row as those of the base do."""


def separable(channels: int, row_dilation: int = 1) -> list[nn.Module]:
    """A 3 x 3 convolution split into one for each channel and one that mixes them, with batch norm."""
    return [
        nn.Conv2d(
            channels,
            channels,
            3,
            padding=(1, row_dilation),
            dilation=(1, row_dilation),
            groups=channels,
            bias=False,
        ),
        nn.Conv2d(channels, channels, 1, bias=False),
        nn.BatchNorm2d(channels),
    ]


class SeparableRowBlock(WideRowBlock):
    """`WideRowBlock` of separable convolutions."""

    def __init__(self, channels: int, row_dilation: int) -> None:
        nn.Module.__init__(self)
        self.first = nn.Sequential(*separable(channels), nn.ReLU())  # type: ignore[assignment]
        self.second = nn.Sequential(*separable(channels, row_dilation))  # type: ignore[assignment]


def with_eighth(net: WaterNet, *blocks: nn.Module) -> WaterNet:
    """`net` with these blocks at scale 1/8."""
    net.encode_eighth = nn.Sequential(*blocks)
    return net


def attended() -> WaterNet:
    net = water_small()
    return with_eighth(net, *net.encode_eighth, RowAttention(32))


class BandsAlone(WaterNet):
    """`WaterNet` without normalised differences."""

    features = WaterNet.in_channels

    def features_of(self, folded: Tensor) -> Tensor:
        return torch.sqrt(folded)


def without_path() -> WaterNet:
    """The small network, nothing of whose first layer reaches the logits directly."""
    net = water_small()
    nn.init.zeros_(net.head_of_squares.weight).requires_grad_(False)
    return net


def all_separable() -> WaterNet:
    quarter, eighth = 32, 72
    net = WaterNet((SQUARES, 8, quarter, eighth))
    net.encode_quarter = nn.Sequential(SeparableRowBlock(quarter, 1))
    net.decode_quarter = SeparableRowBlock(quarter, 1)
    return with_eighth(net, SeparableRowBlock(eighth, 2), SeparableRowBlock(eighth, 3))


def with_pairs(layer: Callable[..., nn.Module]) -> WaterNet:
    """Pairs of these separable filters at 1/8, batch norm after each, 80 channels wide."""
    channels = 80

    def normed() -> nn.Module:
        return nn.Sequential(layer(channels, channels, horizontal=REACH), nn.BatchNorm2d(channels))

    return with_eighth(WaterNet((SQUARES, 8, 16, channels)), *(ResidualSeparable(normed(), normed()) for _ in range(2)))


BASE, RECURSIVE, TWIN = "as it is", "recursive at 1/8, wider", "its FIR twin"
LESS_HARD = "max-pool loss x 1/4, not x 12"
CHOICES: dict[str, Callable[[], WaterNet]] = {
    BASE: water_small,
    "bands alone": lambda: BandsAlone((SQUARES, 8, 16, 32)),
    "no path past the scales": without_path,
    "channels x 4 a level": lambda: WaterNet((SQUARES, 3, 12, 48)),
    "attention within rows added": attended,
    "separable, wider": all_separable,
    RECURSIVE: lambda: with_pairs(SeparableFIRIIR),
    TWIN: lambda: with_pairs(SeparableFIR),
    LESS_HARD: water_small,
}


def slug(name: str, seed: int) -> str:
    return f"{name.replace(',', '').replace('/', '-').replace(' ', '-')}_{seed}"


class Batches:
    """The batches of one seed, drawn once and kept for the networks that follow, in float16."""

    def __init__(self, mixture: Mixture) -> None:
        self.mixture = mixture
        self.kept: dict[int, tuple[Tensor, ...]] = {}

    def draw(self, generator: Generator) -> Batch:
        """The next batch; equal generators give equal ones."""
        key = int(torch.randint(2**62, (), generator=generator))
        if key not in self.kept:
            drawn = self.mixture.draw(Generator().manual_seed(key))
            self.kept[key] = tuple(part.half() for part in (drawn.reflectance, drawn.target, drawn.weight))
        return Batch(*(part.float() for part in self.kept[key]))


def train_one(name: str, seed: int, batches: Batches, out: Path, settings: LoopSettings) -> None:
    torch.manual_seed(seed)
    model = CHOICES[name]().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    hard = 0.25 if name == LESS_HARD else HARD_SHARE

    def loss(network: nn.Module, generator: Generator) -> Tensor:
        batch = batches.draw(generator)
        x = batch.reflectance.contiguous(memory_format=torch.channels_last)
        return loss_of(network.logits(x), batch, hard)  # type: ignore[operator]

    def report(step: Step) -> None:
        if step.noted:
            print(f"{name}, seed {seed}: step {step.step} loss {step.loss:.4f} {step.seconds:.0f} s", flush=True)

    fit(model, loss, out, settings, report=report)
    save_file({key: tensor.contiguous() for key, tensor in model.state_dict().items()}, out / "model.safetensors")
    result = {"network": name, "seed": seed, "training": asdict(settings)}
    (out / "result.json").write_text(json.dumps(result, indent=1) + "\n")
    (out / "checkpoint.pt").unlink()


def train(names: Sequence[str], seeds: Sequence[int], pools: Path, data: Path, runs: Path, steps: int) -> None:
    taught = read_chips(data / "water306" / "hls306_6band.npz").at_places(read_split()["train"])
    pool = {name: Pool.open(pools / name) for name in ("simulated", "skies")}
    mixture = Mixture(pool["simulated"], pool["skies"], batch_of_chips(taught), counts=COUNTS)
    for seed in seeds:
        batches = Batches(mixture)
        for name in names:
            out = runs / slug(name, seed)
            if not (out / "result.json").exists():
                settings = LoopSettings(**{**asdict(SETTINGS), "steps": steps, "seed": seed})
                with steady_heap():
                    train_one(name, seed, batches, out, settings)


@dataclass(frozen=True)
class Cost:
    """What a network costs: multiply-accumulates a pixel of a chip, and of an image of `COLUMNS` columns."""

    parameters: int
    macs_on_chips: int
    macs_a_pixel: int
    line_bytes: int
    delay: int


def cost_of(model: WaterNet) -> Cost:
    """Raises: ValueError: the network needs the whole image before its first row."""

    def macs(graph: RowGraph, pixels: int) -> int:
        return round(sum(node.macs or 0 for node in graph.nodes) / pixels)

    chip, wide = (
        captured(model.eval(), [(1, 6, *size)], [torch.float32]) for size in ((SIDE, SIDE), (HEIGHT, COLUMNS))
    )
    lines = line_costs(wide, BITS)
    if isinstance(lines, str) or lines.whole_frame or lines.delay >= HEIGHT:
        raise ValueError(f"there is a barrier: {lines}")
    return Cost(
        sum(parameter.numel() for parameter in model.parameters()),
        macs(chip, SIDE * SIDE),
        macs(wide, HEIGHT * COLUMNS),
        lines.bytes,
        lines.delay - 1,
    )


def seconds_a_megapixel(models: dict[str, WaterNet], repeats: int = 7) -> dict[str, list[float]]:
    """Processor seconds of streaming a million pixels in rows of `COLUMNS`; the networks take turns."""
    taken: dict[str, list[float]] = {name: [] for name in models}
    for turn in range(repeats + 1):
        for name, model in models.items():
            begun = time.process_time()
            narrows.stream(model, Rows(6, HEIGHT, COLUMNS), [Discard(), Discard()], strip=STRIP)
            if turn:
                taken[name].append((time.process_time() - begun) / HEIGHT / COLUMNS * 1e6)
    return taken


@dataclass(frozen=True)
class Window:
    """A drawn scene without unobserved pixels' values, and its windows: where, what is land or water, what is water."""

    reflectance: Tensor
    windows: list[tuple[Any, Any, Any]]


def windows_to_choose_by(data: Path) -> list[Window]:
    found = []
    for drawn in drawn_scenes("choose", data):
        x = np.where(np.isfinite(drawn.view.reflectance), drawn.view.reflectance, 0).astype(np.float32)
        windows = [
            (place, np.isin(mask, (LAND, WATER)) & drawn.view.observed[place], mask == WATER)
            for place, mask in drawn.windows.values()
        ]
        found.append(Window(torch.from_numpy(x)[None], windows))
    return found


def score_windows(model: WaterNet, scenes: Sequence[Window]) -> float:
    """IoU of water over the pixels of all windows."""
    total = Confusion()
    for scene in scenes:
        with torch.inference_mode():
            water = (model.logits(scene.reflectance)[0, 0] > 0).numpy()
        for place, known, truth in scene.windows:
            total += Confusion.of(water[place], truth, known)
    return total.iou or 0.0


def scores_of(folder: Path, model: WaterNet, checks: dict[str, Batch], scenes: Sequence[Window]) -> dict[str, Any]:
    """IoU by pixels, as trained and calibrated; kept beside the weights."""
    kept = folder / "scores.json"
    if not kept.exists():
        model.load_state_dict(load_file(folder / "model.safetensors"))
        model.eval()

        def scores() -> dict[str, dict[str, float]]:
            found = {of: score_pool(model, batch) for of, batch in checks.items()}
            return found | {DRAWN: {"water": score_windows(model, scenes)}}

        found = {"as trained": scores()}
        cloudy = [first(batch, CALIBRATED) for of, batch in checks.items() if of != CHIPS]
        fit_sharpness(model, checks[CHIPS], join(cloudy), unsure=math.inf)
        kept.write_text(json.dumps(found | {"calibrated": scores()}, indent=1) + "\n")
    told: dict[str, Any] = json.loads(kept.read_text())
    return told


def first(batch: Batch, count: int) -> Batch:
    return Batch(batch.reflectance[:count], batch.target[:count], batch.weight[:count])


def compared(found: dict[int, float], base: dict[int, float]) -> dict[str, Any]:
    """Mean and deviation over seeds, and the mean difference to the base over those that both have, with its error."""
    values, both = list(found.values()), sorted(found.keys() & base.keys())
    differences = [found[seed] - base[seed] for seed in both]
    told = {"seeds": len(values), "mean_IoU": mean(values), "deviation": stdev(values) if len(values) > 1 else None}
    if found is not base and differences:
        told["difference"] = mean(differences)
        told["standard_error"] = stdev(differences) / len(both) ** 0.5 if len(both) > 1 else None
    return told | {"each": rounded(found)}


def rounded(by_seed: dict[int, float]) -> dict[int, float]:
    return {seed: round(value, 5) for seed, value in by_seed.items()}


def rows_of(
    kind: str, pixels: Sequence[str], names: Sequence[str], scores: dict[str, dict[int, dict[str, Any]]]
) -> list[dict[str, Any]]:
    """A row for each network on each of `pixels`, from scores by network and seed; `kind` is water or hidden."""
    rows = []
    for of in pixels:
        calibrated, trained = (
            {name: {seed: each[when][of][kind] for seed, each in scores[name].items()} for name in names}
            for when in ("calibrated", "as trained")
        )
        for name, against in [(name, BASE) for name in names] + [(RECURSIVE, TWIN)]:
            if name in calibrated and against in calibrated:
                told = compared(calibrated[name], calibrated[against]) | {"as_trained": mean(trained[name].values())}
                told["each_as_trained"] = rounded(trained[name])
                rows.append({"pixels": of, "network": name, "against": against if against != name else None, **told})
    return rows


def collect(pools: Path, data: Path, runs: Path, saved_as: str) -> None:
    checked = read_chips(data / "water306" / "hls306_6band.npz").at_places(read_split()["validation"])
    pool = {name: Pool.open(pools / f"{name}-check") for name in ("skies", "simulated")}
    checks = {CHIPS: batch_of_chips(checked)}
    checks["chips under other skies"] = pool["skies"].take(range(len(pool["skies"])))
    checks["simulated"] = pool["simulated"].take(range(CHECKED_SIMULATED))
    scenes = windows_to_choose_by(data)
    finished = [(file.parent, json.loads(file.read_text())) for file in sorted(runs.glob("*/result.json"))]
    scores: dict[str, dict[int, dict[str, Any]]] = {}
    for folder, result in finished:
        print(folder.name, flush=True)
        name = result["network"]
        scores.setdefault(name, {})[result["seed"]] = scores_of(folder, CHOICES[name](), checks, scenes)
    names = [name for name in CHOICES if name in scores]
    of = {"water": (*checks, DRAWN), "hidden": tuple(checks)[1:]}
    rows = {kind: rows_of(kind, pixels, names, scores) for kind, pixels in of.items()}
    settings = {"training": finished[0][1]["training"], "batch": COUNTS, "seeds": sorted(scores[BASE])}
    save(saved_as, settings, rows["water"])
    save(f"{saved_as}_hidden", settings, rows["hidden"])
    for kind, made in rows.items():
        table(f"IoU of {kind}", made, REPORTED["water_choices"])
    picture(rows["water"], names, PICTURE.with_name(f"{saved_as}.png"))


def cost(names: Sequence[str]) -> None:
    models = {name: CHOICES[name]().eval() for name in names}
    seconds = seconds_a_megapixel(models)
    rows = [
        {
            "network": name,
            **asdict(cost_of(model)),
            "buffers_MB": megabytes(narrows.plan(model, *SCENE, channels=6, strip=STRIP).buffers_peak),
            "seconds_a_megapixel": round(middle(seconds[name]), 3),
            "spread": round(spread(seconds[name]), 3),
        }
        for name, model in models.items()
    ]
    save("water_choices_costs", {"bits": BITS, "columns": COLUMNS, "strip": STRIP}, rows)
    table("costs", rows, list(rows[0]))


def picture(rows: Sequence[dict[str, Any]], names: Sequence[str], path: Path) -> None:
    """Differences of water's IoU to the base seed by seed, with their mean and twice its standard error."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot, ticker

    others = [name for name in names if name != BASE]
    water = {(row["pixels"], row["network"]): row for row in rows if row["against"] != TWIN}
    pixels = list(dict.fromkeys(of for of, _ in water))
    figure, axes = pyplot.subplots(
        1, len(pixels), figsize=(10, 0.4 * len(others) + 1.1), sharey=True, layout="constrained"
    )
    for axis, of in zip(axes, pixels, strict=True):
        base = water[of, BASE]["each"]
        axis.axvline(0, color="#888888", linewidth=0.8)
        for place, name in enumerate(others):
            row = water[of, name]
            each = [100 * (value - base[seed]) for seed, value in row["each"].items() if seed in base]
            axis.plot(each, [place] * len(each), "o", color="#9bb8d3", markersize=4)
            error = 200 * (row["standard_error"] or 0)
            axis.errorbar(100 * row["difference"], place, xerr=error, fmt="|", color="#125cad", markersize=9, capsize=2)
        axis.set_xscale("symlog", linthresh=2)
        axis.set_xlim(-12, 12)
        axis.set_xticks([-10, -2, 0, 2, 10], ["-10", "-2", "0", "2", "10"])
        axis.xaxis.set_minor_locator(ticker.NullLocator())
        axis.set_title(of, fontsize=9)
        axis.tick_params(labelsize=8)
        axis.set_yticks(range(len(others)), others)
    axes[0].invert_yaxis()
    figure.supxlabel("IoU of water, difference to the network as it is (percentage points)", fontsize=8)
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("train", "collect", "cost"))
    parser.add_argument("--runs", type=Path, default=Path("runs/choices"))
    parser.add_argument("--pools", type=Path, default=Path("runs/pools"), help="those of a training of the recipe")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the labelled chips and of the scenes")
    parser.add_argument("--networks", help="names, separated by semicolons; all if left out")
    parser.add_argument("--seeds", default="1,2,3,4,5")
    parser.add_argument("--steps", type=int, default=SETTINGS.steps)
    parser.add_argument("--name", default="water_choices", help="of the result files and the picture of collect")
    given = parser.parse_args()
    torch.set_num_threads(1)
    names = given.networks.split(";") if given.networks else list(CHOICES)
    if given.what == "train":
        seeds = [int(seed) for seed in given.seeds.split(",")]
        train(names, seeds, given.pools, given.data, given.runs, given.steps)
    elif given.what == "cost":
        cost(names)
    else:
        collect(given.pools, given.data, given.runs, given.name)


if __name__ == "__main__":
    main()
