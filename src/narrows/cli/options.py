"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import click

from narrows.cli.speaking import one_line_errors
from narrows.units import parse_bytes

__all__ = ["MEMORY", "OVERWRITE", "QUIET", "STRIP", "Decorator", "memory_option", "with_options"]

Decorator = Callable[[Any], Any]


def _checked(context: click.Context, param: click.Parameter, value: str | None) -> str | None:
    if value is not None:
        one_line_errors(parse_bytes)(value)
    return value


def memory_option(help: str) -> Decorator:
    """``--memory BYTES``, refused before any work where it is no amount of memory."""
    return click.option("--memory", metavar="BYTES", callback=_checked, help=help)


MEMORY = memory_option("Budget for the whole process, as 512MB. [a quarter of what is free]")
STRIP = click.option("--strip", type=click.IntRange(min=1), help="Rows of a step; chosen if left out.")
OVERWRITE = click.option("--overwrite", is_flag=True, help="Replace outputs that exist.")
QUIET = click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors.")


def with_options(options: Sequence[Decorator]) -> Decorator:
    """A decorator that gives a command these arguments and options, in this order."""

    def decorate(command: Any) -> Any:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate
