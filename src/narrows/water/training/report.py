"""A training as a table for people, and what it says in one line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from narrows.water.evaluation.confusion import Confusion

if TYPE_CHECKING:
    from rich.table import Table

    from narrows.water.training.fine_tuning import Trained

__all__ = ["tables", "verdict"]

_COLUMNS = ("network", "IoU", "F1", "precision", "recall")
# Differences of F1 below this are too small to speak of, on a few scenes.
_SAME = 0.002


def tables(trained: Trained) -> list[Table]:
    """Scores on what was kept for validation, before and after; F1 by scene where there are several."""
    from rich.table import Table

    if not trained.scores:
        return []
    table = Table(title=f"Validation: {trained.validation}", title_justify="left")
    for number, column in enumerate(_COLUMNS):
        table.add_column(column, justify="right" if number else "left", no_wrap=not number)
    for name, found in trained.totals().items():
        table.add_row(name, *(_number(score) for score in (found.iou, found.f1, found.precision, found.recall)))
    made = [table]
    scenes = list(next(iter(trained.scores.values())))
    if len(scenes) > 1:
        table = Table(title="F1 by scene", title_justify="left")
        for number, column in enumerate(("scene", *trained.scores)):
            table.add_column(column, justify="right" if number else "left", no_wrap=not number)
        for scene in scenes:
            table.add_row(scene, *(_number(found[scene].f1) for found in trained.scores.values()))
        made.append(table)
    return made


def verdict(trained: Trained) -> str:
    """Whether it helped."""
    made = f"{trained.steps:,} steps in {trained.seconds:,.0f} s"
    if not trained.scores:
        return f"{made}; without validation nothing tells whether it helped"
    (name, before), (_, after) = trained.totals().items()
    gain = _f1(after) - _f1(before)
    if abs(gain) < _SAME:
        return f"{made}; no better and no worse than {name}"
    if gain < 0:
        return f"{made}; worse than {name}: keep using that, or train on more scenes"
    return f"{made}; F1 {gain:+.3f} against {name}"


def _f1(found: Confusion) -> float:
    return found.f1 or 0.0


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
