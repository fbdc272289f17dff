"""`narrows water`: the surface-water map of whole scenes. Also `rio water`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from narrows.cli.lazy import CommandOrDefault
from narrows.cli.options import MEMORY, OVERWRITE, QUIET, with_options
from narrows.cli.speaking import messages_shown, one_line_errors, progress_bar, say
from narrows.cli.water_options import (
    MASK_CLOUDS,
    MODEL_OPTIONS,
    SCENE_OPTIONS,
    THRESHOLD,
    Networks,
)

if TYPE_CHECKING:
    from narrows.water.batch import Job, Outcome
    from narrows.water.products import MapFiles, MapResult

__all__ = ["rio_water", "water"]

_HELP = """Map the surface water of each SCENE, whole, inside a memory budget.

SCENE is a multi-band GeoTIFF, a Landsat, Sentinel-2 or HLS product (folder, zip or tar), or a STAC item; without
shortwave infrared (PlanetScope, NAIP, ...) for a network that was taught so, whose map is less sure then. OUT is a
cloud-optimised GeoTIFF (0 land, 1 water, 254 hidden by cloud or shadow, 255 no data); for several scenes a folder,
which gets NAME_water.tif for each. In the names of the other outputs {} stands for the scene's name.

\b
Examples:
    %(command)s LC09_L2SP_231062_20230723 -o manaus.tif --memory 1GB --quicklook manaus.png
    %(command)s scenes/*.SAFE -o maps/ --memory 1GB --polygons 'maps/{}.gpkg' --min-area 1ha
    %(command)s scene.tif -o lake.tif --aoi lake.gpkg --stats lake.json
"""
_MORE = """
\b
Beside it, as the first word (a scene of such a name is given as ./NAME):
    narrows water evaluate   scores against masks drawn by people
    narrows water compare    what changed between two dates
    narrows water train      a network for your own scenes
    narrows water series     how often each pixel is water, and the area by date
"""


def _options(command: Any) -> Any:
    path = click.Path(path_type=Path)
    own = [
        click.argument("scenes", nargs=-1, required=True, metavar="SCENE..."),
        click.option("-o", "--output", required=True, type=path, metavar="OUT", help="The map, or a folder."),
        MEMORY,
        click.option("--probability", type=path, metavar="FILE.tif", help="Also the probability of water in percent."),
        click.option("--polygons", type=path, metavar="FILE", help="Also water bodies as .gpkg, .geojson or .shp."),
        click.option("--quicklook", type=path, metavar="FILE.png", help="Also a picture: false colour beside the map."),
        click.option("--stats", type=path, metavar="FILE", help="Also areas and shares as .json or .csv."),
        click.option(
            "--aoi",
            metavar="AREA",
            help="Only this area: a polygon file, or west,south,east,north in the scene's coordinates, "
            "or lonlat:west,south,east,north in degrees.",
        ),
        THRESHOLD,
        click.option("--min-area", metavar="AREA", help="Drop smaller water bodies: 5000m2, 2ha, 0.1km2 or 12px."),
        MASK_CLOUDS,
        *MODEL_OPTIONS,
        *SCENE_OPTIONS,
        OVERWRITE,
        click.option("--json", "as_json", is_flag=True, help="Print what was made as JSON."),
        QUIET,
    ]
    return with_options(own)(command)


@click.command(short_help="Map the surface water of whole scenes.", help=_HELP % {"command": "narrows water"} + _MORE)
@_options
def map_scenes(**given: Any) -> None:
    with messages_shown(quiet=given["quiet"]):
        _water(**given)


@click.command("water", short_help="Map the surface water of whole scenes.", help=_HELP % {"command": "rio water"})
@_options
@one_line_errors
def rio_water(**given: Any) -> None:
    with messages_shown(quiet=given["quiet"]):
        _water(**given)


water = CommandOrDefault(
    "water",
    map_scenes,
    {
        "evaluate": ("narrows.cli.water_evaluate", "evaluate"),
        "compare": ("narrows.cli.water_compare", "compare"),
        "train": ("narrows.cli.water_train", "train"),
        "series": ("narrows.cli.water_series", "series"),
    },
)


def _water(
    scenes: tuple[str, ...],
    output: Path,
    memory: str | None,
    probability: Path | None,
    polygons: Path | None,
    quicklook: Path | None,
    stats: Path | None,
    aoi: str | None,
    threshold: float,
    min_area: str | None,
    mask_clouds: bool | None,
    model: str | None,
    weights: str | None,
    arguments: tuple[str, ...],
    gives: Literal["probability", "logits"],
    without_swir: bool,
    overwrite: bool,
    as_json: bool,
    quiet: bool,
    **scene_options: Any,
) -> None:
    import warnings

    from rasterio.errors import NotGeoreferencedWarning

    warnings.simplefilter("ignore", NotGeoreferencedWarning)  # said once, in the project's own words
    from narrows.water.batch import Job, check_summary, identity, place_files, run_jobs, scene_name, write_summary
    from narrows.water.mapping import MapOptions, MinimumArea
    from narrows.water.products import MapFiles, map_to_files, run_key

    options = MapOptions(
        threshold=threshold,
        min_area=MinimumArea.parse(min_area) if min_area is not None else None,
        aoi=aoi,
        memory=memory,
    )
    files = MapFiles(output, probability, polygons, quicklook, stats)
    placed = place_files(files, scenes)
    scene_options = {name: value for name, value in scene_options.items() if value is not None}
    networks = Networks(model, weights, arguments, gives, without_swir)

    def work(job: Job) -> MapResult:
        from dataclasses import replace

        from narrows.rasters import open_scene
        from narrows.water.api import choose_clouds

        job.files.check(overwrite=overwrite)
        with open_scene(job.scene, **scene_options) as scene:
            clouds = choose_clouds(scene, mask_clouds, may_ask_network=networks.tells_hidden)
            if not quiet and mask_clouds and clouds == "network":
                say(f"{job.name}: clouds: by the network itself, as the product has no mask of them")
            network = networks.get(hidden=clouds == "network")
            with progress_bar(job.name, shown=not quiet) as progress:
                return map_to_files(
                    scene,
                    network,
                    replace(options, clouds=clouds),
                    job.files,
                    name=job.name,
                    key=job.key,
                    overwrite=overwrite,
                    progress=progress,
                )

    def key(scene: str) -> str:
        asked = {
            "network": [networks.get().name, networks.get().digest, gives],
            "options": [threshold, str(options.min_area), mask_clouds, aoi and identity(aoi)],
            "scene": scene_options,
        }
        return run_key(identity(scene), asked)

    if len(scenes) == 1:
        job = Job(scenes[0], scene_name(scenes[0]), placed[0], key(scenes[0]))
        result = work(job)
        _show(result, as_json=as_json, quiet=quiet)
        return
    check_summary(_folder(placed))
    jobs = [Job(s, scene_name(s), own, key(s)) for s, own in zip(scenes, placed, strict=True)]
    outcomes: list[Outcome] = []
    for outcome in run_jobs(jobs, work):
        outcomes.append(outcome)
        if not quiet:
            _say_outcome(outcome)
    summary = write_summary(_folder(placed), outcomes)
    if as_json:
        click.echo(json.dumps([_as_dict(outcome) for outcome in outcomes], indent=2))
    failed = sum(outcome.status == "failed" for outcome in outcomes)
    if not quiet or failed:
        say(f"{len(outcomes) - failed} of {len(outcomes)} scenes are mapped; see {summary}")
    if failed:
        sys.exit(1)


def _folder(placed: list[MapFiles]) -> Path:
    return placed[0].mask.parent


def _show(result: MapResult, *, as_json: bool, quiet: bool) -> None:
    if as_json:
        click.echo(json.dumps(result.as_dict(), indent=2))
    elif not quiet:
        click.echo(f"{result.scene}: {result.statistics.line()}")
        for path in result.files.wanted():
            click.echo(f"  {path}")


def _say_outcome(outcome: Outcome) -> None:
    if outcome.result is not None:
        say(f"{outcome.job.name}: {outcome.result.statistics.line()}")
    elif outcome.status == "skipped":
        say(f"{outcome.job.name}: finished before")
    else:
        say(f"{outcome.job.name}: failed: {outcome.error}")


def _as_dict(outcome: Outcome) -> dict[str, Any]:
    said: dict[str, Any] = {"scene": outcome.job.scene, "status": outcome.status}
    if outcome.result is not None:
        return said | outcome.result.as_dict()
    return said | ({"error": outcome.error} if outcome.error else {"files": {"mask": str(outcome.job.files.mask)}})
