"""Why one set of weights deblurs motion of every direction badly: the core trained for one motion alone.

    python benchmarks/imaging_motion.py --runs runs/motion

Trains the core of the imaging weights for each test's motion alone (9 pixels long, in one direction), for 500 steps,
and for motion down the columns also with twice the look-ahead. Scored on the test photographs, beside the weights that
come with narrows, which are trained for all lengths and directions and told which. Interrupted, it goes on.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import Any

import torch
from common import save, table
from torch import Generator, Tensor, nn

from narrows.imaging import weights
from narrows.imaging.evaluation import evaluate
from narrows.imaging.recipes.curve import core_of
from narrows.imaging.recipes.task import CORE, STEPS, vivid
from narrows.imaging.tasks import task_called
from narrows.imaging.training import Settings, leaf_pool, train

TASK = "deblur-motion"
ALONE = (("0 degrees", 4), ("90 degrees", 4), ("90 degrees", 8), ("45 degrees", 4))
"""Test and look-ahead of each core that is trained."""


def one_motion(test: str, clean: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
    task = task_called(TASK)
    return task.degrade(vivid(clean, generator), generator, condition=task.tests[test])


def row(test: str, model: nn.Module, trained_for: str, look_ahead: int, steps: int) -> dict[str, Any]:
    scores = [score for score in evaluate(TASK, lambda case: model(case.inputs)) if score.test == test]
    return {
        "test": test,
        "trained_for": trained_for,
        "look_ahead": look_ahead,
        "steps": steps,
        "psnr": round(sum(score.psnr for score in scores) / len(scores), 3),
        "ssim": round(sum(score.ssim for score in scores) / len(scores), 4),
        "each": {s.photograph: [round(s.psnr, 3), round(s.ssim, 4)] for s in scores},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=Path("runs/motion"))
    parser.add_argument("--leaves", type=Path, help="file in which training images are kept")
    parser.add_argument("--steps", type=int, default=500)
    given = parser.parse_args()
    torch.set_num_threads(1)
    settings = Settings(steps=given.steps)
    rows = []
    for test, look_ahead in ALONE:
        torch.manual_seed(settings.seed)
        core = core_of({**CORE, "out_channels": 3, "look_ahead": look_ahead})
        out = given.runs / f"{test.replace(' ', '_')}_d{look_ahead}"
        train(core, leaf_pool(given.leaves), partial(one_motion, test), out, settings)
        rows.append(row(test, core, "this motion", look_ahead, settings.steps))
    shipped = weights.load(TASK)
    rows += [
        row(test, shipped, "all motions", int(CORE["look_ahead"]), STEPS[TASK]) for test in task_called(TASK).tests
    ]
    rows.sort(
        key=lambda made: (list(task_called(TASK).tests).index(made["test"]), made["trained_for"] != "all motions")
    )
    save("imaging_motion", {"length": 9}, rows)
    table("one motion or all", rows, ("test", "trained_for", "look_ahead", "steps", "psnr", "ssim"))


if __name__ == "__main__":
    main()
