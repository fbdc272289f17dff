"""Train the imaging core for one task: the weights that come with the package.

    python -m narrows.imaging.recipes.task denoise --out runs/denoise

writes checkpoints while it runs (a second start continues), then `<task>.safetensors` and `result.json` with the scores
on the test photographs. All tasks have one topology, `CORE`.

Dead leaves are paler than many photographs, and a network that has seen no strong colours fades them. So where colours
are given, rather than guessed, those of each crop are made paler or stronger.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor

from narrows.imaging.evaluation import evaluate
from narrows.imaging.recipes.curve import core_of
from narrows.imaging.tasks import TASKS, Task, grey, task_called
from narrows.imaging.training import Draw, Settings, leaf_pool, train
from narrows.imaging.weights import save

__all__ = ["CORE", "STEPS", "drawing", "train_task", "vivid"]

CORE: dict[str, Any] = {
    "in_channels": 6,
    "widths": (24, 48),
    "blocks": (1, 3),
    "states": (24, 48),
    "gated": True,
    "look_ahead": 4,
    "fold": 2,
    "stem": 48,
}
STEPS = {name: {"denoise": 5000, "demosaic": 2500}.get(name, 1500) for name in TASKS}
"""Steps with which the weights of each task were trained."""


def vivid(clean: Tensor, generator: Generator) -> Tensor:
    """Crops (N, 3, H, W), 0 to 1, with the distance of each from its grey scaled by 0 to 3, the same over a crop."""
    scale = 3 * torch.rand((len(clean), 1, 1, 1), generator=generator)
    return torch.lerp(grey(clean), clean, scale).clamp(0, 1)


def drawing(task: Task) -> Draw:
    """How the inputs and targets to train `task` on are made of clean crops."""
    if task.gives == 1 or task.name == "colourise":
        return task.degrade
    return lambda clean, generator: task.degrade(vivid(clean, generator), generator)


def train_task(
    name: str, out: Path, settings: Settings, leaves: Path | None, configuration: Mapping[str, Any] = CORE
) -> dict[str, Any]:
    """Train for the task of that name, score, and write weights and result into `out`; what stands in the latter."""
    task = task_called(name)
    torch.manual_seed(settings.seed)
    made_with = {**configuration, "out_channels": task.gives}
    core = core_of(made_with)
    seconds = train(core, leaf_pool(leaves), drawing(task), out, settings)
    scores = evaluate(name, lambda case: core(case.inputs))
    result = {
        "name": name,
        "configuration": made_with,
        "training": asdict(settings),
        "parameters": sum(parameter.numel() for parameter in core.parameters()),
        "seconds": round(seconds),
        "scores": [
            {"test": s.test, "photograph": s.photograph, "psnr": round(s.psnr, 3), "ssim": round(s.ssim, 4)}
            for s in scores
        ],
    }
    save(core, out / f"{name}.safetensors", name, made_with)
    (out / "result.json").write_text(json.dumps(result, indent=1) + "\n")
    return result


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Train the imaging core for one task.")
    parser.add_argument("task", choices=list(TASKS))
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoints and the result")
    parser.add_argument("--core", type=json.loads, default={}, help="other arguments of imaging_core, as JSON")
    parser.add_argument("--leaves", type=Path, help="file in which training images are kept for the next training")
    parser.add_argument("--threads", type=int, default=1)
    for name, value in asdict(Settings()).items():
        default = None if name == "steps" else value
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=default)
    options = vars(parser.parse_args(arguments))
    torch.set_num_threads(options.pop("threads"))
    task, out, core = options.pop("task"), options.pop("out"), {**CORE, **options.pop("core")}
    leaves = options.pop("leaves")
    options["steps"] = options["steps"] or STEPS[task]
    if (out / "result.json").exists():
        print(f"{out} is finished already")
        return
    result = train_task(task, out, Settings(**options), leaves, core)
    for test in dict.fromkeys(score["test"] for score in result["scores"]):
        own = [score["psnr"] for score in result["scores"] if score["test"] == test]
        print(f"{task} {test}: {sum(own) / len(own):.3f} dB")


if __name__ == "__main__":
    main()
