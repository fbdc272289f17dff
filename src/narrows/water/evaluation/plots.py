"""An evaluation as pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from narrows.water.evaluation.body_sizes import BodyRecall
from narrows.water.evaluation.evaluating import Evaluation
from narrows.water.outputs import StagedOutputs, check_output

__all__ = ["check_plots", "save_plots"]

_NAMES = ("scores.png", "calibration.png", "risk_coverage.png", "body_sizes.png", "curves.png")
_COLOURS = (
    *("#125cad", "#1f9c78", "#c43e2c", "#8f5aa8", "#d9881f", "#5f6a72"),
    *("#b0508a", "#7a8f2a", "#3aa0b8", "#a07040", "#303a80", "#c9a227"),
)
_STYLE: dict[str, Any] = {"linewidth": 1.5, "marker": "o", "markersize": 3}


def check_plots(folder: Path, *, overwrite: bool) -> None:
    """Raises OutputError where the pictures can't be written into `folder`."""
    for name in _NAMES:
        check_output(folder / name, overwrite=overwrite)


def save_plots(evaluation: Evaluation, folder: Path, *, overwrite: bool = False) -> list[Path]:
    """Write PNG pictures into `folder`: scores, reliability, risk by coverage, recall by size, and curves.

    A picture that would show nothing isn't written. Returns what was written.
    """
    drawn = {
        "scores.png": _scores(evaluation),
        "calibration.png": _calibration(evaluation),
        "risk_coverage.png": _risk(evaluation),
        "body_sizes.png": _sizes(evaluation),
        "curves.png": _curves(evaluation),
    }
    kept = {folder / name: figure for name, figure in drawn.items() if figure is not None}
    with StagedOutputs(overwrite=overwrite) as staged:
        for path, figure in kept.items():
            figure.savefig(staged.add(path), dpi=130)
    return list(kept)


def _figure(columns: int = 1, width: float = 6.5, height: float = 4.2) -> tuple[Any, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, columns, squeeze=False)[0]
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _scores(evaluation: Evaluation) -> Any:
    names = list(evaluation.total)[::-1]
    figure, (axis,) = _figure(width=7, height=1 + 0.36 * len(names))
    for place, name in enumerate(names):
        found = evaluation.total[name].confusion
        for value, mark, colour in (
            (found.precision, "<", "#d9881f"),
            (found.recall, ">", "#1f9c78"),
            (found.f1, "o", "#125cad"),
        ):
            if value is not None:
                axis.plot(value, place, mark, color=colour, markersize=7)
    axis.set_yticks(range(len(names)), names, fontsize=8)
    axis.set_xlim(-0.02, 1.02)
    axis.grid(axis="x", alpha=0.3)
    axis.set_title("Precision (left), F1 (dot), recall (right), all scenes", fontsize=10, loc="left")
    return figure


def _with_probability(evaluation: Evaluation) -> dict[str, Any]:
    return {
        name: scores.reliability
        for name, scores in evaluation.total.items()
        if scores.reliability is not None and scores.reliability.pixels
    }


def _calibration(evaluation: Evaluation) -> Any:
    known = _with_probability(evaluation)
    if not known:
        return None
    figure, (axis,) = _figure(width=5.2, height=5)
    axis.plot([0, 1], [0, 1], color="0.75", linewidth=1)
    for (name, reliability), colour in zip(known.items(), _COLOURS, strict=False):
        bins = reliability.bins()
        label = f"{name}: {reliability.error():.3f}"
        axis.plot([b.probability for b in bins], [b.water for b in bins], color=colour, label=label, **_STYLE)
    axis.set_xlabel("probability said, mean of a bin of equally many pixels")
    axis.set_ylabel("share that is water")
    axis.legend(frameon=False, fontsize=8, title="expected calibration error", title_fontsize=8)
    return figure


def _risk(evaluation: Evaluation) -> Any:
    known = _with_probability(evaluation)
    if not known:
        return None
    figure, (axis,) = _figure()
    for (name, reliability), colour in zip(known.items(), _COLOURS, strict=False):
        points = reliability.risk_by_coverage()
        axis.plot([x for x, _ in points], [y for _, y in points], color=colour, label=name, linewidth=1.5)
    axis.set_xlabel("share of pixels kept, the surest first")
    axis.set_ylabel("share of them wrong")
    axis.legend(frameon=False, fontsize=8)
    return figure


def _sizes(evaluation: Evaluation) -> Any:
    bodies = next(iter(evaluation.total.values())).bodies
    classes = [number for number, count in enumerate(bodies.bodies) if count]
    if not classes:
        return None
    figure, (axis,) = _figure(width=7.5)
    for (name, scores), colour in zip(evaluation.total.items(), _COLOURS, strict=False):
        recall = [scores.bodies.recall(number) for number in classes]
        axis.plot(range(len(classes)), recall, color=colour, label=name, **_STYLE)
    labels = [f"{BodyRecall.names()[number]}\n{bodies.bodies[number]:,} bodies" for number in classes]
    axis.set_xticks(range(len(classes)), labels, fontsize=8)
    axis.set_ylim(-0.02, 1.02)
    axis.set_ylabel("share of pixels found")
    figure.legend(frameon=False, fontsize=8, loc="outside right center")
    return figure


def _curves(evaluation: Evaluation) -> Any:
    curves = [curve for curve in evaluation.curves if curve.scores]
    if not curves:
        return None
    figure, axes = _figure(len(curves), width=3.1 * len(curves), height=4)
    for axis, curve in zip(axes, curves, strict=True):
        for (name, along), colour in zip(curve.scores.items(), _COLOURS, strict=False):
            iou = [scores.confusion.iou for scores in along]
            axis.plot(curve.levels, [float("nan") if x is None else x for x in iou], color=colour, label=name, **_STYLE)
        axis.set_title(curve.change, fontsize=10, loc="left")
        axis.set_xlabel(curve.unit, fontsize=8)
        axis.set_ylim(-0.02, 1.02)
    axes[0].set_ylabel("IoU")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=4, frameon=False, fontsize=8)
    return figure
