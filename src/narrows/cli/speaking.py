"""How commands speak: one line for an error, what was found on standard error, results on standard output."""

from __future__ import annotations

import errno
import functools
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from narrows.errors import NarrowsError
from narrows.units import format_bytes

__all__ = ["INTERRUPTED", "messages_shown", "one_line_errors", "progress_bar", "say"]


INTERRUPTED = 130
"""Exit code after an interrupt, as shells have it."""


class _OneLine(click.ClickException):
    exit_code = 2

    def show(self, file: Any = None) -> None:
        click.echo(f"Error: {self.format_message()}", err=True)


def one_line_errors(command: Callable[..., Any]) -> Callable[..., Any]:
    """Errors that a user can cause become one line and exit code 2; an interrupt one line and exit code
    130.
    """

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except NarrowsError as error:
            raise _OneLine(" ".join(str(error).split())) from error
        except MemoryError as error:
            raise _OneLine("out of memory; give a smaller --memory") from error
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise _OneLine("the disk is full; nothing was written") from error
            raise
        except KeyboardInterrupt:
            click.echo("Interrupted; nothing was left behind.", err=True)
            sys.exit(INTERRUPTED)

    return wrapped


def say(text: str) -> None:
    """One line for the person watching, on standard error."""
    click.echo(text, err=True)


class _Speaker(logging.Handler):
    """Says each line once: a scene that is opened again has nothing new to say."""

    def __init__(self) -> None:
        super().__init__()
        self._said: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        line = self.format(record)
        if line not in self._said:
            self._said.add(line)
            say(line)


@contextmanager
def messages_shown(*, quiet: bool) -> Iterator[None]:
    """Show what the project's modules log: what was applied to a scene (unless `quiet`), and every warning."""
    logger = logging.getLogger("narrows")
    speaker, level = _Speaker(), logger.level
    logger.addHandler(speaker)
    logger.setLevel(logging.WARNING if quiet else logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(speaker)
        logger.setLevel(level)


@contextmanager
def progress_bar(title: str, *, shown: bool) -> Iterator[Callable[[int, int, int], None] | None]:
    """A bar with rows done, bytes held and the time left; gives the callback that moves it (None where not
    shown).
    """
    if not shown or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f} of {task.total:,.0f} rows"),
        TextColumn("{task.fields[held]} held"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(title, total=1, held="0 B")

        def move(done: int, total: int, held: int) -> None:
            progress.update(task, completed=done, total=total, held=format_bytes(held))

        yield move
