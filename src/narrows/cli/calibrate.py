"""`narrows calibrate`: what this machine can do, measured once and kept."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from narrows.cli.speaking import say
from narrows.costing.calibration import QUICK_SECONDS, SECONDS
from narrows.errors import InputError, OutputError

if TYPE_CHECKING:
    from narrows.costing.machine import Profile

__all__ = ["calibrate"]


@click.command(
    short_help="Measure what this machine can do.",
    help=f"""Measure what this machine can do, once: some thousand operators of every kind, width and layout, memory
    bandwidth by level, and what a call costs. It takes {SECONDS} s and some seconds more; let nothing else run
    meanwhile (what ran under load is noticed, discarded and counted). The profile is kept in your cache, where other
    commands take it from; --export writes it to a file for use elsewhere.

    To measure a small board without narrows, write the measuring program as one file, copy it there, and run it
    with Python and PyTorch alone.

    \b
    Examples:
        narrows calibrate
        narrows calibrate --quick --threads 1 --export laptop.json
        narrows calibrate --one-file calibration.py
        (on the board)  python calibration.py --export board.json
    """,
)
@click.option("--export", type=click.Path(path_type=Path), metavar="FILE.json", help="Write the profile there as well.")
@click.option("--quick", is_flag=True, help=f"{QUICK_SECONDS} s instead: fewer operators, predictions less exact.")
@click.option("--threads", type=click.IntRange(min=1), help="Threads that compute. [PyTorch's choice]")
@click.option(
    "--one-file",
    type=click.Path(path_type=Path),
    metavar="FILE.py",
    help="Write the measuring program; measure nothing.",
)
@click.option("--overwrite", is_flag=True, help="Replace files that exist.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
def calibrate(
    export: Path | None,
    quick: bool,
    threads: int | None,
    one_file: Path | None,
    overwrite: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    from narrows.cli.output_file import write_file
    from narrows.costing import calibration
    from narrows.rasters.staging import check_output_path

    if one_file is not None:
        if export or quick or threads:
            raise InputError("--one-file measures nothing: leave out --export, --quick and --threads")
        check_output_path(one_file, overwrite=overwrite)
        write_file(one_file, Path(calibration.__file__).read_text(encoding="utf-8"))
        click.echo(f"{one_file}: run it with: python {one_file.name} --export profile.json")
        return
    if export is not None:
        check_output_path(export, overwrite=overwrite)
    from narrows.costing.machine import default_path, read_profile

    with tempfile.TemporaryDirectory(prefix="narrows-calibrate-") as folder:
        measured = Path(folder) / "profile.json"
        # A process of its own: this one's heap and threads are set for streaming.
        command = [sys.executable, str(calibration.__file__), "--export", str(measured), "--progress-lines"]
        command += ["--quick"] if quick else []
        command += ["--threads", str(threads)] if threads else []
        _run(command, quiet)
        profile = read_profile(measured)
        kept = default_path(profile.threads)
        try:
            kept.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{kept.parent} can't be made ({error.strerror})") from error
        for place in filter(None, (kept, export)):
            write_file(place, measured.read_text(encoding="utf-8"))
    found = _summary(profile) | {"kept": str(kept), "exported": str(export) if export else None}
    click.echo(json.dumps(found, indent=2) if as_json else _text(found))


def _run(command: list[str], quiet: bool) -> None:
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    last = ""
    try:
        assert process.stderr is not None
        with _bar(shown=not quiet) as move:
            for line in process.stderr:
                last = line.strip() or last
                share, found, rest = last.partition(" % of ")
                if found and share.strip().isdigit():
                    move(int(share), rest.partition(", ")[2])
    finally:
        if process.poll() is None:
            if sys.exc_info()[0] is not None:
                process.terminate()
            process.wait()
    if process.returncode:
        raise InputError(f"this machine could not be measured: {last}")


@contextmanager
def _bar(*, shown: bool) -> Iterator[Any]:
    if not shown:
        yield lambda percent, text: None
        return
    if not sys.stderr.isatty():
        said = [0]

        def tell(percent: int, text: str) -> None:
            if percent >= said[0] + 20:
                said[0] = percent
                say(f"{percent} %, {text}")

        yield tell
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("measuring"), BarColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=100)
        yield lambda percent, text: progress.update(task, completed=percent, description=text)


def _summary(profile: Profile) -> dict[str, Any]:
    from narrows.costing.summary import summary

    return summary(profile)


def _text(found: dict[str, Any]) -> str:
    machine, load = found["machine"], found["load"]
    lines = [
        f"{machine['processor']}, {found['threads']} thread{'s' * (found['threads'] > 1)}, PyTorch {machine['torch']} "
        f"({machine['capability']}): {found['operators']:,} operators in {found['seconds']:.0f} s",
        "  billion multiply-accumulates a second: "
        + ", ".join(f"{kind} {rate:.3g}" for kind, rate in found["gmacs_per_second"].items()),
        "  copied, GB a second: "
        + ", ".join(f"{size} {rate:.3g}" for size, rate in found["gigabytes_per_second"].items()),
        f"  a call on next to nothing takes {found['operator_microseconds']:.1f} us, a view "
        f"{found['view_microseconds']:.1f} us",
    ]
    if found["fresh_page_milliseconds_per_megabyte"] is not None:
        lines.append(f"  a megabyte of fresh pages costs {found['fresh_page_milliseconds_per_megabyte']:.2f} ms")
    lines += [
        f"  what the other operators tell of each is off by {found['table_error_percent']:.0f} % (median)",
        f"  under load: {load['samples_discarded']} runs discarded, "
        f"{load['operators_repeated']} operators measured again",
        f"  kept in {found['kept']}",
    ]
    if found["exported"]:
        lines.append(f"  exported to {found['exported']}")
    if load["operators_repeated"] > 0.2 * found["operators"]:
        lines.append("  Something else was running for much of the time: measure again when the machine is quiet.")
    return "\n".join(lines)
