"""`narrows cost`: what networks compute, hold, move and wait for."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from narrows.cli.machine_argument import machine_option, read_machine
from narrows.cli.model_argument import HELP, model_options
from narrows.cli.options import memory_option
from narrows.cli.size_argument import read_size, size_option
from narrows.errors import InputError

__all__ = ["cost"]


@click.command(
    short_help="Show what a network computes, holds, moves and waits for.",
    help=f"""Show what each MODEL computes, holds, moves and waits for on an image, by module and in all. Nothing is
    run. Several networks are shown side by side.

    {HELP} --weights and --arg go to every MODEL.

    With --budget the exit code is 1 if a limit is exceeded. Limits: macs, parameters, memory (peak without weights,
    freed at last use), eager (as Python holds tensors), streamed, lines (line buffers), delay (rows), latency.

    \b
    Example:
        narrows cost mynet.py:build --size 1024x1024 --budget macs=20G,memory=500MB,delay=64
    """,
)
@click.argument("models", nargs=-1, required=True, metavar="MODEL...")
@size_option
@click.option("--batch", type=click.IntRange(min=1), default=1, show_default=True, help="Images at once.")
@memory_option("Budget to stream in, as 512MB; without one that peak is left out.")
@click.option("--bits", type=click.IntRange(1, 64), default=8, show_default=True, help="Of a value in line buffers.")
@click.option("--depth", type=click.IntRange(min=0), help="Show modules down to this depth.")
@click.option("--operators", is_flag=True, help="Show every operator.")
@click.option("--growth", is_flag=True, help="Cost twice and four times the size as well.")
@click.option("--effective", is_flag=True, help="Measure the effective receptive field on a crop of noise.")
@machine_option
@click.option("--budget", metavar="NAME=VALUE,...", help="Exit with 1 if a limit is exceeded.")
@model_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--csv", "as_csv", is_flag=True, help="Print the operators as CSV (one MODEL).")
@click.option("--html", type=click.Path(dir_okay=False, path_type=Path), help="Write a page with pictures.")
@click.option("--overwrite", is_flag=True, help="Replace an existing page.")
def cost(
    models: tuple[str, ...],
    size: str,
    batch: int,
    memory: str | None,
    bits: int,
    depth: int | None,
    operators: bool,
    growth: bool,
    effective: bool,
    machine: str | None,
    budget: str | None,
    weights: str | None,
    arguments: tuple[str, ...],
    channels: int | None,
    as_json: bool,
    as_csv: bool,
    html: Path | None,
    overwrite: bool,
) -> None:
    height, width = read_size(size)
    if as_csv and (as_json or len(models) > 1):
        raise InputError("--csv is for one MODEL, and not together with --json")
    if html is not None:
        from narrows.rasters.staging import check_output_path

        check_output_path(html, overwrite=overwrite)
    from narrows.costing.budget import broken, parse_budget

    limits = parse_budget(budget) if budget is not None else ()
    if machine is None and any(limit.total == "seconds" for limit in limits):
        raise InputError("--budget latency needs the times of a machine: give --machine this, or profile.json")
    if memory is None and any(limit.total == "streamed_peak_bytes" for limit in limits):
        raise InputError("--budget streamed needs a budget to stream in: give --memory")
    profile = read_machine(machine)
    import narrows
    from narrows.cli.model_argument import read_model
    from narrows.costing.tables import side_by_side

    networks = [read_model(model, weights, arguments) for model in models]
    reports = [
        narrows.cost(
            network,
            height,
            width,
            channels=channels,
            batch=batch,
            memory=memory,
            bits=bits,
            growth=growth,
            effective=effective,
            machine=profile,
            name=name,
        )
        for network, name in zip(networks, _names(models), strict=True)
    ]
    if html is not None:
        from narrows.cli.output_file import write_file

        ridge = profile.ridge() if profile is not None else None
        write_file(html, reports[0].to_html(reports[1:], machine=ridge))
    if as_json:
        texts = [report.to_json() for report in reports]
        click.echo(texts[0] if len(texts) == 1 else "[" + ",\n".join(texts) + "]")
    elif as_csv:
        click.echo(reports[0].to_csv(), nl=False)
    elif len(reports) > 1:
        click.echo(side_by_side(reports), nl=False)
    else:
        click.echo(reports[0].to_text(depth=depth, operators=operators), nl=False)
    exceeded = [line for report in reports for line in broken(report, limits)]
    for line in exceeded:
        click.echo(line, err=True)
    if exceeded:
        sys.exit(1)


def _names(models: tuple[str, ...]) -> list[str]:
    """The last part of each MODEL; where that says the same of several, all of it."""
    short = [Path(model).stem if model.endswith(".pt2") else model.rpartition(":")[2] for model in models]
    return short if len(set(short)) == len(short) else list(models)
