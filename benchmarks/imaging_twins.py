"""The imaging core beside its FIR twin and a plain small U-Net, trained alike for the same task.

    python benchmarks/imaging_twins.py train --task demosaic --network causal --runs runs/twins
    python benchmarks/imaging_twins.py collect --runs runs/twins

All networks are trained with the settings of the weights that come with narrows (rate, crops, seed), and for 1,500
steps unless told otherwise; where those weights were trained as long, they stand for the recursive core, which then
needn't be trained again. The causal twin has vertical convolutions of 5 rows, wait-free, in the place of each
recursive filter, and as many states, so four times the lines; the symmetric one waits for half of its rows. The U-Net
has about as many multiply-accumulates and 3 x 3 convolutions, which wait for the rows below; as in the core, its
result is added to a 1 x 1 convolution of the image's planes. Scores are in floating point; bits of line buffer are
those of `narrows.costing.lines` at 1920 columns, 8 bits a value.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from common import RESULTS, save, table
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from narrows.costing.lines import line_costs
from narrows.imaging import weights
from narrows.imaging.evaluation import evaluate
from narrows.imaging.recipes.curve import core_of
from narrows.imaging.recipes.task import CORE, STEPS, drawing
from narrows.imaging.tasks import INPUT_PLANES, TASKS, task_called
from narrows.imaging.training import Settings, leaf_pool, train
from narrows.networks.unet import unet
from narrows.streaming.capturing import captured

HEIGHT, COLUMNS, BITS = 64, 1920, 8
NETWORKS = ("recursive", "causal", "causal, quarter of the states", "symmetric", "unet")


class PlainUNet(nn.Module):
    """A U-Net of 3 x 3 convolutions whose result is added to a 1 x 1 convolution of its input."""

    def __init__(self, planes: int) -> None:
        super().__init__()
        self.unet = unet(INPUT_PLANES, planes, width=14, depth=2)
        self.direct = nn.Conv2d(INPUT_PLANES, planes, 1)
        with torch.no_grad():
            self.unet.head.weight.mul_(0.1)
            self.direct.weight.zero_()
            self.direct.weight[:, :planes, 0, 0] = torch.eye(planes)
            self.direct.bias.zero_()

    def forward(self, image: Tensor) -> Tensor:
        made: Tensor = self.direct(image) + self.unet(image - 0.5)
        return made


def network(name: str, planes: int) -> nn.Module:
    if name == "unet":
        return PlainUNet(planes)
    vertical = {"recursive": "iir"}.get(name, name.split(",")[0])
    how = {**CORE, "out_channels": planes, "vertical": vertical}
    if "," in name:
        how["states"] = tuple(count // 4 for count in CORE["states"])
    return core_of(how)


def train_one(name: str, task_name: str, out: Path, leaves: Path | None, settings: Settings) -> None:
    task = task_called(task_name)
    torch.manual_seed(settings.seed)
    model = network(name, task.gives)
    seconds = train(model, leaf_pool(leaves), drawing(task), out, settings)
    save_file({key: tensor.contiguous() for key, tensor in model.state_dict().items()}, out / "model.safetensors")
    result = {"network": name, "task": task_name, "training": asdict(settings), "seconds": round(seconds)}
    (out / "result.json").write_text(json.dumps(result, indent=1) + "\n")


def rows(name: str, task_name: str, model: nn.Module, steps: int) -> list[dict[str, Any]]:
    """A row for each test of the task."""
    scores = evaluate(task_name, lambda case: model(case.inputs))
    graph = captured(model, [(1, INPUT_PLANES, HEIGHT, COLUMNS)], [torch.float32])
    lines = line_costs(graph, BITS)
    assert not isinstance(lines, str)
    made = []
    for test in dict.fromkeys(score.test for score in scores):
        own = [score for score in scores if score.test == test]
        made.append(
            {
                "task": task_name,
                "test": test,
                "network": name,
                "psnr": round(sum(score.psnr for score in own) / len(own), 3),
                "ssim": round(sum(score.ssim for score in own) / len(own), 4),
                "delay": lines.delay - 1,
                "Mbit": round(lines.bytes * 8 / 1e6, 3),
                "macs_a_pixel": round(sum(node.macs or 0 for node in graph.nodes) / HEIGHT / COLUMNS),
                "parameters": sum(parameter.numel() for parameter in model.parameters()),
                "steps": steps,
                "each": {s.photograph: [round(s.psnr, 3), round(s.ssim, 4)] for s in own},
            }
        )
    return made


def collect(runs: Path) -> list[dict[str, Any]]:
    """Each task of which a twin was trained: the recursive core first."""
    found: list[dict[str, Any]] = []
    for task in TASKS:
        finished = [file.parent for file in sorted(runs.glob(f"{task}_*/result.json"))]
        results = {folder: json.loads((folder / "result.json").read_text()) for folder in finished}
        results = {folder: result for folder, result in results.items() if result["task"] == task}
        if not results:
            continue
        if all(result["network"] != "recursive" for result in results.values()):
            found += rows("recursive", task, weights.load(task), STEPS[task])
        for folder, result in sorted(results.items(), key=lambda item: NETWORKS.index(item[1]["network"])):
            model = network(result["network"], task_called(task).gives).eval()
            model.load_state_dict(load_file(folder / "model.safetensors"))
            found += rows(result["network"], task, model, result["training"]["steps"])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("train", "collect"))
    parser.add_argument("--runs", type=Path, default=Path("runs/twins"))
    parser.add_argument("--leaves", type=Path, help="file in which training images are kept")
    parser.add_argument("--task", choices=list(TASKS))
    parser.add_argument("--network", choices=NETWORKS)
    parser.add_argument("--steps", type=int, default=Settings().steps)
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.what == "train":
        if given.task is None or given.network is None:
            parser.error("train needs --task and --network")
        out = given.runs / f"{given.task}_{given.network.replace(', ', '_').replace(' ', '-')}"
        if (out / "result.json").exists():
            return
        settings = Settings(steps=given.steps)
        train_one(given.network, given.task, out, given.leaves, settings)
        return
    made = collect(given.runs)
    file = RESULTS / "imaging_twins.json"
    before = json.loads(file.read_text())["rows"] if file.exists() else []
    new = {(row["task"], row["network"]) for row in made}
    made += [row for row in before if (row["task"], row["network"]) not in new]
    tests = [(task, test) for task in TASKS for test in TASKS[task].tests]
    made.sort(key=lambda row: (tests.index((row["task"], row["test"])), NETWORKS.index(row["network"])))
    save("imaging_twins", {"bits": BITS, "columns": COLUMNS}, made)
    table("imaging twins", made, ("task", "test", "network", "psnr", "ssim", "delay", "Mbit", "macs_a_pixel", "steps"))


if __name__ == "__main__":
    main()
