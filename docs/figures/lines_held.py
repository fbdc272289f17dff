"""Draw docs/images/lines_held.png: the lines that each form of a layer, and of a network, holds while an image arrives.

python docs/figures/lines_held.py [OUTPUT.png]

Rows come one at a time. Counted is what is left once a row has come and all that can be made of it is made: the rows of
each value that a later row still needs, and rows of state, in lines of one channel. They are taken from the schedule
that a run follows. The full frame holds every row that has come until the last one has.
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib
import torch
from torch import nn

from narrows.layers.fir_iir import ResidualSeparable, VerticalFIR
from narrows.layers.vertical_iir import VerticalIIR
from narrows.streaming.capturing import captured
from narrows.streaming.schedule import Schedule

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes

ROWS, WIDTH, CHANNELS, BLOCKS = 48, 8, 8, 2
INK, GRID = "#24303a", "#e4e9ee"
COLOURS = {
    "full frame": "#9aa5ae",
    "FIR 3x3": "#f2a33a",
    "FIR 5x1": "#c8553d",
    "FIR 5x1, causal": "#8e6bbf",
    "IIR, order 1": "#5b9e6f",
    "IIR, order 2": "#1f6b4a",
    "IIR, order 1, delay 2": "#2878b5",
}


# These hold as many lines as another form: dashed, so that both are seen.
DASHED = ("FIR 5x1, causal", "IIR, order 2")


def layers() -> dict[str, nn.Module]:
    """One layer of one channel in each form."""
    return {
        "FIR 3x3": nn.Conv2d(1, 1, 3, padding=1),
        "FIR 5x1": VerticalFIR(1, 5),
        "FIR 5x1, causal": VerticalFIR(1, 5, causal=True),
        "IIR, order 1": VerticalIIR(1, 1),
        "IIR, order 2": VerticalIIR(1, 2),
        "IIR, order 1, delay 2": VerticalIIR(1, 1, delay=2),
    }


class Full(nn.Module):
    """A residual block of two full 3x3 convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1)
        self.second = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x + self.second(torch.relu(self.first(x))))


def networks() -> dict[str, nn.Module]:
    """The same, as residual blocks of two layers: the skips wait for their branches."""
    made = {
        "FIR 3x3": Full,
        "FIR 5x1": lambda: ResidualSeparable.fir(CHANNELS, vertical=5),
        "FIR 5x1, causal": lambda: ResidualSeparable.fir(CHANNELS, vertical=5, causal=True),
        "IIR, order 1": lambda: ResidualSeparable.fir_iir(CHANNELS, order=1),
        "IIR, order 2": lambda: ResidualSeparable.fir_iir(CHANNELS, order=2),
        "IIR, order 1, delay 2": lambda: ResidualSeparable.fir_iir(CHANNELS, order=1, delay=2),
    }
    return {name: nn.Sequential(*(block() for _ in range(BLOCKS))) for name, block in made.items()}


def held(network: nn.Module, channels: int) -> tuple[list[float], int]:
    """Lines of one channel held after each row has come, and the row with which the first of the result leaves."""
    graph = captured(network.eval(), [(1, channels, ROWS, WIDTH)], [torch.float32])
    schedule = Schedule(graph, 1)
    done = [0] * len(graph.nodes)
    source = graph.inputs[0]
    found = [0.0]
    for steps in schedule.steps():
        for step in steps:
            done[step.node] = step.stop
        lines = 0.0
        for node in schedule.rowed:
            values = node.row_bytes / node.itemsize / WIDTH
            lines += values * (done[node.index] - schedule.kept_from(node, done) if done[node.index] else 0)
            lines += node.state_bytes / node.itemsize / WIDTH if done[node.index] else 0
        # Of several rows that a step takes at once, those before the last have come and wait.
        while len(found) < done[source]:
            found.append(found[-1] + channels)
        if len(found) == done[source] < ROWS:
            found.append(lines)
    return found[1:ROWS], schedule.delay


def draw(axes: Axes, forms: dict[str, nn.Module], channels: int, title: str) -> None:
    rows = range(1, ROWS)
    axes.plot(rows, [channels * row for row in rows], color=COLOURS["full frame"], linewidth=2, label="full frame")
    for name, network in forms.items():
        lines, delay = held(network, channels)
        print(f"{title}: {name}: {lines[ROWS // 2]:g} lines held, the first leaves with row {delay}")
        style = (0, (3, 3)) if name in DASHED else "solid"
        axes.step(rows, lines, where="mid", color=COLOURS[name], linewidth=2.2, linestyle=style, label=name)
        axes.plot(delay, lines[delay - 1], "o", color=COLOURS[name], markersize=7, markeredgecolor="white")
    axes.set_title(title, fontsize=10, color=INK)
    axes.set_xlabel("rows that have come", fontsize=9, color=INK)
    axes.grid(color=GRID)
    axes.tick_params(labelsize=8, colors=INK)
    axes.spines[["top", "right"]].set_visible(False)


def main() -> None:
    default = Path(__file__).resolve().parents[1] / "images" / "lines_held.png"
    output = Path(sys.argv[1]) if len(sys.argv) > 1 else default
    figure, axes = plt.subplots(1, 2, figsize=(11, 4.6))
    draw(axes[0], layers(), 1, "one layer of one channel")
    draw(axes[1], networks(), CHANNELS, f"{BLOCKS} residual blocks of {CHANNELS} channels, two layers each")
    axes[0].set(ylim=(0, 6), xlim=(0, 16))
    axes[1].set(ylim=(0, 260), xlim=(0, ROWS))
    axes[0].set_ylabel("lines of one channel held", fontsize=9, color=INK)
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="lower center", ncols=4, fontsize=9, frameon=False)
    figure.tight_layout(rect=(0, 0.12, 1, 1))
    figure.savefig(output, dpi=110, metadata={"Software": None})
    print(f"written: {output}")


if __name__ == "__main__":
    main()
