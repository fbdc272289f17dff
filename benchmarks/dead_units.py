"""How many networks collapse whose bottlenecks are narrow and end in ReLU, against linear ones.

    python benchmarks/dead_units.py
    python benchmarks/dead_units.py --seeds 2 --steps 50 --no-plot

Each network has eight bottlenecks of 2, 4, 8 or 16 channels between layers of 16, and learns to give back smooth random
images. All start from He's initialisation and train alike: Adam, the same rate, the same images for each seed. A
network has collapsed if it ends no better than the best constant. Dead units are counted by
`narrows.training.DeadUnits` over images not seen in training.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from common import middle, save, table
from torch import Tensor, nn

from narrows.training.dead_units import DeadUnits

WIDTHS = (2, 4, 8, 16)
ENDS = ("relu", "linear")
BOTTLENECKS = 8
HIDDEN = 16
PLOT = Path(__file__).resolve().parents[1] / "docs" / "figures" / "dead_units.svg"


def network(width: int, end: str) -> nn.Sequential:
    """Eight bottlenecks to `width` channels, their ends ReLU or linear, without batch norm."""
    layers: list[nn.Module] = [nn.Conv2d(1, HIDDEN, 3, padding=1), nn.ReLU()]
    for _ in range(BOTTLENECKS):
        layers += [nn.Conv2d(HIDDEN, width, 1), nn.ReLU() if end == "relu" else nn.Identity()]
        layers += [nn.Conv2d(width, HIDDEN, 3, padding=1), nn.ReLU()]
    model = nn.Sequential(*layers, nn.Conv2d(HIDDEN, 1, 1))
    for part in model.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight)
            nn.init.zeros_(part.bias)
    return model


def images(count: int, generator: torch.Generator) -> Tensor:
    """Smooth random images, (count, 1, 12, 12), mean 0 and variance 1 each."""
    coarse = torch.randn(count, 1, 5, 5, generator=generator)
    fine = F.interpolate(coarse, size=12, mode="bilinear", align_corners=True)
    return (fine - fine.mean((2, 3), keepdim=True)) / fine.std((2, 3), keepdim=True)


def trained(width: int, end: str, seed: int, steps: int, rate: float) -> dict[str, Any]:
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(1000 + seed)
    model = network(width, end)
    step = torch.optim.Adam(model.parameters(), rate)
    for _ in range(steps):
        batch = images(8, generator)
        step.zero_grad(set_to_none=True)
        F.mse_loss(model(batch), batch).backward()
        step.step()
    unseen = images(64, torch.Generator().manual_seed(7))
    ends = {f"bottleneck {i + 1}": model[3 + 4 * i] for i in range(BOTTLENECKS)}
    with torch.no_grad(), DeadUnits(model, ends) as monitor:
        loss = float(F.mse_loss(model(unseen), unseen))
    constant = float(unseen.var(unbiased=False))
    dead = sum(len(layer.dead) for layer in monitor.layers()) if end == "relu" else 0
    return {"loss": loss / constant, "collapsed": loss > 0.95 * constant, "dead": dead}


def measure(seeds: int, steps: int, rate: float) -> list[dict[str, Any]]:
    rows = []
    for width in WIDTHS:
        for end in ENDS:
            runs = [trained(width, end, seed, steps, rate) for seed in range(seeds)]
            rows.append(
                {
                    "width": width,
                    "end": end,
                    "seeds": seeds,
                    "collapsed": sum(run["collapsed"] for run in runs),
                    "dead_units": round(sum(run["dead"] for run in runs) / (seeds * width * BOTTLENECKS), 3),
                    "loss_median": round(middle(run["loss"] for run in runs), 4),
                    "losses": [round(run["loss"], 4) for run in runs],
                }
            )
    return rows


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Each network's final error as a dot, by width and end; beside it how many collapsed."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "narrows"
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(8.5, 3.4), width_ratios=(3, 2))
    colours = {"relu": "#c0392b", "linear": "#2471a3"}
    names = {"relu": "ends in ReLU", "linear": "ends linearly"}
    for place, width in enumerate(WIDTHS):
        for shift, end in zip((-0.18, 0.18), ENDS, strict=True):
            row = next(r for r in rows if r["width"] == width and r["end"] == end)
            spread = [place + shift + 0.015 * (i - len(row["losses"]) / 2) for i in range(len(row["losses"]))]
            left.scatter(spread, row["losses"], s=16, color=colours[end], label=names[end] if not place else None)
            right.bar(place + shift, row["collapsed"], 0.34, color=colours[end])
            right.annotate(str(row["collapsed"]), (place + shift, row["collapsed"]), ha="center", va="bottom")
    left.axhline(1.0, color="#888888", linewidth=1, linestyle="--")
    left.set_yscale("log")
    left.annotate("the best constant", (3.45, 1.03), ha="right", va="bottom", color="#666666", fontsize=8)
    left.set_ylabel("error / variance of the images")
    left.legend(frameon=False, loc="lower left")
    right.set_ylabel(f"collapsed, of {rows[0]['seeds']}")
    right.set_ylim(0, rows[0]["seeds"] * 1.1)
    for axes in (left, right):
        axes.set_xticks(range(len(WIDTHS)), [str(width) for width in WIDTHS])
        axes.set_xlabel("channels of the bottlenecks")
        axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--rate", type=float, default=0.01)
    parser.add_argument("--no-plot", action="store_true")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    rows = measure(chosen.seeds, chosen.steps, chosen.rate)
    table("Networks that collapsed", rows, ["width", "end", "seeds", "collapsed", "dead_units", "loss_median"])
    save("dead_units", {"steps": chosen.steps, "rate": chosen.rate, "bottlenecks": BOTTLENECKS}, rows)
    if not chosen.no_plot:
        draw(rows, PLOT)


if __name__ == "__main__":
    main()
