"""`narrows water evaluate`: scores against masks drawn by people."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from narrows.cli.options import OVERWRITE, QUIET, memory_option, with_options
from narrows.cli.output_file import write_file
from narrows.cli.speaking import messages_shown, say
from narrows.cli.water_options import MODEL_OPTIONS, SCENE_OPTIONS, THRESHOLD, Networks
from narrows.errors import InputError, OutputError

__all__ = ["evaluate"]

_HELP = """Score water maps against masks drawn by people: the default network (as it is, and hiding clouds by its own
opinion) or another, every index, DSWE, and the peers ukis-csmask and WaterDetect where they are installed (pip install
'narrows[peers]'); on the same pixels, in one table.

SCENES is a scene with its --mask; or a folder of scenes NAME with NAME_mask.tif or NAME_mask.png; or a .csv list with
the columns scene and mask and, where a mask is of a part, row, column, height and width. Classes of a mask: 0 land, 1
water, 2 unsure (not scored), 3 cloud, 4 shadow, 255 fill (not scored). A mask must have its scene's size, CRS and
transform; one without a georeference is taken by its size.

An unobserved pixel counts as wrong, unless the mask says cloud, shadow or fill. Curves show the IoU with noise, shifted
bands, haze and clouds added.

\b
Examples:
    narrows water evaluate scene.tif --mask scene_mask.tif
    narrows water evaluate labelled/ --stats scores.json --plots plots/
    narrows water evaluate labelled.csv --no-curves --no-peers
"""


@click.command(short_help="Score maps against masks drawn by people.", help=_HELP)
@with_options(
    [
        click.argument("scenes", metavar="SCENES"),
        click.option("--mask", type=click.Path(path_type=Path), metavar="MASK", help="The mask of the one scene."),
        click.option("--stats", type=click.Path(path_type=Path), metavar="FILE.json", help="Also every score as JSON."),
        click.option(
            "--plots", type=click.Path(path_type=Path), metavar="FOLDER", help="Also pictures, into this folder."
        ),
        click.option("--curves/--no-curves", default=True, show_default=True, help="Also on scenes made harder."),
        click.option("--peer-curves", is_flag=True, help="The peers too, which take long."),
        click.option("--peers/--no-peers", default=True, show_default=True, help="Also ukis-csmask and WaterDetect."),
        memory_option("Budget for the network; a scene is held whole beside it."),
        THRESHOLD,
        *MODEL_OPTIONS,
        *SCENE_OPTIONS,
        OVERWRITE,
        click.option("--json", "as_json", is_flag=True, help="Print every score as JSON instead of tables."),
        QUIET,
    ]
)
def evaluate(
    scenes: str,
    mask: Path | None,
    stats: Path | None,
    plots: Path | None,
    curves: bool,
    peer_curves: bool,
    peers: bool,
    memory: str | None,
    threshold: float,
    model: str | None,
    weights: str | None,
    arguments: tuple[str, ...],
    gives: Any,
    without_swir: bool,
    overwrite: bool,
    as_json: bool,
    quiet: bool,
    **scene_options: Any,
) -> None:
    with messages_shown(quiet=True):
        from narrows.rasters.staging import check_output_path
        from narrows.water.evaluation.evaluating import evaluate as run
        from narrows.water.evaluation.methods import Method, NetworkMethod, rules
        from narrows.water.evaluation.pairs import find_pairs
        from narrows.water.evaluation.peers import find_peers
        from narrows.water.evaluation.plots import check_plots, save_plots
        from narrows.water.evaluation.report import tables
        from narrows.water.mapping import MapOptions

        MapOptions(threshold=threshold, memory=memory)
        if stats is not None:
            check_output_path(stats, overwrite=overwrite)
        if plots is not None:
            if not plots.is_dir():
                raise OutputError(f"{plots}: there is no such folder; make it first")
            check_plots(plots, overwrite=overwrite)
        if peer_curves and not peers:
            raise InputError("--peer-curves and --no-peers contradict each other")
        options = {name: value for name, value in scene_options.items() if value is not None}
        pairs = find_pairs(scenes, mask, options)
        networks = Networks(model, weights, arguments, gives, without_swir)
        kinds = (False, True) if networks.tells_hidden else (False,)
        methods: list[Method] = [NetworkMethod(networks.get(hidden=each), threshold, memory) for each in kinds]
        others, missing = find_peers() if peers else ([], [])
        if not quiet:
            for each in missing:
                say(f"{each.name}: {each.why}")
        found = run(
            pairs,
            [*methods, *rules(), *others],
            missing=missing,
            curves=curves,
            slow_curves=peer_curves,
            progress=None if quiet else say,
        )
        text = json.dumps(found.as_dict(), indent=1) + "\n"
        if stats is not None:
            write_file(stats, text)
        drawn = save_plots(found, plots, overwrite=overwrite) if plots is not None else []
        if as_json:
            click.echo(text, nl=False)
        elif not quiet:
            from rich.console import Console

            console = Console(width=max(Console().width, 150))
            for table in tables(found):
                console.print(table)
            for path in drawn:
                click.echo(f"  {path}")
