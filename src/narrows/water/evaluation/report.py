"""An evaluation as tables for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from narrows.water.evaluation.body_sizes import BodyRecall
from narrows.water.evaluation.calibration import MIDDLE
from narrows.water.evaluation.evaluating import Evaluation
from narrows.water.evaluation.scoring import Scores

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["tables"]

_COLUMNS = (
    "method", "IoU", "F1", "precision", "recall", "F1, unobserved as land", "shore F1", "ECE",
    f"ECE {MIDDLE[0]:g} to {MIDDLE[1]:g}", "unobserved", "s",
)  # fmt: skip


def tables(evaluation: Evaluation) -> list[Table]:
    """All scenes together; F1 by scene; recall by size of water body; IoU along each curve."""
    from rich.table import Table

    def table(title: str, columns: Any, rows: list[list[str]], caption: str = "") -> Table:
        made = Table(title=title, title_justify="left", caption=caption or None, caption_justify="left")
        for number, column in enumerate(columns):
            made.add_column(column, justify="right" if number else "left", no_wrap=not number)
        for row in rows:
            made.add_row(*row)
        return made

    total = evaluation.total
    caption = "\n".join(
        [
            "Unobserved pixels count as wrong on land and water. Cloud and shadow in the mask count as not water.",
            *(f"{each.name}: {each.why}" for each in evaluation.missing),
        ]
    )
    made = [
        table(
            f"{len(evaluation.scenes)} scenes" if len(evaluation.scenes) != 1 else next(iter(evaluation.scenes)),
            _COLUMNS,
            [_row(name, scores) for name, scores in total.items()],
            caption,
        )
    ]
    if len(evaluation.scenes) > 1:
        rows = [
            [scene, *(_number(found[name].confusion.f1) for name in total)]
            for scene, found in evaluation.scenes.items()
        ]
        made.append(table("F1 by scene", ["scene", *total], rows))
    bodies = next(iter(total.values())).bodies if total else BodyRecall()
    rows = [
        [
            f"{name} ({bodies.bodies[number]:,} bodies)",
            *(_number(scores.bodies.recall(number)) for scores in total.values()),
        ]
        for number, name in enumerate(BodyRecall.names())
        if bodies.bodies[number]
    ]
    if rows:
        made.append(table("Recall by size of water body", ["size", *total], rows))
    for curve in evaluation.curves:
        rows = [[name, *(_number(scores.confusion.iou) for scores in along)] for name, along in curve.scores.items()]
        columns = ["IoU", *(f"{level:g}" for level in curve.levels)]
        made.append(table(f"{curve.change.capitalize()} ({curve.unit})", columns, rows))
    return made


def _row(name: str, scores: Scores) -> list[str]:
    found = scores.confusion
    reliability = scores.reliability
    share = scores.unobserved_share
    return [
        name,
        *(_number(value) for value in (found.iou, found.f1, found.precision, found.recall, scores.as_land.f1)),
        _number(scores.boundary.f1),
        _number(reliability.error() if reliability else None),
        _number(reliability.error(within=MIDDLE) if reliability else None),
        "" if share is None else f"{share:.1%}",
        f"{scores.seconds:.1f}",
    ]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
