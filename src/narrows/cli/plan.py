"""`narrows plan`: what a network would hold at a size."""

from __future__ import annotations

import click

from narrows.cli.model_argument import HELP, model_options
from narrows.cli.options import STRIP, memory_option
from narrows.cli.size_argument import read_size, size_option

__all__ = ["plan"]


@click.command(
    short_help="Show what a network would hold at a size.",
    help=f"""Show what streaming MODEL over an image would hold: every buffer with its bytes and why it is held, the
    predicted peak of the process, and how many rows it waits for. Nothing is run.

    {HELP}

    \b
    Example:
        narrows plan mynet.py:build --arg width=32 --size 7741x7591 --memory 512MB
    """,
)
@click.argument("model")
@size_option
@memory_option("Budget for the whole process, as 512MB. Without one, none.")
@STRIP
@model_options
@click.option("--json", "as_json", is_flag=True, help="Print the plan as JSON.")
def plan(
    model: str,
    size: str,
    memory: str | None,
    strip: int | None,
    weights: str | None,
    arguments: tuple[str, ...],
    channels: int | None,
    as_json: bool,
) -> None:
    height, width = read_size(size)
    import narrows
    from narrows.cli.model_argument import read_model

    network = read_model(model, weights, arguments)
    found = narrows.plan(network, height, width, memory=memory, strip=strip, channels=channels)
    click.echo(found.to_json() if as_json else str(found))
