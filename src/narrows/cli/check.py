"""`narrows check`: which choices of a network cost more than they bring, tried here or predicted for a machine."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from narrows.cli.machine_argument import machine_option, read_machine
from narrows.cli.model_argument import HELP, model_options
from narrows.cli.options import memory_option
from narrows.cli.size_argument import read_size, size_option
from narrows.cli.speaking import say
from narrows.errors import InputError

__all__ = ["check"]


@click.command(
    short_help="Try on this machine which choices of a network cost more than they bring.",
    help=f"""Look for choices in MODEL that cost more than they bring, and try each here: the network with that one
    place changed runs against the network itself, interleaved and shuffled. What brings nothing beyond the noise is
    withdrawn. With --machine nothing is run: times are predicted from that machine's profile, and what the error of
    predictions leaves open is undecided.

    {HELP}

    \b
    Example:
        narrows check mynet.py:build --size 1024x1024
        narrows check mynet.py:build --size 7741x7591 --memory 2GB --silence "G2:encoder.*=grouped for the board"
        narrows check mynet.py:build --size 1024x1024 --no-experiments --strict
        narrows check mynet.py:build --size 1024x1024 --machine board.json

    Findings can be silenced, each with a reason: by --silence, by a table [tool.narrows.silence] in pyproject.toml (or
    the file that --silence-file names), or by a comment "# narrows: ignore[G1] reason" at the line that a finding
    names.
    """,
)
@click.argument("model")
@size_option
@memory_option("What a frame may take in experiments; 60 % of what is free if left out.")
@click.option(
    "--seconds", type=float, default=20.0, show_default=True, help="About as long as one experiment may take."
)
@click.option("--only", metavar="G1,G2,…", help="Check against these guidelines alone.")
@click.option("--silence", "silenced", multiple=True, metavar="G1[:MODULES]=REASON", help="May be repeated.")
@click.option("--silence-file", type=click.Path(dir_okay=False), help="TOML file with a table [tool.narrows.silence].")
@click.option("--no-experiments", is_flag=True, help="Only look; run nothing.")
@machine_option
@click.option("--strict", is_flag=True, help="Exit with 1 where a finding stands or wasn't tried, and isn't silenced.")
@model_options
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def check(
    model: str,
    size: str,
    memory: str | None,
    seconds: float,
    only: str | None,
    silenced: tuple[str, ...],
    silence_file: str | None,
    no_experiments: bool,
    machine: str | None,
    strict: bool,
    weights: str | None,
    arguments: tuple[str, ...],
    channels: int | None,
    as_json: bool,
) -> None:
    height, width = read_size(size)
    if machine is not None and (no_experiments or memory is not None):
        raise InputError("--machine runs nothing: leave out --no-experiments and --memory")
    profile = read_machine(machine)
    from narrows.cli.model_argument import read_model
    from narrows.guidelines.checking import KEYS
    from narrows.guidelines.checking import check as checked
    from narrows.guidelines.core.silencing import parse_silences, read_silences

    silences = parse_silences(_reasons(silenced), KEYS, "--silence")
    place = silence_file or next((p for p in _own_projects() if p.is_file()), None)
    if place is not None:
        silences += read_silences(place, KEYS)
    report = checked(
        read_model(model, weights, arguments),
        height,
        width,
        channels=channels,
        experiments=not no_experiments,
        memory=memory,
        seconds=seconds,
        silence=silences,
        only=only.split(",") if only else None,
        machine=profile,
        progress=say if sys.stderr.isatty() else None,
    )
    click.echo(report.to_json() if as_json else str(report))
    if strict and report.standing:
        sys.exit(1)


def _reasons(silenced: tuple[str, ...]) -> dict[str, str]:
    reasons = {}
    for text in silenced:
        name, equals, reason = text.partition("=")
        if not equals:
            raise InputError(f"--silence {text}: write it as G1=reason")
        reasons[name.strip()] = reason
    return reasons


def _own_projects() -> list[Path]:
    """pyproject.toml here and in the folders above, the nearest first."""
    here = Path.cwd()
    return [folder / "pyproject.toml" for folder in (here, *here.parents)]
