"""Draw docs/figures/fir_iir.svg: impulse responses of the layers, and what each holds while an image arrives.

python docs/figures/fir_iir.py [OUTPUT.svg]
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib
import torch
from torch import nn

from narrows.layers.fir_iir import VerticalFIR
from narrows.layers.vertical_iir import VerticalIIR
from narrows.streaming.capturing import captured
from narrows.streaming.schedule import Schedule

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, Rectangle

HEIGHT, ARRIVED = 14, 9
WHITE, MADE, LINES, NOW, STATE, INK = "#ffffff", "#e4e9ee", "#2878b5", "#f2a33a", "#5b9e6f", "#24303a"


def filters() -> dict[str, nn.Module]:
    """The forms that are compared, with weights that make their shape plain."""
    symmetric, causal = VerticalFIR(1, 5), VerticalFIR(1, 5, causal=True)
    with torch.no_grad():
        symmetric.convolution.weight.copy_(torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0]).view(1, 1, 5, 1) / 16)
        causal.convolution.weight.copy_(torch.tensor([1.0, 2.0, 4.0, 6.0, 7.0]).view(1, 1, 5, 1) / 20)
    made: dict[str, nn.Module] = {"FIR, 5 rows\nsymmetric": symmetric, "FIR, 5 rows\ncausal": causal}
    for name, order, poles, delay in (
        ("IIR, order 1", 1, [[0.65]], 0),
        ("IIR, order 2\n(complex pair)", 2, [[0.6 + 0.35j, 0.6 - 0.35j]], 0),
        ("IIR, order 2\ndelay 2", 2, [[0.45 + 0.3j, 0.45 - 0.3j]], 2),
    ):
        layer = VerticalIIR(1, order, delay=delay)
        layer.set_poles(torch.tensor(poles))
        with torch.no_grad():
            layer.numerator.zero_()
            layer.numerator[:, 0] = 1 - layer.feedback().sum(1)
        made[name] = layer
    return {name: layer.eval() for name, layer in made.items()}


def response(layer: nn.Module) -> list[float]:
    """What a 1 in row 0 gives, from row -4 to row 12."""
    impulse = torch.zeros(1, 1, 17, 1)
    impulse[:, :, 4] = 1
    with torch.no_grad():
        result: list[float] = layer(impulse)[0, 0, :, 0].tolist()
    return result


def moment(layer: nn.Module) -> tuple[int, int, int]:
    """When row `ARRIVED` comes, one row at a time: the first earlier row that was kept for it, the rows that have left,
    and the rows of state, from the schedule that a run follows."""
    graph = captured(layer, [(1, 1, HEIGHT, 8)], [torch.float32])
    schedule = Schedule(graph, 1)
    done = [0] * len(graph.nodes)
    source, sink = graph.inputs[0], graph.outputs[0]
    state = sum(node.state_bytes // node.row_bytes for node in graph.nodes if node.state_bytes)
    kept = 0
    for steps in schedule.steps():
        kept = schedule.kept_from(graph.nodes[source], done)
        for step in steps:
            done[step.node] = step.stop
        if done[source] == ARRIVED + 1:
            break
    return kept, done[sink], state


def draw_response(axes: Axes, name: str, values: list[float]) -> None:
    rows = range(-4, len(values) - 4)
    axes.axvline(0, color=MADE, linewidth=5, zorder=0)
    axes.vlines(rows, 0, values, color=LINES, linewidth=2)
    axes.plot(rows, values, "o", color=LINES, markersize=3)
    axes.axhline(0, color=INK, linewidth=0.6)
    axes.set(ylim=(-0.12, 0.62), xlim=(-4.5, 12.5), xticks=[-4, 0, 4, 8, 12])
    axes.set_title(name, fontsize=9, color=INK)
    axes.tick_params(labelsize=7, colors=INK)
    axes.spines[["top", "right", "bottom"]].set_visible(False)


def draw_moment(axes: Axes, layer: nn.Module) -> None:
    kept, left, state = moment(layer)
    for row in range(HEIGHT):
        colour = NOW if row == ARRIVED else WHITE if row > ARRIVED else LINES if row >= kept else MADE
        axes.add_patch(Rectangle((0, row), 4, 0.9, facecolor=colour, edgecolor=INK, linewidth=0.6))
        made = NOW if row == left - 1 else MADE if row < left else WHITE
        axes.add_patch(Rectangle((8, row), 4, 0.9, facecolor=made, edgecolor=INK, linewidth=0.6))
    for place in range(state):
        top = left - 2.6 - 1.1 * place
        axes.add_patch(Rectangle((4.6, top), 2.8, 0.9, facecolor=STATE, edgecolor=INK, linewidth=0.6))
    arrow = FancyArrowPatch((4.1, ARRIVED + 0.45), (7.9, left - 0.55), arrowstyle="-|>", mutation_scale=9, color=INK)
    axes.add_patch(arrow)
    lines = ARRIVED - kept
    holds = f"keeps {state} of state" if state else f"keeps {lines} lines"
    axes.set(xlim=(-0.5, 12.5), ylim=(HEIGHT + 0.3, -0.6), xticks=[], yticks=[])
    axes.set_xlabel(f"{holds}\nwaits for {ARRIVED - left + 1}", fontsize=8.5, color=INK)
    axes.spines[:].set_visible(False)


def main() -> None:
    output = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_suffix(".svg")
    plt.rcParams.update({"svg.hashsalt": "narrows", "font.family": "DejaVu Sans"})
    forms = filters()
    figure, axes = plt.subplots(2, len(forms), figsize=(11, 5.4), height_ratios=[1, 1.9])
    for column, (name, layer) in enumerate(forms.items()):
        draw_response(axes[0, column], name, response(layer))
        draw_moment(axes[1, column], layer)
    axes[0, 0].set_ylabel("answer to a 1 in row 0", fontsize=8, color=INK)
    axes[1, 0].set_ylabel("rows of the image, and of the result", fontsize=8, color=INK)
    marks = {"arrives, or leaves": NOW, "kept line": LINES, "state": STATE, "done with": MADE, "yet to come": WHITE}
    patches = [Rectangle((0, 0), 1, 1, facecolor=colour, edgecolor=INK, linewidth=0.6) for colour in marks.values()]
    figure.legend(patches, marks, loc="lower center", ncols=5, fontsize=8, frameon=False)
    figure.tight_layout(rect=(0, 0.05, 1, 1))
    figure.savefig(output, metadata={"Date": None})
    print(f"written: {output}")


if __name__ == "__main__":
    main()
