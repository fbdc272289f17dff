"""`narrows enhance`: repair an image file, inside a memory budget."""

from __future__ import annotations

import json
import time
from pathlib import Path

import click

from narrows.cli.options import MEMORY, OVERWRITE, QUIET, STRIP
from narrows.cli.speaking import progress_bar, say

__all__ = ["enhance"]


@click.command(
    short_help="Denoise, sharpen, colour or demosaic an image.",
    help="""Repair IMAGE, a PNG, TIFF or JPEG of 8 or 16 bits, grey or colour, by the imaging core trained for TASK,
    inside a memory budget. Size, depth, alpha, colour profile and georeference stay; OUT's ending says its format.

    \b
    Tasks, and what they need to be told:
        denoise          a grey image     --sigma, estimated if left out
        denoise-colour   a colour image   --sigma, estimated if left out
        denoise-sensor   a colour image   --gain and --read
        deblur-gaussian  any image        --sigma
        deblur-motion    any image        --length and --angle
        colourise        a grey image
        demosaic         a Bayer mosaic, RGGB, as a grey image

    \b
    Example:
        narrows enhance scan.png -o clean.png --task denoise --sigma 25 --memory 512MB
    """,
)
@click.argument("image", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), metavar="OUT",
    help="Where the result goes: .png, .tif or .jpg.",
)  # fmt: skip
@click.option("--task", required=True, help="What to repair.")
@click.option(
    "--sigma", type=float,
    help="Spread of the noise in 255ths of white; of a gaussian blur, in pixels.",
)  # fmt: skip
@click.option("--gain", type=float, help="White over the photons counted at white.")
@click.option("--read", type=float, help="Spread of the read noise, in 255ths of white.")
@click.option("--length", type=float, help="Of the motion, in pixels.")
@click.option("--angle", type=float, help="Of the motion, in degrees from the rows, upward to the right.")
@click.option(
    "--weights", type=click.Path(path_type=Path), metavar="FILE",
    help="Weights of a core of your own, .safetensors. [those of the package]",
)  # fmt: skip
@MEMORY
@STRIP
@click.option("--quality", type=click.IntRange(1, 100), default=95, show_default=True, help="Of a JPEG.")
@OVERWRITE
@click.option("--json", "as_json", is_flag=True, help="Print what was made as JSON.")
@QUIET
def enhance(
    image: Path,
    output: Path,
    task: str,
    weights: Path | None,
    memory: str | None,
    strip: int | None,
    quality: int,
    overwrite: bool,
    as_json: bool,
    quiet: bool,
    **condition: float | None,
) -> None:
    from narrows.imaging.enhancing import enhance as enhanced

    begun = time.perf_counter()
    given = {name: value for name, value in condition.items() if value is not None}
    with progress_bar(image.name, shown=not quiet) as progress:
        made = enhanced(
            image, output, task, weights=weights, condition=given, memory=memory, strip=strip, quality=quality,
            overwrite=overwrite, progress=progress,
        )  # fmt: skip
    seconds = time.perf_counter() - begun
    if made.orientation != 1 and not quiet:
        say(
            f"{image} is stored turned (EXIF orientation {made.orientation}); {output} has its rows in the same order,"
            " without that mark"
        )
    if as_json:
        result = {
            "output": str(made.output),
            "task": task,
            "height": made.height,
            "width": made.width,
            "channels": made.channels,
            "alpha": made.alpha,
            "depth": made.depth,
            "condition": made.condition,
            "estimated": list(made.estimated),
            "orientation": made.orientation,
            "seconds": round(seconds, 2),
        }
        click.echo(json.dumps(result, indent=2))
    elif not quiet:
        kind = ("grey" if made.channels == 1 else "colour") + (" with alpha" if made.alpha else "")
        told = "".join(
            f", {name} {value:g}{' (estimated)' if name in made.estimated else ''}"
            for name, value in made.condition.items()
        )
        click.echo(f"{output}: {kind}, {made.height} x {made.width}, {made.depth} bits{told}")
