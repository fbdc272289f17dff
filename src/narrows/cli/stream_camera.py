"""`narrows stream-camera`: a network on the lines of a camera as they arrive."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from narrows.cli.model_argument import HELP, model_options
from narrows.cli.options import MEMORY, OVERWRITE, QUIET
from narrows.errors import InputError, OutputError

if TYPE_CHECKING:
    from torch import nn
    from torch.export import ExportedProgram

    from narrows.rasters.frames import FrameSource
    from narrows.streaming.live import LiveStream

__all__ = ["stream_camera"]

_FILES = (".tif", ".tiff", ".png")


@click.command(
    "stream-camera",
    short_help="Run a network on a camera's lines as they arrive.",
    help=f"""Run MODEL on the lines of INPUT as they arrive, and write each line of the result as soon as it is made.
    What recurs from line to line is carried within an image, and begins anew with the next.

    INPUT is an image, a folder of images of one size, a video (needs narrows[video]), or - for raw lines on standard
    input, as a line-scan camera's driver pipes them: without header, in this machine's byte order, --width pixels
    each. There, all lines are one image, however many come, unless --rows says how many an image has.

    OUT is a .tif or .png file, a folder for several images, a .raw file, or - for raw lines on standard output.

    Lines per second, delay and jitter go to standard error at the end. The delay is counted from the arrival of a line
    of the image to the departure of the line of the result at its place; work, from the arrival of the last line that
    this one needed.

    {HELP}

    \b
    Examples:
        driver | narrows stream-camera net.py:build - --width 2048 --dtype uint16 -o - | viewer
        narrows stream-camera net.py:build frames/ -o filtered/ --rate 10000 --unit --as uint8 --suffix .png
    """,
)
@click.argument("model")
@click.argument("source", metavar="INPUT")
@click.option("-o", "--output", required=True, metavar="OUT", help="Where the result goes.")
@click.option("--width", type=int, help="Pixels of a raw line.")
@click.option(
    "--dtype", type=click.Choice(["uint8", "uint16", "float32"]), default="uint8", show_default=True,
    help="Numbers of raw lines.",
)  # fmt: skip
@click.option("--rows", type=int, help="Raw lines of an image. [all that come]")
@click.option("--planar", is_flag=True, help="Raw lines hold one channel after the other, not pixel by pixel.")
@click.option("--strip", type=click.IntRange(min=1), default=1, show_default=True, help="Lines of a step.")
@click.option("--rate", type=float, help="Lines a second at which images and videos arrive. [as fast as they can]")
@click.option("--unit", is_flag=True, help="Whole numbers stand for 0 to 1, in what is read and what is written.")
@click.option(
    "--as", "stored", type=click.Choice(["uint8", "uint16", "float32"]),
    help="Numbers of the result, rounded and clipped. [as the network gives them]",
)  # fmt: skip
@click.option("--suffix", type=click.Choice(_FILES), default=".tif", show_default=True, help="Of files in a folder.")
@MEMORY
@model_options
@OVERWRITE
@click.option(
    "--json", "as_json", is_flag=True,
    help="Print the summary as JSON, on standard error where lines go to standard output.",
)  # fmt: skip
@QUIET
def stream_camera(
    model: str,
    source: str,
    output: str,
    width: int | None,
    dtype: str,
    rows: int | None,
    planar: bool,
    strip: int,
    rate: float | None,
    unit: bool,
    stored: str | None,
    suffix: str,
    memory: str | None,
    weights: str | None,
    arguments: tuple[str, ...],
    channels: int | None,
    overwrite: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    begun = time.perf_counter()
    raw = source == "-"
    _check_options(raw, width, rows, rate)
    from narrows.cli.model_argument import read_model
    from narrows.rasters import raster_environment
    from narrows.streaming.live import LiveStream
    from narrows.streaming.pace import Pace, at_rate

    network = read_model(model, weights, arguments)
    taken = channels or _channels(network)
    with ExitStack() as stack:
        stack.enter_context(raster_environment())
        images = _open(source, taken, width, dtype, rows, planar)
        count, height, columns = images.shape
        if taken is not None and taken != count:
            raise InputError(f"{_named(source)} has {_bands(count)}, but the network {model} takes {taken}")
        several = _several(images, raw)
        _check_output(output, height, several, overwrite)
        live = LiveStream(network, count, columns, height, memory=memory, strip=strip)
        kind = stored or {"bool": "uint8", "float16": "float32"}.get(live.dtype.name, live.dtype.name)
        scale, back = _scalings(images.dtype.name, kind, unit)
        sink = _sink(stack, output, live, kind, suffix, planar, overwrite)
        pace = Pace()
        due = at_rate(rate) if rate else None
        started = time.perf_counter() - begun
        for name, lines in images.frames():
            pace.frame()

            def arriving(lines: Iterator[Any] = lines) -> Iterator[Any]:
                for line in lines:
                    pace.came(next(due) if due is not None else images.arrived)
                    yield scale(line)

            coming = arriving()
            with sink.frame(name) as place:
                for start, made in live.frame(coming):
                    place.write(start, back(made))
                    pace.gone(start, made.shape[1], live.lies_at)
                for _ in coming:
                    pass
    summary = {
        "startup_seconds": round(started, 3),
        "delay_lines": live.plan.delay,
        "strip": strip,
        **pace.report(),
        "most_waiting": getattr(images, "most_waiting", None),
        "planned_peak_bytes": live.plan.peak,
    }
    if as_json:
        click.echo(json.dumps(summary, indent=2), err=output == "-")
    elif not quiet:
        click.echo(_told(summary), err=True)


def _check_options(raw: bool, width: int | None, rows: int | None, rate: float | None) -> None:
    if raw and width is None:
        raise InputError("raw lines need --width, the pixels of a line")
    if raw and rate is not None:
        raise InputError("--rate is for images and videos; raw lines come when they come")
    if raw and sys.stdin.isatty():
        raise InputError("standard input is a terminal; pipe the camera's lines into it")
    if not raw and (width is not None or rows is not None):
        raise InputError("--width and --rows are for raw lines (INPUT -); images say themselves how large they are")
    for name, value in (("--width", width), ("--rows", rows), ("--rate", rate)):
        if value is not None and not value > 0:
            raise InputError(f"{name} {value:g}: it must be more than 0")


def _channels(network: nn.Module | ExportedProgram) -> int | None:
    from narrows.streaming.capturing import channels_of

    return channels_of(network)


def _open(source: str, taken: int | None, width: int | None, dtype: str, rows: int | None, planar: bool) -> FrameSource:
    from narrows.rasters.frames import RawLines, open_frames

    if source != "-":
        return open_frames(source, taken)
    if taken is None:
        raise InputError("the network doesn't tell how many channels it takes; give --channels")
    # Unbuffered: a thread that waits in a buffer of Python's would keep the process from ending.
    stream = open(0, "rb", buffering=0, closefd=False)  # noqa: SIM115
    return RawLines(stream, width or 0, taken, dtype, rows, planar=planar)


def _several(images: FrameSource, raw: bool) -> bool:
    paths = getattr(images, "paths", None)
    return len(paths) > 1 if paths is not None else not raw


def _check_output(output: str, height: int | None, several: bool, overwrite: bool) -> None:
    from narrows.rasters.staging import check_output_path

    if output == "-":
        if sys.stdout.isatty():
            raise OutputError("standard output is a terminal; pipe the lines somewhere")
        return
    path = Path(output)
    ending = path.suffix.lower()
    if height is None and ending != ".raw":
        raise InputError(f"{output}: a file says how many rows it has; give --rows, or write raw lines (.raw or -)")
    if several and ending in _FILES:
        raise InputError(f"{output}: several images come; name a folder, or raw lines (.raw or -)")
    if ending in (*_FILES, ".raw"):
        check_output_path(path, overwrite=overwrite)


def _sink(
    stack: ExitStack,
    output: str,
    live: LiveStream,
    kind: str,
    suffix: str,
    planar: bool,
    overwrite: bool,
) -> Any:
    from narrows.rasters.frame_sinks import FrameFiles, RawFile, RawStream, to_null

    if output == "-":

        def closed(error: type[BaseException] | None, *_: object) -> None:
            if error is not None:
                to_null(sys.stdout.fileno())

        stack.push(closed)
        return RawStream(sys.stdout.buffer, planar=planar)
    path = Path(output)
    if path.suffix.lower() == ".raw":
        return stack.enter_context(RawFile(path, planar=planar, overwrite=overwrite))
    channels, height, width = live.shape
    one = path.suffix.lower() in _FILES
    return FrameFiles(path, (channels, height or 0, width), kind, suffix=None if one else suffix, overwrite=overwrite)


def _scalings(given: str, made: str, unit: bool) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    """How lines are turned into what the network takes, and what it gives into what is written."""
    import numpy as np

    def largest(name: str) -> float:
        return float(np.iinfo(name).max) if np.dtype(name).kind in "ui" else 1.0

    down, up = (largest(given), largest(made)) if unit else (1.0, 1.0)

    def scale(line: Any) -> Any:
        return line if down == 1.0 else line * np.float32(1 / down)

    def back(rows: Any) -> Any:
        if np.dtype(made).kind not in "ui":
            return rows.astype(made, copy=False)
        if rows.dtype.kind in "uib" and up == 1.0:
            return rows.astype(made, copy=False)
        return np.nan_to_num(np.rint(rows * up)).clip(0, largest(made)).astype(made)

    return scale, back


def _named(source: str) -> str:
    return "standard input" if source == "-" else source


def _bands(count: int) -> str:
    return "1 channel" if count == 1 else f"{count} channels"


def _told(summary: dict[str, Any]) -> str:
    images = "1 image" if summary["frames"] == 1 else f"{summary['frames']} images"
    rate = summary["lines_per_second"]
    head = f"{images}, {summary['lines_in']} lines in, {summary['lines_out']} out"
    lines = [head + (f": {rate:,.0f} lines a second" if rate else "")]
    names = {
        "delay_ms": f"delay, ms (leaves at line {summary['delay_lines']})",
        "work_ms": "work, ms",
        "between_lines_ms": "between lines, ms",
    }
    for key, name in names.items():
        found = summary[key]
        lines.append(f"{name:<32} " + "  ".join(f"{part} {value:.3f}" for part, value in found.items()))
    if summary["most_waiting"] is not None:
        lines.append(f"{'lines that waited at most':<32} {summary['most_waiting']}")
    return "\n".join(lines)
