"""Draw docs/images/repaired/TASK.png: a crop as given, repaired, the reference, and what is left.

python docs/figures/repaired.py [--task demosaic]
python docs/figures/repaired.py --twins runs/twins [--task demosaic]
python docs/figures/repaired.py --curve runs/curve

The repair is that of the weights which come with narrows. The crops are of photographs in the public domain or under
CC0 (`narrows.imaging.photographs`). What is left is shown as mid-grey plus four times the result less the reference.

With `--twins`, docs/images/repaired/TASK_twins.png: the networks that `benchmarks/imaging_twins.py` trained alike into
that folder, the recursive core first.

With `--curve`, docs/images/repaired/equal_bits.png: two cores of `benchmarks/imaging_curve.py`, recursive and
convolutional, whose lines hold equally many bits.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path

import matplotlib
import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

from imaging_twins import network
from safetensors.torch import load_file

from narrows.imaging import weights
from narrows.imaging.evaluation import Case, cases, score
from narrows.imaging.recipes.curve import core_of
from narrows.imaging.tasks import TASKS

matplotlib.use("Agg")
import matplotlib.pyplot as plt

ROWS, COLUMNS, GAIN = 88, 104, 4
# Test, photograph, first row and column of the crop.
CROPS = {
    "denoise": ("sigma 25", "coffee", 60, 150),
    "denoise-colour": ("sigma 25", "chelsea", 40, 110),
    "denoise-sensor": ("dark", "astronaut", 90, 130),
    "deblur-gaussian": ("sigma 1.6", "rocket", 100, 140),
    "deblur-motion": ("45 degrees", "astronaut", 90, 130),
    "colourise": ("", "astronaut", 90, 130),
    "demosaic": ("", "hopper", 10, 130),
}
TITLES = {"recursive": "recursive", "causal": "causal FIR", "unet": "U-Net", "symmetric": "symmetric FIR"}
FOLDER = Path(__file__).resolve().parents[1] / "images" / "repaired"


def networks(task: str, runs: Path) -> dict[str, nn.Module]:
    """The recursive core and the twins that were trained alike, by title, in eval mode."""
    found = {}
    for name, title in TITLES.items():
        folder = runs / f"{task}_{name}"
        if (folder / "result.json").exists():
            assert json.loads((folder / "result.json").read_text())["task"] == task
            model = network(name, TASKS[task].gives).eval()
            model.load_state_dict(load_file(folder / "model.safetensors"))
            found[title] = model
        elif name == "recursive":
            found[title] = weights.load(task)
    return found


def draw(task: str, models: Mapping[str, nn.Module], left: list[str], file: Path) -> None:
    """Networks by title on the task's crop; of those in `left` what is left, too."""
    test, photograph, top, first = CROPS[task]
    (case,) = [case for case in cases(task, [photograph]) if case.test == test]
    with torch.no_grad():
        made = {title: model(case.inputs) for title, model in models.items()}
    save(panels(case, made, (top, first), left), file)


def draw_equal_bits(runs: Path, file: Path) -> None:
    """The two cores of the curve on a crop of their task."""
    test, photograph, top, left = "sigma 25", "chelsea", 60, 140
    (case,) = [case for case in cases("denoise", [photograph]) if case.test == test]
    made = {}
    for title, name in {"recursive": "iir_d4_s4", "causal FIR": "causal_d4_s1"}.items():
        core = core_of(json.loads((runs / name / "result.json").read_text())["configuration"]).eval()
        core.load_state_dict(load_file(runs / name / "core.safetensors"))
        with torch.no_grad():
            made[title] = core(case.observed)
    save(panels(case, made, (top, left), list(made)), file)


def panels(case: Case, made: dict[str, Tensor], corner: tuple[int, int], left: list[str]) -> list[tuple[str, Tensor]]:
    """Titles and crops (1, 1 or 3, ROWS, COLUMNS); of those named in `left` what is left, too."""
    inner = (..., slice(corner[0], corner[0] + ROWS), slice(corner[1], corner[1] + COLUMNS))
    found = [("as given", case.observed[inner])]
    found += [(f"{title}: {score(case, result).psnr:.2f} dB", result[inner]) for title, result in made.items()]
    found.append(("reference", case.target[inner]))
    for title in left:
        found.append((f"{title} less reference, x {GAIN}", 0.5 + GAIN * (made[title] - case.target)[inner]))
    return found


def save(shown: list[tuple[str, Tensor]], file: Path) -> None:
    """Write the panels side by side."""
    figure, axes = plt.subplots(1, len(shown), figsize=(2.08 * len(shown), 2.02), dpi=100)
    for axis, (title, pixels) in zip(axes, shown, strict=True):
        axis.imshow(pixels[0].clamp(0, 1).permute(1, 2, 0).expand(-1, -1, 3).numpy(), interpolation="nearest")
        axis.set_title(title, fontsize=7.5, pad=3)
        axis.set_axis_off()
    figure.subplots_adjust(0.002, 0.0, 0.998, 0.91, wspace=0.02)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--twins", type=Path, help="runs of the twins: draw them beside each other")
    parser.add_argument("--task", action="append", choices=weights.available(), help="may be repeated; all if left out")
    parser.add_argument("--curve", type=Path, help="runs of the curve: draw two cores of equal bits alone")
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.curve is not None:
        draw_equal_bits(given.curve, FOLDER / "equal_bits.png")
        return
    for task in given.task or weights.available():
        if given.twins is not None:
            models = networks(task, given.twins)
            draw(task, models, ["recursive", "causal FIR"], FOLDER / f"{task}_twins.png")
        else:
            draw(task, {"repaired": weights.load(task)}, ["repaired"], FOLDER / f"{task}.png")


if __name__ == "__main__":
    main()
