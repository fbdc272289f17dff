"""`narrows water series`: many dates of one place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from narrows.cli.options import OVERWRITE, QUIET, with_options
from narrows.cli.speaking import messages_shown
from narrows.cli.water_options import BY_PIXEL, MAPPING_OPTIONS, mapper
from narrows.errors import InputError, OutputError

__all__ = ["series"]

_HELP = """Map each SCENE and add the maps up: how often each pixel is water, and the area of water by date with the
share that was not observed.

A SCENE is one, or a water map as narrows water writes it, which is taken as it is. OUTDIR gets NAME_water.tif for each
scene mapped (one finished before isn't made again), occurrence.tif (water in percent of the dates observed, 255 never
observed), observed.tif (number of dates observed), area.csv, series.json, area.png and occurrence.png. Dates come from
the products' metadata or from names, or from --dates. Scenes on different grids are refused, or brought to the first
one's with --align; scenes without a georeference are refused, unless --by-pixel says that they show the same ground.

\b
Examples:
    narrows water series scenes/LC08_* -o series/ --memory 1GB --mask-clouds
    narrows water series maps/*_water.tif -o series/
    narrows water series spring.tif autumn.tif -o series/ --dates 2019-04-16,2019-10-01
"""


@click.command(short_help="Add up many dates: occurrence, and area by date.", help=_HELP)
@with_options(
    [
        click.argument("scenes", nargs=-1, required=True, metavar="SCENE..."),
        click.option(
            "-o", "--output", required=True, type=click.Path(path_type=Path), metavar="OUTDIR", help="A folder."
        ),
        click.option("--dates", metavar="LIST", help="Their days, in their order: 2019-04-16,2019-10-01."),
        click.option("--align", is_flag=True, help="Bring all to the grid of the first (nearest neighbour)."),
        BY_PIXEL,
        *MAPPING_OPTIONS,
        OVERWRITE,
        click.option("--json", "as_json", is_flag=True, help="Print the dates and areas as JSON."),
        QUIET,
    ]
)
def series(
    scenes: tuple[str, ...],
    output: Path,
    dates: str | None,
    align: bool,
    by_pixel: bool,
    overwrite: bool,
    as_json: bool,
    quiet: bool,
    **mapping: Any,
) -> None:
    with messages_shown(quiet=quiet):
        from narrows.water.batch import scene_name
        from narrows.water.series import SeriesFiles, add_up, parse_dates

        if not output.is_dir():
            raise OutputError(f"{output}: there is no such folder; make it first")
        if len(scenes) < 2:
            raise InputError("a series has two scenes or more")
        names = [scene_name(scene) for scene in scenes]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise InputError(f"two scenes are called {twice}; their maps would have one name")
        days = parse_dates(dates, len(scenes)) if dates is not None else None
        files = SeriesFiles(output)
        files.check(overwrite=overwrite)
        ready = mapper(quiet=quiet, **mapping)
        maps = [ready.ready(scene, output, overwrite=overwrite) for scene in scenes]
        found = add_up(
            maps,
            output,
            dates=days,
            names=names,
            align=align,
            by_pixel=by_pixel,
            memory=mapping["memory"],
            overwrite=overwrite,
        )
        if as_json:
            click.echo(json.dumps(found.as_dict(), indent=2))
        elif not quiet:
            for entry in found.entries:
                click.echo(f"{entry.day.isoformat()}  {entry.name}: {entry.statistics.line()}")
            for path in files.wanted():
                click.echo(f"  {path}")
