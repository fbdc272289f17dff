"""Draw docs/figures/how_it_works.svg: one moment of a run, taken from the real schedule of a small network.

python docs/figures/how_it_works.py [OUTPUT.svg]
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib
import torch
import torch.nn.functional as F
from torch import nn

from narrows.rowgraph.graph import Node, RowGraph
from narrows.streaming.capturing import captured
from narrows.streaming.schedule import Schedule

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, Rectangle

HEIGHT, WIDTH, STRIP, TICK = 96, 40, 8, 6
WHITE, MADE, LINES, NOW, INK = "#ffffff", "#e4e9ee", "#2878b5", "#f2a33a", "#24303a"
LABELS = ["image", "conv 3×3", "conv 3×3\nstride 2", "conv 3×3", "resize 2×\n+ skip", "map"]


class Small(nn.Module):
    """Two scales and a skip connection: enough to see every kind of buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.fine = nn.Conv2d(6, 8, 3, padding=1)
        self.down = nn.Conv2d(8, 16, 3, stride=2, padding=1)
        self.deep = nn.Conv2d(16, 8, 3, padding=1)
        self.head = nn.Conv2d(8, 1, 3, padding=1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        fine = self.fine(image)
        deep = self.deep(self.down(fine))
        return self.head(fine + F.interpolate(deep, scale_factor=2.0, mode="nearest"))


def moment(graph: RowGraph, tick: int) -> dict[int, tuple[int, int, int]]:
    """For each node: the first row still kept, and the rows [start, stop) made in this tick."""
    schedule = Schedule(graph, STRIP)
    done = [0] * len(graph.nodes)
    now: dict[int, tuple[int, int]] = {}
    for count, steps in enumerate(schedule.steps()):
        before = {node.index: schedule.kept_from(node, done) for node in schedule.rowed}
        now = {node.index: (done[node.index], done[node.index]) for node in schedule.rowed}
        for step in steps:
            now[step.node] = (step.start, step.stop)
            done[step.node] = step.stop
        if count == tick:
            break
    return {index: (min(before[index], span[0]), *span) for index, span in now.items()}


def column(axes: Axes, x: float, node: Node, held: tuple[int, int, int], label: str) -> None:
    scale = node.height / HEIGHT
    wide = 0.72 if scale == 1 else 0.44
    left = x - wide / 2
    kept, start, stop = (row / scale for row in held)
    for top, bottom, colour in ((0, kept, MADE), (kept, start, LINES), (start, stop, NOW), (stop, HEIGHT, WHITE)):
        axes.add_patch(Rectangle((left, top), wide, bottom - top, facecolor=colour, edgecolor="none"))
    axes.add_patch(Rectangle((left, 0), wide, HEIGHT, facecolor="none", edgecolor=INK, linewidth=0.9))
    axes.text(x, -3, label, ha="center", va="bottom", fontsize=10, color=INK)
    rows = held[1] - held[0]
    axes.text(x, HEIGHT + 3, f"{rows} kept" if rows else "none kept", ha="center", va="top", fontsize=9, color=LINES)
    axes.text(x, HEIGHT + 9, f"{held[2] - held[1]} made", ha="center", va="top", fontsize=9, color="#b36b00")


def draw(path: Path) -> None:
    graph = captured(Small().eval(), [(1, 6, HEIGHT, WIDTH)], [torch.float32])
    at = moment(graph, TICK)
    rowed = [node for node in graph.nodes if node.rows is not None]
    added = next(node for node in rowed if node.operator.startswith("add"))
    convolutions = [node for node in rowed if node.operator == "conv2d"]
    shown = [rowed[0], *convolutions[:3], added, convolutions[3]]

    plt.rcParams.update({"font.family": "DejaVu Sans", "svg.hashsalt": "narrows"})
    figure, axes = plt.subplots(figsize=(9.2, 4.4), layout="constrained")
    for place, (node, label) in enumerate(zip(shown, LABELS, strict=True)):
        column(axes, place, node, at[node.index], label)
        if place:
            axes.add_patch(
                FancyArrowPatch(
                    (place - 0.62, HEIGHT / 2),
                    (place - 0.40, HEIGHT / 2),
                    arrowstyle="-|>",
                    mutation_scale=9,
                    color=INK,
                )
            )
    axes.add_patch(
        FancyArrowPatch(
            (1, -19), (4, -19), connectionstyle="arc3,rad=-0.12", arrowstyle="-|>", mutation_scale=9, color=INK
        )
    )
    axes.text(2.5, -28, "skip: waits in a line buffer", ha="center", va="bottom", fontsize=9, color=INK)

    delay = Schedule(graph, STRIP).delay
    legend = [
        (MADE, "made and forgotten"),
        (LINES, "line buffer: rows that a later layer still needs"),
        (NOW, "strip: rows made in this step"),
        (WHITE, "not made yet"),
    ]
    for place, (colour, text) in enumerate(legend):
        y = 14 + 13 * place
        axes.add_patch(Rectangle((5.62, y - 3), 0.16, 6, facecolor=colour, edgecolor=INK, linewidth=0.6))
        axes.text(5.86, y, text, va="center", fontsize=9, color=INK)
    note = (
        f"Each row of each layer is made once.\nThe first row of the map leaves when\n{delay} rows of the image are in."
    )
    axes.text(5.62, 74, note, va="center", fontsize=9, color=INK, linespacing=1.5)
    axes.set_xlim(-0.5, 8.35)
    axes.set_ylim(HEIGHT + 17, -36)
    axes.axis("off")
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


if __name__ == "__main__":
    draw(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_suffix(".svg"))
