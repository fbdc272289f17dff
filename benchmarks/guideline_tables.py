"""ShuffleNet V2's tables 1 to 4 here: G1 equal widths, G2 groups, G3 fragments, G4 element-wise operations.

    python benchmarks/guideline_tables.py [--rounds 15]

56 x 56, 10 blocks, one image, one thread, channels as in the paper (arXiv 1807.11164) for its GPU at width x1 and, for
G1, its ARM at x1. Within a table every row has the same multiply-accumulates but for rounding. The paper's batches a
second stand beside ours as times relative to the table's first row. For G3 and G4 the channels are those that keep the
operations of the first row, 128 and 32: this project's choice.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from common import RESULTS, save, table
from interleaved import interleaved, ratio, summary
from report import COLUMNS
from torch import Tensor, nn

SIDE, BLOCKS = 56, 10
PLOT = Path(__file__).resolve().parents[1] / "docs" / "images" / "claims_guidelines.png"


class Parallel(nn.Module):
    """Convolutions side by side, added up."""

    def __init__(self, parts: list[nn.Module]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)

    def forward(self, x: Tensor) -> Tensor:
        first, *rest = (part(x) for part in self.parts)
        for other in rest:
            first = first + other
        return first


class Unit(nn.Module):
    """1 x 1, 3 x 3, 1 x 1, with or without ReLU and shortcut."""

    def __init__(self, channels: int, relu: bool, shortcut: bool) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Conv2d(channels, channels, k, padding=k // 2, bias=False) for k in (1, 3, 1))
        self.relu, self.shortcut = relu, shortcut

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for layer in self.layers:
            y = F.relu(layer(y)) if self.relu else layer(y)
        return x + y if self.shortcut else y


def point(channels_in: int, channels_out: int, groups: int = 1) -> nn.Conv2d:
    return nn.Conv2d(channels_in, channels_out, 1, groups=groups, bias=False)


@dataclass(frozen=True)
class Case:
    """A row of a table: `gpu` and `arm` are the paper's batches or images a second at width x1."""

    table: str
    name: str
    channels: int
    block: Callable[[], nn.Module]
    gpu: float | None
    arm: float | None


def _widths(table: str, first: int, second: int, gpu: float | None, arm: float | None) -> Case:
    def block() -> nn.Module:
        return nn.Sequential(point(first, second), point(second, first))

    return Case(table, f"{first} to {second}", first, block, gpu, arm)


def _groups(groups: int, channels: int, gpu: float | None, arm: float | None) -> Case:
    def block() -> nn.Module:
        return nn.Sequential(point(channels, channels, groups), point(channels, channels, groups))

    return Case("G2 groups", f"g = {groups}, {channels} channels", channels, block, gpu, arm)


def _fragments(name: str, count: int, channels: int, series: bool, gpu: float | None, arm: float | None) -> Case:
    def block() -> nn.Module:
        parts: list[nn.Module] = [point(channels, channels) for _ in range(count)]
        return nn.Sequential(*parts) if series else Parallel(parts)

    return Case("G3 fragments", f"{name}, {channels} channels", channels, block, gpu, arm)


def _elements(name: str, relu: bool, shortcut: bool, gpu: float | None, arm: float | None) -> Case:
    return Case("G4 element-wise", name, 32, lambda: Unit(32, relu, shortcut), gpu, arm)


CASES = [
    _widths("G1 widths", 128, 128, 1480, None),
    _widths("G1 widths", 90, 180, 1296, None),
    _widths("G1 widths", 52, 312, 876, None),
    _widths("G1 widths", 36, 432, 748, None),
    _widths("G1 widths, ARM's", 32, 32, None, 76.2),
    _widths("G1 widths, ARM's", 22, 44, None, 72.9),
    _widths("G1 widths, ARM's", 13, 78, None, 69.1),
    _widths("G1 widths, ARM's", 9, 108, None, 57.6),
    _groups(1, 128, 2451, 40.0),
    _groups(2, 180, None, None),
    _groups(4, 256, None, None),
    _groups(8, 360, 634, 27.8),
    _fragments("one", 1, 128, True, 2446, 40.2),
    _fragments("4 in series", 4, 64, True, 752, 38.4),
    _fragments("4 in parallel", 4, 64, False, 691, 35.0),
    _elements("ReLU and shortcut", True, True, 2427, 56.7),
    _elements("ReLU alone", True, False, None, None),
    _elements("shortcut alone", False, True, None, None),
    _elements("neither", False, False, 2842, 66.3),
]


def access(model: nn.Module) -> int:
    """The paper's memory access cost of 1 x 1 and other convolutions: hw (c1 + c2) + weights."""
    convolutions = [part for part in model.modules() if isinstance(part, nn.Conv2d)]
    return sum(SIDE * SIDE * (c.in_channels + c.out_channels) + c.weight.numel() for c in convolutions)


def measured(rounds: int) -> list[dict[str, Any]]:
    torch.set_num_threads(1)
    rows = []
    for name in dict.fromkeys(case.table for case in CASES):
        cases = [case for case in CASES if case.table == name]
        models = [nn.Sequential(*[case.block() for _ in range(BLOCKS)]).eval() for case in cases]
        images = [torch.rand(1, case.channels, SIDE, SIDE) for case in cases]
        with torch.inference_mode():
            works = {
                case.name: (lambda model=model, image=image: model(image))
                for case, model, image in zip(cases, models, images, strict=True)
            }
            times = interleaved(works, rounds)
        base = cases[0]
        for case, model in zip(cases, models, strict=True):
            macs = sum(part.weight.numel() for part in model.modules() if isinstance(part, nn.Conv2d)) * SIDE * SIDE
            rows.append(
                {
                    "table": name,
                    "case": case.name,
                    "M_macs": round(macs / 1e6, 1),
                    "M_access": round(access(model) / 1e6, 2),
                    **summary(times[case.name]),
                    **ratio(times[case.name], times[base.name]),
                    "paper_gpu": round(base.gpu / case.gpu, 2) if base.gpu and case.gpu else None,
                    "paper_arm": round(base.arm / case.arm, 2) if base.arm and case.arm else None,
                }
            )
    return rows


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Times relative to each table's first row: ours with the middle half of the rounds, the paper's beside it."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    names = list(dict.fromkeys(row["table"] for row in rows))
    figure, axes = plt.subplots(1, len(names), figsize=(16, 4), layout="constrained")
    for axis, name in zip(axes, names, strict=True):
        mine = [row for row in rows if row["table"] == name]
        places = range(len(mine))
        ours = [row["ratio"] for row in mine]
        error = [[r["ratio"] - r["ratio_low"] for r in mine], [r["ratio_high"] - r["ratio"] for r in mine]]
        axis.bar([p - 0.27 for p in places], ours, 0.27, yerr=error, label="here, one thread", color="#33638d")
        for shift, key, colour, label in (
            (0, "paper_gpu", "#f0a04b", "paper, GPU"),
            (0.27, "paper_arm", "#7bb274", "paper, ARM"),
        ):
            known = [(p + shift, row[key]) for p, row in zip(places, mine, strict=True) if row[key] is not None]
            if known:
                axis.bar(*zip(*known, strict=True), 0.27, color=colour, label=label)
        axis.axhline(1, color="black", linewidth=0.6)
        axis.set_title(name)
        names = [
            row["case"].replace(", ", "\n").replace(" and ", "\nand ").replace(" channels", " ch.") for row in mine
        ]
        axis.set_xticks(list(places), names, fontsize=7, rotation=30)
        axis.legend(fontsize=7, loc="lower right" if name.startswith("G4") else "upper left")
    axes[0].set_ylabel("time relative to the first")
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--redraw", action="store_true", help="draw the plot again from the results on disk")
    chosen = parser.parse_args()
    if chosen.redraw:
        draw(json.loads((RESULTS / "guideline_tables.json").read_text())["rows"], PLOT)
        return
    rows = measured(chosen.rounds)
    table("ShuffleNet V2, tables 1 to 4", rows, COLUMNS["guideline_tables"])
    save("guideline_tables", {"rounds": chosen.rounds, "threads": 1, "side": SIDE, "blocks": BLOCKS}, rows)
    draw(rows, PLOT)


if __name__ == "__main__":
    main()
