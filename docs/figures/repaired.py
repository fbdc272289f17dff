"""Draw docs/images/repaired/TASK.png: a crop as given, repaired by each network, the reference, and what is left.

python docs/figures/repaired.py --runs runs/twins [--task demosaic]

The recursive core has the weights that come with narrows; the other networks are those that
`benchmarks/imaging_twins.py` trained alike into the folder `--runs`, as far as they are there. The crops are of
photographs in the public domain or under CC0 (`narrows.imaging.photographs`). The last column is mid-grey plus four
times the recursive core's result less the reference.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import matplotlib
import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

from imaging_twins import network
from safetensors.torch import load_file

from narrows.imaging import weights
from narrows.imaging.evaluation import cases, score
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
    "demosaic": ("", "hopper", 90, 130),
}
TITLES = {"causal": "causal FIR", "unet": "U-Net", "symmetric": "symmetric FIR"}
FOLDER = Path(__file__).resolve().parents[1] / "images" / "repaired"


def networks(task: str, runs: Path) -> dict[str, nn.Module]:
    """The recursive core and the twins that are there, by title, in eval mode."""
    found = {"recursive": weights.load(task)}
    for name, title in TITLES.items():
        folder = runs / f"{task}_{name}"
        if (folder / "result.json").exists():
            assert json.loads((folder / "result.json").read_text())["task"] == task
            model = network(name, TASKS[task].gives).eval()
            model.load_state_dict(load_file(folder / "model.safetensors"))
            found[title] = model
    return found


def draw(task: str, runs: Path, file: Path) -> None:
    test, photograph, top, left = CROPS[task]
    (case,) = [case for case in cases(task, [photograph]) if case.test == test]
    inner = (..., slice(top, top + ROWS), slice(left, left + COLUMNS))
    panels: list[tuple[str, Tensor]] = [("as given", case.observed[inner])]
    residue = None
    with torch.no_grad():
        for title, model in networks(task, runs).items():
            made = model(case.inputs)
            panels.append((f"{title}: {score(case, made).psnr:.2f} dB", made[inner]))
            if residue is None:
                residue = 0.5 + GAIN * (made - case.target)[inner]
    assert residue is not None
    panels += [("reference", case.target[inner]), (f"recursive less reference, x {GAIN}", residue)]
    figure, axes = plt.subplots(1, len(panels), figsize=(2.08 * len(panels), 2.02), dpi=100)
    for axis, (title, pixels) in zip(axes, panels, strict=True):
        shown = pixels[0].clamp(0, 1).permute(1, 2, 0).expand(-1, -1, 3).numpy()
        axis.imshow(shown, interpolation="nearest")
        axis.set_title(title, fontsize=7.5, pad=3)
        axis.set_axis_off()
    figure.subplots_adjust(0.002, 0.0, 0.998, 0.91, wspace=0.02)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=Path("runs/twins"))
    parser.add_argument("--task", action="append", choices=weights.available(), help="may be repeated; all if left out")
    given = parser.parse_args()
    torch.set_num_threads(1)
    for task in given.task or weights.available():
        draw(task, given.runs, FOLDER / f"{task}.png")


if __name__ == "__main__":
    main()
