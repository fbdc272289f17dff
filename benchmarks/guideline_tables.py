"""ShuffleNet V2's tables 1 to 4, whole: G1 equal widths, G2 groups, G3 fragments, G4 element-wise operations.

    python benchmarks/guideline_tables.py [--seconds 3] [--only "G1 widths, GPU"]

56 x 56, 10 blocks, one image, one thread: the paper's blocks (arXiv 1807.11164) at the channels of both of its columns,
GPU and ARM, each at widths x1, x2 and x4. Within a table and a width every row has the same multiply-accumulates but
for rounding, and all take turns, 7 to 25 rounds. The paper's speeds stand beside ours as times relative to the table's
first row. For G3 the channels of the fragments are those that keep the operations of the first row, as the paper says
without giving them; for G4 all three convolutions have the channels that it names. Eight groups don't divide the
paper's 180 channels: here are 184.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterable
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
WIDTHS = (1, 2, 4)
FEWEST, MOST = 7, 25  # rounds
MEASURED = "guideline_tables_measured"
PLOT = Path(__file__).resolve().parents[1] / "docs" / "images" / "claims_guidelines.png"


class Parallel(nn.Module):
    """Convolutions side by side, added up."""

    def __init__(self, parts: Iterable[nn.Module]) -> None:
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
    """A row of a table: channels at width x1, how a block is made of those at a width, the paper's speeds at each.

    Channels are rounded up to a `multiple`.
    """

    table: str
    column: str
    name: str
    channels: tuple[int, ...]
    block: Callable[..., nn.Module]
    speeds: tuple[float, float, float]
    multiple: int = 1

    def at(self, width: int) -> list[int]:
        """The channels at a width."""
        return [-(-width * count // self.multiple) * self.multiple for count in self.channels]


def _both(table: str, name: str, gpu: Any, arm: Any, block: Callable[..., nn.Module], multiple: int = 1) -> list[Case]:
    """The row in the paper's two columns: for each its channels at x1, and its speeds at the three widths."""
    return [
        Case(table, column, name, part[0], block, part[1:], multiple) for column, part in (("GPU", gpu), ("ARM", arm))
    ]


def _widths(first: int, second: int) -> nn.Module:
    return nn.Sequential(point(first, second), point(second, first))


def _groups(groups: int) -> Callable[[int], nn.Module]:
    return lambda channels: point(channels, channels, groups)


def _series(count: int) -> Callable[[int], nn.Module]:
    return lambda channels: nn.Sequential(*[point(channels, channels) for _ in range(count)])


def _parallel(count: int) -> Callable[[int], nn.Module]:
    return lambda channels: Parallel(point(channels, channels) for _ in range(count))


def _unit(relu: bool, shortcut: bool) -> Callable[[int], nn.Module]:
    return lambda channels: Unit(channels, relu, shortcut)


G1, G2, G3, G4 = "G1 widths", "G2 groups", "G3 fragments", "G4 element-wise"
CASES = [
    *_both(G1, "1:1", ((128, 128), 1480, 723, 232), ((32, 32), 76.2, 21.7, 5.3), _widths),
    *_both(G1, "1:2", ((90, 180), 1296, 586, 206), ((22, 44), 72.9, 20.5, 5.1), _widths),
    *_both(G1, "1:6", ((52, 312), 876, 489, 189), ((13, 78), 69.1, 17.9, 4.6), _widths),
    *_both(G1, "1:12", ((36, 432), 748, 392, 163), ((9, 108), 57.6, 15.1, 4.4), _widths),
    *_both(G2, "1 group", ((128,), 2451, 1289, 437), ((64,), 40.0, 10.2, 2.3), _groups(1)),
    *_both(G2, "2 groups", ((180,), 1725, 873, 341), ((90,), 35.0, 9.5, 2.2), _groups(2)),
    *_both(G2, "4 groups", ((256,), 1026, 644, 338), ((128,), 32.9, 8.7, 2.1), _groups(4)),
    *_both(G2, "8 groups", ((360,), 634, 445, 230), ((180,), 27.8, 7.5, 1.8), _groups(8), 8),
    *_both(G3, "one", ((128,), 2446, 1274, 434), ((64,), 40.2, 10.1, 2.3), _series(1)),
    # A half of the operations each: channels / sqrt(2).
    *_both(G3, "2 in series", ((90,), 1790, 909, 336), ((45,), 38.6, 10.1, 2.2), _series(2)),
    *_both(G3, "4 in series", ((64,), 752, 745, 349), ((32,), 38.4, 10.1, 2.3), _series(4)),
    *_both(G3, "2 in parallel", ((90,), 1537, 803, 320), ((45,), 33.4, 9.1, 2.2), _parallel(2)),
    *_both(G3, "4 in parallel", ((64,), 691, 572, 292), ((32,), 35.0, 8.4, 2.1), _parallel(4)),
    *_both(G4, "ReLU and shortcut", ((32,), 2427, 2066, 1436), ((32,), 56.7, 16.9, 5.0), _unit(True, True)),
    *_both(G4, "ReLU alone", ((32,), 2647, 2256, 1735), ((32,), 61.9, 18.8, 5.2), _unit(True, False)),
    *_both(G4, "shortcut alone", ((32,), 2672, 2121, 1458), ((32,), 57.3, 18.2, 5.1), _unit(False, True)),
    *_both(G4, "neither", ((32,), 2842, 2376, 1782), ((32,), 66.3, 20.2, 5.4), _unit(False, False)),
]


def macs(model: nn.Module) -> int:
    return sum(part.weight.numel() for part in model.modules() if isinstance(part, nn.Conv2d)) * SIDE * SIDE


def access(model: nn.Module) -> int:
    """The paper's memory access cost of 1 x 1 and other convolutions: hw (c1 + c2) + weights."""
    convolutions = [part for part in model.modules() if isinstance(part, nn.Conv2d)]
    return sum(SIDE * SIDE * (c.in_channels + c.out_channels) + c.weight.numel() for c in convolutions)


def measured(seconds: float, only: str | None = None) -> list[dict[str, Any]]:
    """A row for each case at each width; the cases of a table, column and width take turns for about `seconds`.

    With `only`, a table and a column, just these.
    """
    torch.set_num_threads(1)
    rows = []
    for name, column in dict.fromkeys((case.table, case.column) for case in CASES):
        if only not in (None, f"{name}, {column}"):
            continue
        cases = [case for case in CASES if (case.table, case.column) == (name, column)]
        for place, width in enumerate(WIDTHS):
            channels = [case.at(width) for case in cases]
            models = [
                nn.Sequential(*[case.block(*wide) for _ in range(BLOCKS)]).eval()
                for case, wide in zip(cases, channels, strict=True)
            ]
            images = [torch.rand(1, wide[0], SIDE, SIDE) for wide in channels]
            with torch.inference_mode():
                works = {
                    case.name: (lambda model=model, image=image: model(image))
                    for case, model, image in zip(cases, models, images, strict=True)
                }
                begun = time.perf_counter()
                interleaved(works, 0)
                rounds = min(max(int(2 * seconds / (time.perf_counter() - begun)), FEWEST), MOST)
                times, disturbed = interleaved(works, rounds)
            for case, wide, model in zip(cases, channels, models, strict=True):
                rows.append(
                    {
                        "table": name,
                        "column": column,
                        "case": case.name,
                        "width": width,
                        "channels": wide,
                        "M_macs": round(macs(model) / 1e6, 1),
                        "M_access": round(access(model) / 1e6, 2),
                        "rounds": len(times[case.name]),
                        "disturbed": disturbed,
                        **summary(times[case.name]),
                        **ratio(times[case.name], times[cases[0].name]),
                        "paper": round(cases[0].speeds[place] / case.speeds[place], 2),
                    }
                )
    return rows


def compact(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row for each of the paper's: at each width our time relative to the table's first row, and the paper's."""
    found = []
    for name, column, case in dict.fromkeys((row["table"], row["column"], row["case"]) for row in rows):
        mine = [row for row in rows if (row["table"], row["column"], row["case"]) == (name, column, case)]
        shown: dict[str, Any] = {
            "table": name,
            "paper's": column,
            "case": case,
            "channels": ", ".join(map(str, mine[0]["channels"])),
            "M_access": mine[0]["M_access"],
            "ms": mine[0]["ms"],
        }
        for row in mine:
            low, high = row["ratio_low"], row["ratio_high"]
            here = f"{row['ratio']:.2f} ({low:.2f} to {high:.2f})" if row["ratio_low"] != row["ratio_high"] else "1"
            shown |= {f"here x{row['width']}": here, f"paper x{row['width']}": row["paper"]}
        found.append(shown)
    return found


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Times relative to each table's first row: bars with the middle half of the rounds, the paper's as diamonds."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    names = list(dict.fromkeys(row["table"] for row in rows))
    figure, axes = plt.subplots(len(names), 2, figsize=(11, 13), layout="constrained", sharey="row")
    colours = {1: "#9cc3e0", 2: "#5b93bd", 4: "#27567d"}
    for line, name in zip(axes, names, strict=True):
        for axis, column in zip(line, ("GPU", "ARM"), strict=True):
            mine = [row for row in rows if (row["table"], row["column"]) == (name, column)]
            cases = list(dict.fromkeys(row["case"] for row in mine))
            for row in mine:
                shift = 0.26 * (WIDTHS.index(row["width"]) - 1)
                place = cases.index(row["case"]) + shift
                error = [[row["ratio"] - row["ratio_low"]], [row["ratio_high"] - row["ratio"]]]
                first = row["case"] == cases[0]
                label = f"here, x{row['width']}" if first else None
                axis.bar(place, row["ratio"], 0.24, yerr=error, color=colours[row["width"]], label=label)
                axis.plot(place, row["paper"], "D", color="#e8842c", markersize=5, markeredgecolor="white")
            axis.plot([], [], "D", color="#e8842c", label=f"paper, {column}, same width")
            axis.axhline(1, color="black", linewidth=0.6)
            axis.set_xticks(
                range(len(cases)), [case.replace(" in ", "\nin ").replace(" and", "\nand") for case in cases]
            )
            axis.set_title(f"{name}, the paper's {column} channels", fontsize=10)
            axis.tick_params(labelsize=8)
        line[0].set_ylabel("time relative\nto the first")
    axes[0][0].legend(fontsize=8)
    axes[0][1].legend(fontsize=8, loc="upper left")
    figure.savefig(path, dpi=100)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3, help="for each table, column and width")
    parser.add_argument("--only", metavar="TABLE, COLUMN", help="measure these again, and keep the others")
    parser.add_argument("--redraw", action="store_true", help="draw the plot again from the results on disk")
    chosen = parser.parse_args()
    if chosen.redraw:
        draw(json.loads((RESULTS / f"{MEASURED}.json").read_text())["rows"], PLOT)
        return
    rows = measured(chosen.seconds, chosen.only)
    if chosen.only:
        again = {(row["table"], row["column"], row["width"], row["case"]): row for row in rows}
        before = json.loads((RESULTS / f"{MEASURED}.json").read_text())["rows"]
        rows = [again.get((row["table"], row["column"], row["width"], row["case"]), row) for row in before]
    settings = {"seconds": chosen.seconds, "threads": 1, "side": SIDE, "blocks": BLOCKS}
    save(MEASURED, settings, rows)
    shown = compact(rows)
    table("ShuffleNet V2, tables 1 to 4", shown, COLUMNS["guideline_tables"])
    save("guideline_tables", settings, shown)
    draw(rows, PLOT)


if __name__ == "__main__":
    main()
