"""`narrows design`: which designs fit a task, a size and a budget."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from narrows.cli.machine_argument import machine_option, read_machine
from narrows.cli.size_argument import read_size, size_option
from narrows.cli.speaking import say
from narrows.errors import InputError
from narrows.networks.catalogue import TASKS
from narrows.units import format_bytes, format_count, format_seconds, parse_bytes, parse_seconds

if TYPE_CHECKING:
    from narrows.costing.design import Candidate, SecondsOf

__all__ = ["design"]


@click.command(short_help="Choose a design for a task and a budget.")
@click.option("--task", required=True, metavar="TASK", help=f"One of {', '.join(TASKS)}.")
@click.option("--bands", type=click.IntRange(min=1), required=True, help="Bands (channels) of the image.")
@size_option
@click.option("--memory", metavar="BYTES", help="Budget for the whole process, as 500MB.")
@click.option("--latency", metavar="TIME", help="Budget for one image, as 60s or 200ms; needs --machine.")
@machine_option
@click.option(
    "--lines",
    type=click.FloatRange(min=0),
    help="Line buffers that hardware has, in lines of the image (all bands, at --bits).",
)
@click.option("--delay", type=click.IntRange(min=0), help="Rows that hardware may wait for before its first output.")
@click.option("--bits", type=click.IntRange(1, 64), default=8, show_default=True, help="Of each value kept in lines.")
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON.")
def design(
    task: str,
    bands: int,
    size: str,
    memory: str | None,
    latency: str | None,
    machine: str | None,
    lines: float | None,
    delay: int | None,
    bits: int,
    as_json: bool,
) -> None:
    """Show which designs of the catalogue fit a task, a size and a budget: those that fit first, with what each costs,
    how well it did (on which data, by whose account), its licence, and the line of Python that builds it; then those
    that don't fit, and why. Nothing is run.

    Designs with a score come first, those scored with as many bands before others. Scores of different data sets can't
    be compared.

    \b
    Example:
        narrows design --task segmentation --bands 6 --size 10980x10980 --memory 500MB
    """
    height, width = read_size(size)
    if task not in TASKS:
        raise InputError(f"--task {task}: choose {', '.join(TASKS)}")
    if latency is not None and machine is None:
        raise InputError(
            "--latency needs a machine's profile: make one with narrows calibrate, and give it with --machine this "
            "(or --machine profile.json, where it was exported)"
        )
    seconds = parse_seconds(latency) if latency is not None else None
    allowed = parse_bytes(memory) if memory is not None else None
    from narrows.costing.design import Budget, choose

    budget = Budget(allowed, seconds, lines, delay, bits)
    found = choose(
        task,
        bands,
        height,
        width,
        budget,
        seconds_of=_times_on(machine) if machine is not None else None,
        progress=None if as_json else lambda name: say(f"costing {name}"),
    )
    click.echo(json.dumps([candidate.as_dict() for candidate in found], indent=2) if as_json else as_text(found))


def _times_on(machine: str) -> SecondsOf:
    """What tells the seconds of one run on the machine of a profile."""
    from narrows.costing.prediction import Predictor

    profile = read_machine(machine)
    assert profile is not None
    predictor = Predictor(profile)
    return lambda program: predictor.predict(program).seconds


def as_text(found: list[Candidate]) -> str:
    """Those that fit, numbered, a paragraph each; then the others, with their reasons."""
    fitting = [candidate for candidate in found if candidate.fits]
    others = [candidate for candidate in found if not candidate.fits]
    parts = [_paragraph(place, candidate) for place, candidate in enumerate(fitting, start=1)]
    if not fitting:
        parts.append("No design of the catalogue fits.")
    if others:
        lines = ["Don't fit:"]
        for candidate in others:
            lines += [f"  {candidate.design.name}", *(f"      {reason}" for reason in candidate.reasons)]
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _paragraph(place: int, candidate: Candidate) -> str:
    design, costs = candidate.design, candidate.costs
    assert costs is not None
    facts = [
        f"{format_count(costs.macs)} multiply-accumulates",
        f"{costs.parameters:,} parameters",
        f"{format_bytes(costs.memory)} {'in strips' if costs.streamed else 'as a whole frame'}",
    ]
    if costs.seconds is not None:
        facts.append(format_seconds(costs.seconds))
    if costs.delay is not None and costs.line_bytes is not None:
        facts.append(f"waits for {costs.delay} rows, line buffers {format_bytes(costs.line_bytes)}")
    lines = [f"{place}. {design.name} ({design.source})", f"   {'; '.join(facts)}"]
    lines += [
        f"   {score.metric} {score.value:g} on {score.data}, {score.bands} bands ({score.source})"
        for score in design.scores
    ] or ["   no score known here"]
    lines.append(f"   licence: {design.licence}" + (f"; weights: {design.weights}" if design.weights else ""))
    lines.append(f"   {candidate.line}")
    return "\n".join(lines)
