"""`narrows plan`: what a network would hold at a size."""

from __future__ import annotations

import re

import click

from narrows.cli.model_argument import HELP, model_options
from narrows.errors import InputError

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
@click.option("--size", required=True, metavar="HxW", help="Rows and columns of the image, as 7741x7591.")
@click.option("--memory", metavar="BYTES", help="Budget for the whole process, as 512MB. Without one, none.")
@click.option("--strip", type=click.IntRange(min=1), help="Rows of a step; chosen if left out.")
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
    match = re.fullmatch(r"\s*(\d+)\s*[xX×,]\s*(\d+)\s*", size)
    if not match:
        raise InputError(f"--size {size}: write rows x columns, as 7741x7591")
    if memory is not None:
        from narrows.units import parse_bytes

        parse_bytes(memory)
    import narrows
    from narrows.cli.model_argument import read_model

    network = read_model(model, weights, arguments)
    found = narrows.plan(network, int(match[1]), int(match[2]), memory=memory, strip=strip, channels=channels)
    click.echo(found.to_json() if as_json else str(found))
