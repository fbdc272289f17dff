"""How a training shows how far it is: a bar on a terminal, lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from narrows.cli.speaking import say

if TYPE_CHECKING:
    from narrows.training.loop import Step

__all__ = ["training_bar"]


@contextmanager
def training_bar(steps: int, *, shown: bool) -> Iterator[Callable[[Step], None] | None]:
    """Gives what is told of each step; None where nothing is shown."""
    if not shown:
        yield None
    elif not sys.stderr.isatty():
        yield _say
    else:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            BarColumn(),
            TextColumn("step {task.completed:,.0f} of {task.total:,.0f}"),
            TextColumn("{task.fields[said]}"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
            task = progress.add_task("", total=steps, said="", visible=False)

            validated = ""

            def move(step: Step) -> None:
                nonlocal validated
                validated = _validated(step) or validated
                progress.update(task, completed=step.step, said=f"loss {step.loss:.4f}{validated}", visible=True)

            yield move


def _say(step: Step) -> None:
    if step.noted:
        say(f"step {step.step:,}: loss {step.loss:.4f}{_validated(step)}, {step.seconds:,.0f} s")


def _validated(step: Step) -> str:
    if step.score is None:
        return ""
    return f", validation F1 {step.score:.3f}{', the best so far' if step.best else ''}"
