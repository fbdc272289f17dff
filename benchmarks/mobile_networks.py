"""Networks of like operations, and what squeeze-and-excitation costs in operations and in time.

    python benchmarks/mobile_networks.py [--rounds 15]

224 x 224, one image, one thread, random weights. The papers' times beside ours are relative to each group's first:
ShuffleNet V2 (arXiv 1807.11164), table 8, batches or images a second; MobileNetV2 (arXiv 1801.04381), table 4, Pixel 1;
squeeze-and-excitation (arXiv 1709.01507), CPU.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from common import RESULTS, save, table
from interleaved import interleaved, ratio, summary
from report import COLUMNS
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from narrows.networks.mobilenet_v2 import mobilenet_v2
from narrows.networks.nasnet import nasnet_a_mobile
from narrows.networks.resnet import resnet50, se_resnet50
from narrows.networks.shufflenet import shufflenet_v2

PLOT = Path(__file__).resolve().parents[1] / "docs" / "images" / "claims_networks.png"


@dataclass(frozen=True)
class Entry:
    group: str
    name: str
    build: Callable[[], nn.Module]
    papers: tuple[tuple[str, float], ...] = ()


LIKE = "like operations"
ENTRIES = [
    Entry(LIKE, "MobileNetV2 1.4", lambda: mobilenet_v2(1.4)),
    Entry(LIKE, "NASNet-A mobile", nasnet_a_mobile, (("GPU", 137 / 130), ("ARM", 5.4 / 4.6), ("Pixel 1", 183 / 143))),
    Entry(LIKE, "ShuffleNet V2 2x", lambda: shufflenet_v2(2.0), (("GPU", 137 / 217), ("ARM", 5.4 / 6.7))),
    Entry("squeeze-and-excitation", "ShuffleNet V2 2x", lambda: shufflenet_v2(2.0)),
    Entry(
        "squeeze-and-excitation",
        "the same with it, r = 16",
        lambda: shufflenet_v2(2.0, reduction=16),
        (("GPU", 217 / 161), ("ARM", 6.7 / 5.6)),
    ),
    Entry("squeeze-and-excitation, ResNet", "ResNet-50", resnet50),
    Entry("squeeze-and-excitation, ResNet", "SE-ResNet-50, r = 16", se_resnet50, (("CPU", 167 / 164),)),
]


def macs(model: nn.Module) -> int:
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        model(torch.rand(1, 3, 224, 224))
    return counter.get_total_flops() // 2


def measured(rounds: int) -> list[dict[str, Any]]:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    image, rows = torch.rand(1, 3, 224, 224), []
    for group in dict.fromkeys(entry.group for entry in ENTRIES):
        entries = [entry for entry in ENTRIES if entry.group == group]
        models = {entry.name: entry.build().eval() for entry in entries}
        with torch.inference_mode():
            works = {name: lambda m=model: m(image) for name, model in models.items()}
            times, disturbed = interleaved(works, rounds)
        counts = {name: macs(model) for name, model in models.items()}
        base = entries[0].name
        for entry in entries:
            rows.append(
                {
                    "group": group,
                    "network": entry.name,
                    "rounds": len(times[entry.name]),
                    "disturbed": disturbed,
                    "M_macs": round(counts[entry.name] / 1e6, 1),
                    "more_macs": f"{100 * (counts[entry.name] / counts[base] - 1):+.2f} %",
                    **summary(times[entry.name]),
                    **ratio(times[entry.name], times[base]),
                    "papers": ", ".join(f"{where} {value:.2f}" for where, value in entry.papers),
                }
            )
    return rows


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Each network's time relative to its group's first: ours, and the papers'."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    groups = list(dict.fromkeys(row["group"] for row in rows))
    figure, axes = plt.subplots(1, len(groups), figsize=(13, 4), layout="constrained")
    for axis, group in zip(axes, groups, strict=True):
        for place, row in enumerate(row for row in rows if row["group"] == group):
            error = [[row["ratio"] - row["ratio_low"]], [row["ratio_high"] - row["ratio"]]]
            axis.bar(place, row["ratio"], 0.5, yerr=error, color="#33638d")
            for part in filter(None, row["papers"].split(", ")):
                where, value = part.rsplit(" ", 1)
                axis.plot(place, float(value), "D", color="#f0a04b")
                axis.annotate(
                    where,
                    (place, float(value)),
                    xytext=(7, -3),
                    textcoords="offset points",
                    fontsize=7,
                    bbox={"boxstyle": "round,pad=0.1", "facecolor": "white", "linewidth": 0},
                )
        names = [row["network"] for row in rows if row["group"] == group]
        axis.set_xticks(range(len(names)), [name.replace(", ", "\n") for name in names], fontsize=8)
        axis.axhline(1, color="black", linewidth=0.6)
        axis.set_title(group)
    axes[0].set_ylabel("time relative to the first\n(bars: here, diamonds: papers)")
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--redraw", action="store_true", help="draw the plot again from the results on disk")
    chosen = parser.parse_args()
    if chosen.redraw:
        draw(json.loads((RESULTS / "mobile_networks.json").read_text())["rows"], PLOT)
        return
    rows = measured(chosen.rounds)
    table("Published networks at 224 x 224", rows, COLUMNS["mobile_networks"])
    save("mobile_networks", {"rounds": chosen.rounds, "threads": 1, "size": 224}, rows)
    draw(rows, PLOT)


if __name__ == "__main__":
    main()
