"""`narrows water`: the surface-water map of whole scenes. Also `rio water`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from narrows.cli.speaking import messages_shown, one_line_errors, progress_bar, say
from narrows.errors import InputError

if TYPE_CHECKING:
    from narrows.water.batch import Job, Outcome
    from narrows.water.network import WaterNetwork
    from narrows.water.products import MapFiles, MapResult

__all__ = ["rio_water", "water"]

_HELP = """Map the surface water of each SCENE, whole, inside a memory budget.

SCENE is a multi-band GeoTIFF, a Landsat, Sentinel-2 or HLS product (folder, zip or tar), or a STAC item. OUT is a
cloud-optimised GeoTIFF (0 land, 1 water, 254 hidden by cloud or shadow, 255 no data); for several scenes a folder,
which gets NAME_water.tif for each. In the names of the other outputs {} stands for the scene's name.

\b
Examples:
    %(command)s LC09_L2SP_231062_20230723 -o manaus.tif --memory 1GB --quicklook manaus.png
    %(command)s scenes/*.SAFE -o maps/ --memory 1GB --polygons 'maps/{}.gpkg' --min-area 1ha
    %(command)s scene.tif -o lake.tif --aoi lake.gpkg --stats lake.json
"""


class _Numbers(click.ParamType):
    """Numbers with commas between them."""

    name = "numbers"

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> tuple[float, ...]:
        try:
            return tuple(float(each) for each in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r} is neither a number nor numbers with commas between them", param, context)


_NUMBERS = _Numbers()


def _options(command: Any) -> Any:
    path = click.Path(path_type=Path)
    for option in reversed(
        [
            click.argument("scenes", nargs=-1, required=True, metavar="SCENE..."),
            click.option("-o", "--output", required=True, type=path, metavar="OUT", help="The map, or a folder."),
            click.option(
                "--memory", metavar="BYTES", help="Budget for the whole process, as 1GB. [a quarter of what is free]"
            ),
            click.option(
                "--probability", type=path, metavar="FILE.tif", help="Also the probability of water in percent."
            ),
            click.option("--polygons", type=path, metavar="FILE", help="Also water bodies as .gpkg, .geojson or .shp."),
            click.option(
                "--quicklook", type=path, metavar="FILE.png", help="Also a picture: false colour beside the map."
            ),
            click.option("--stats", type=path, metavar="FILE", help="Also areas and shares as .json or .csv."),
            click.option(
                "--aoi",
                metavar="AREA",
                help="Only this area: a polygon file, or west,south,east,north in the scene's coordinates, "
                "or lonlat:west,south,east,north in degrees.",
            ),
            click.option(
                "--threshold", type=float, default=0.5, show_default=True, help="Water from this probability on."
            ),
            click.option("--min-area", metavar="AREA", help="Drop smaller water bodies: 5000m2, 2ha, 0.1km2 or 12px."),
            click.option(
                "--mask-clouds",
                is_flag=True,
                help="Hide clouds and shadows by the product's QA_PIXEL, SCL or Fmask, or else by the default network.",
            ),
            click.option(
                "--model",
                metavar="MODEL",
                help="Another network: deepwatermap:weights.safetensors, or a .pt2 file, package.module:factory or "
                "file.py:factory from six bands to one channel.",
            ),
            click.option(
                "--weights", type=click.Path(), metavar="FILE.safetensors", help="Weights for such a network."
            ),
            click.option(
                "--arg", "arguments", multiple=True, metavar="NAME=VALUE", help="An argument for its factory."
            ),
            click.option(
                "--gives",
                type=click.Choice(["probability", "logits"]),
                default="probability",
                show_default=True,
                help="What such a network's output is.",
            ),
            click.option("--bands", metavar="LIST", help="Order of the bands: six numbers or names, as 2,3,4,5,6,7."),
            click.option("--sensor", help="The sensor, where the files don't say."),
            click.option(
                "--scale",
                type=_NUMBERS,
                help="Reflectance = number x SCALE + OFFSET, instead of what the files say: one number, or one for "
                "each of blue,green,red,nir,swir1,swir2.",
            ),
            click.option("--offset", type=_NUMBERS, help="See --scale."),
            click.option(
                "--nodata", type=float, help="The number of pixels without data, instead of what the files say."
            ),
            click.option("--overwrite", is_flag=True, help="Replace outputs that exist."),
            click.option("--json", "as_json", is_flag=True, help="Print what was made as JSON."),
            click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors."),
        ]
    ):
        command = option(command)
    return command


@click.command(short_help="Map the surface water of whole scenes.", help=_HELP % {"command": "narrows water"})
@_options
def water(**given: Any) -> None:
    with messages_shown(quiet=given["quiet"]):
        _water(**given)


@click.command("water", short_help="Map the surface water of whole scenes.", help=_HELP % {"command": "rio water"})
@_options
@one_line_errors
def rio_water(**given: Any) -> None:
    with messages_shown(quiet=given["quiet"]):
        _water(**given)


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
    mask_clouds: bool,
    model: str | None,
    weights: str | None,
    arguments: tuple[str, ...],
    gives: Literal["probability", "logits"],
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
    networks = _Networks(model, weights, arguments, gives)

    def work(job: Job) -> MapResult:
        from dataclasses import replace

        from narrows.rasters import open_scene
        from narrows.water.api import choose_clouds

        job.files.check(overwrite=overwrite)
        with open_scene(job.scene, **scene_options) as scene:
            clouds = choose_clouds(scene, mask_clouds, may_ask_network=model is None)
            if not quiet and clouds == "network":
                say(f"{job.name}: clouds: by the default network, as the product has no mask of them")
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


class _Networks:
    """The network for this command, read once for each way it is used."""

    def __init__(self, model: str | None, weights: str | None, arguments: tuple[str, ...], gives: Any):
        if model is None and (weights or arguments):
            raise InputError("--weights and --arg belong to --model")
        self._said = (model, weights, arguments, gives)
        self._known: dict[bool, WaterNetwork] = {}

    def get(self, *, hidden: bool = False) -> WaterNetwork:
        if hidden not in self._known:
            self._known[hidden] = self._read(hidden)
        return self._known[hidden]

    def _read(self, hidden: bool) -> WaterNetwork:
        from narrows.cli.model_argument import read_model
        from narrows.water.api import choose_network
        from narrows.water.network import own_network

        model, weights, arguments, gives = self._said
        if model is None or model.startswith("deepwatermap:"):
            return choose_network(model, gives, hidden=hidden)
        return own_network(read_model(model, weights, arguments), Path(model).name, gives)


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
