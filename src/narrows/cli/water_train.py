"""`narrows water train`: a network for a user's own scenes."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from narrows.cli.options import OVERWRITE, QUIET, memory_option, with_options
from narrows.cli.speaking import INTERRUPTED, messages_shown, say
from narrows.cli.training_bar import training_bar
from narrows.cli.water_options import SCENE_OPTIONS
from narrows.errors import InputError

if TYPE_CHECKING:
    from narrows.water.training.fine_tuning import Trained

__all__ = ["train"]

_HELP = """Train a water network on your own scenes and masks: go on from the weights that come with narrows, or begin
from scratch. What comes out is a file for --model of narrows water, and a table that says whether it helped.

SCENES is a folder of scenes NAME with NAME_mask.tif or NAME_mask.png, or a .csv list, as for narrows water evaluate.
Classes of a mask: 0 land, 1 water, 2 unsure (teaches nothing), 3 cloud, 4 shadow, 255 fill (teaches nothing). Masks
are checked against their scenes before training.

Some scenes are kept for validation; where there are fewer than four, blocks of them. Training stops early when these
get no better. Ctrl-C leaves a checkpoint in the run folder, and the same command goes on from there.

\b
Examples:
    narrows water train labelled/ -o mine.safetensors
    narrows water train labelled/ -o mine.safetensors --validation-folder held_out/ --steps 4000
    narrows water train labelled.csv -o new.safetensors --from scratch --simulated 0.25
    narrows water scene.tif -o map.tif --model mine.safetensors
"""


@click.command(short_help="Train on your own scenes and masks.", help=_HELP)
@with_options(
    [
        click.argument("scenes", metavar="SCENES"),
        click.option(
            "-o", "--output", required=True, type=click.Path(path_type=Path), metavar="OUT.safetensors",
            help="The trained network.",
        ),
        click.option(
            "--from", "start", default="water", show_default=True, metavar="WEIGHTS",
            help="water, water-small, scratch, or a file that this command wrote.",
        ),
        click.option("--size", metavar="NAME", help="Of a network from scratch. [water]"),
        click.option("--steps", type=int, default=1500, show_default=True, help="Of the optimiser."),
        click.option("--batch", type=int, default=8, show_default=True, help="Crops of a step."),
        click.option("--crop", type=int, default=128, show_default=True, help="Side of a crop in pixels."),
        click.option("--rate", type=float, help="Highest learning rate. [5e-4; from scratch 2e-3]"),
        click.option("--validation", type=float, help="Share of the scenes kept to validate; 0 for none. [0.2]"),
        click.option(
            "--validation-folder", metavar="SCENES", help="Validate on these scenes and masks instead."
        ),
        click.option(
            "--patience", type=int, default=8, show_default=True,
            help="Stop after so many validations without a better one; 0 never stops early.",
        ),
        click.option(
            "--simulated", type=float, default=0.0, show_default=True, metavar="SHARE",
            help="Share of each batch that is simulated chips.",
        ),
        click.option("--seed", type=int, default=0, show_default=True, help="Of everything drawn."),
        click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True),
        click.option("--threads", type=click.IntRange(min=1), help="Of the processor. [as PyTorch chooses]"),
        click.option(
            "--run-folder", type=click.Path(path_type=Path), metavar="DIR",
            help="For checkpoints and log.csv. [OUT.training]",
        ),
        memory_option("Budget for mapping the validation scenes at the end."),
        *SCENE_OPTIONS,
        OVERWRITE,
        click.option("--json", "as_json", is_flag=True, help="Print what was made as JSON instead of tables."),
        QUIET,
    ]
)  # fmt: skip
def train(
    scenes: str,
    output: Path,
    validation: float | None,
    validation_folder: str | None,
    device: str,
    threads: int | None,
    run_folder: Path | None,
    memory: str | None,
    overwrite: bool,
    as_json: bool,
    quiet: bool,
    start: str,
    size: str | None,
    steps: int,
    batch: int,
    crop: int,
    rate: float | None,
    patience: int,
    simulated: float,
    seed: int,
    **scene_options: Any,
) -> None:
    with messages_shown(quiet=True):
        import torch

        from narrows.water.evaluation.pairs import find_pairs
        from narrows.water.training.fine_tuning import default_folder
        from narrows.water.training.fine_tuning import train as run
        from narrows.water.training.settings import TrainSettings

        if validation is not None and validation_folder is not None:
            raise InputError("--validation and --validation-folder contradict each other")
        settings = TrainSettings(
            start, size, steps, batch, crop, rate, 0.2 if validation is None else validation, patience, simulated, seed
        )
        options = {name: value for name, value in scene_options.items() if value is not None}
        pairs = find_pairs(scenes, None, options)
        held_out = find_pairs(validation_folder, None, options) if validation_folder is not None else []
        if threads is not None:
            torch.set_num_threads(threads)
        folder = run_folder or default_folder(output)
        with training_bar(settings.steps, shown=not quiet) as watch:
            try:
                trained = run(
                    pairs,
                    output,
                    settings,
                    validation=held_out,
                    folder=folder,
                    device=device,
                    memory=memory,
                    overwrite=overwrite,
                    tell=None if quiet else say,
                    report=watch,
                )
            except KeyboardInterrupt:
                _say_interrupted(folder)
                sys.exit(INTERRUPTED)
        if as_json:
            click.echo(json.dumps(trained.as_dict(), indent=1))
        elif not quiet:
            _show(trained)


def _say_interrupted(folder: Path) -> None:
    kept = (folder / "checkpoint.pt").exists()
    say(
        f"Interrupted; the same command goes on from the checkpoint in {folder}."
        if kept
        else "Interrupted before the first checkpoint; the same command begins again."
    )


def _show(trained: Trained) -> None:
    from rich.console import Console

    from narrows.water.training.report import tables, verdict

    console = Console(width=max(Console().width, 100))
    for table in tables(trained):
        console.print(table)
    click.echo(verdict(trained))
    click.echo(f"  {trained.output}")
    click.echo(f"  {trained.folder / 'log.csv'}")
