"""`narrows water compare`: what changed between two water maps or two scenes."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import click

from narrows.cli.options import OVERWRITE, QUIET, with_options
from narrows.cli.speaking import messages_shown
from narrows.cli.water_options import BY_PIXEL, MAPPING_OPTIONS, mapper

__all__ = ["compare"]

_HELP = """Show what changed from A to B: water gained, water lost, water in both, and what can't be compared because
either didn't observe it; in km² by true pixel area.

A and B are water maps as narrows water writes them, or scenes, which are mapped first (with the options below, the
same for both). CHANGE is a cloud-optimised GeoTIFF: 0 land in both, 1 water in both, 2 gain, 3 loss, 254 not
comparable, 255 no data in both. Two that lie on different grids are refused; --align brings B to the grid of A. Two
without a georeference are refused too, unless --by-pixel says that they show the same ground.

\b
Examples:
    narrows water compare before.tif after.tif -o change.tif --quicklook change.png
    narrows water compare LC08_..._20190114_... LC08_..._20190130_... -o change.tif --memory 1GB --json
"""


@click.command(short_help="Show what changed between two dates.", help=_HELP)
@with_options(
    [
        click.argument("before", metavar="A"),
        click.argument("after", metavar="B"),
        click.option(
            "-o", "--output", required=True, type=click.Path(path_type=Path), metavar="CHANGE", help="The change map."
        ),
        click.option("--quicklook", type=click.Path(path_type=Path), metavar="FILE.png", help="Also a picture of it."),
        click.option("--stats", type=click.Path(path_type=Path), metavar="FILE.json", help="Also the areas."),
        click.option("--align", is_flag=True, help="Bring B to the grid of A (nearest neighbour)."),
        BY_PIXEL,
        *MAPPING_OPTIONS,
        OVERWRITE,
        click.option("--json", "as_json", is_flag=True, help="Print the areas as JSON."),
        QUIET,
    ]
)
def compare(
    before: str,
    after: str,
    output: Path,
    quicklook: Path | None,
    stats: Path | None,
    align: bool,
    by_pixel: bool,
    overwrite: bool,
    as_json: bool,
    quiet: bool,
    **mapping: Any,
) -> None:
    with messages_shown(quiet=quiet):
        from narrows.water.batch import scene_name
        from narrows.water.compare import ChangeFiles, compare_maps

        files = ChangeFiles(output, quicklook, stats)
        files.check(overwrite=overwrite)
        ready = mapper(quiet=quiet, **mapping)
        # Two scenes may have one name, so that each needs a folder of its own.
        with (
            tempfile.TemporaryDirectory(prefix=".compare-", dir=output.parent) as first,
            tempfile.TemporaryDirectory(prefix=".compare-", dir=output.parent) as second,
        ):
            maps = ready.ready(before, Path(first)), ready.ready(after, Path(second))
            names = scene_name(before), scene_name(after)
            change = compare_maps(*maps, files, names=names, align=align, by_pixel=by_pixel, overwrite=overwrite)
        if as_json:
            click.echo(json.dumps(change.as_dict(), indent=2))
        elif not quiet:
            click.echo(f"{change.before} to {change.after}: {change.line()}")
            if change.aligned:
                click.echo(f"  {change.after} was brought to the grid of {change.before}, nearest neighbour")
            for path in files.wanted():
                click.echo(f"  {path}")
