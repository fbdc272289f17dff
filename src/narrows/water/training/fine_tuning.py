"""Train a water network on labelled scenes: check, divide, train, score before and after, write the file."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import isfinite
from pathlib import Path
from typing import Any

import torch
from torch import nn

import narrows
from narrows.errors import InputError, OutputError
from narrows.rasters.staging import check_output_path
from narrows.training.loop import Step, fit
from narrows.water import weights
from narrows.water.batch import identity
from narrows.water.evaluation.confusion import Confusion
from narrows.water.evaluation.pairs import Pair
from narrows.water.model_files import (
    DEFAULT,
    ENDING,
    SIZES,
    WaterModel,
    is_model_file,
    new_model,
    read_model_file,
    save_model_file,
    shipped_model,
)
from narrows.water.network import WaterNetwork, digest_of, with_hidden
from narrows.water.training.division import Division, Part, check_enough, divide
from narrows.water.training.journal import Journal
from narrows.water.training.labelled import KINDS, Library, open_library
from narrows.water.training.lessons import Lessons
from narrows.water.training.run_folder import RunFolder
from narrows.water.training.settings import SCRATCH, TrainSettings
from narrows.water.training.validating import check_budget, score_scenes
from narrows.water.training.windows import RandomWindows, fixed_windows

__all__ = ["Trained", "default_folder", "train"]

Scores = dict[str, dict[str, Confusion]]


@dataclass(frozen=True)
class Trained:
    """What came of a training.

    Attributes:
        output: the file. folder: of the run. steps: that were made. seconds: all of them together.
        data: what it was trained and validated on. validation: how that was chosen, in words.
        scores: for the network compared with and the trained one, of each validation scene; empty without validation.
    """

    output: Path
    folder: Path
    steps: int
    seconds: float
    data: dict[str, Any]
    validation: str
    scores: Scores

    def totals(self) -> dict[str, Confusion]:
        """All validation scenes together."""
        return {name: sum(found.values(), Confusion()) for name, found in self.scores.items()}

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "output": str(self.output),
            "run_folder": str(self.folder),
            "steps": self.steps,
            "seconds": round(self.seconds, 1),
            "data": self.data,
            "validated_on": self.validation,
            "validation": {name: found.as_dict() for name, found in self.totals().items()},
            "validation_by_scene": {
                name: {scene: confusion.as_dict() for scene, confusion in found.items()}
                for name, found in self.scores.items()
            },
        }


def default_folder(output: Path) -> Path:
    """Where checkpoints and the log of a training go unless told: ``model.training`` for ``model.safetensors``."""
    return output.with_suffix(".training")


def train(
    pairs: Sequence[Pair],
    output: Path,
    settings: TrainSettings,
    *,
    validation: Sequence[Pair] = (),
    folder: Path | None = None,
    device: str = "cpu",
    memory: int | str | None = None,
    overwrite: bool = False,
    tell: Callable[[str], None] | None = None,
    report: Callable[[Step], None] | None = None,
) -> Trained:
    """Train on `pairs` and write the network to `output`; where the run's folder holds this training, go on with it.

    Everything is checked before the first step. An interruption leaves the last checkpoint in the folder.

    Args:
        validation: scenes to validate on, instead of a share of `pairs`.
        folder: for checkpoints and the log; see `default_folder`.
        device: ``"cpu"`` or ``"cuda"``.
        memory: budget for mapping the validation scenes at the end.
        tell: told what is done next. report: told of every step.

    Raises:
        InputError: the scenes, the masks or the settings can't be used; the message says which.
        OutputError: the output exists or can't be written; the folder holds another training.
    """
    say = tell or (lambda _: None)
    if output.suffix.lower() != ENDING:
        raise InputError(f"{output}: name the output with the ending {ENDING}")
    check_output_path(output, overwrite=overwrite)
    place = _device(device)
    _check_apart(pairs, validation)
    torch.manual_seed(settings.seed)
    model = _start(settings)
    started_from = SCRATCH if settings.from_scratch else f"{model.name} {digest_of(model.module)}"
    run = RunFolder(folder or default_folder(output), _identity(pairs, validation, settings, started_from))
    _done(run)
    say(f"checking {len(pairs) + len(validation)} scenes against their masks, and counting labels")
    with open_library([*pairs, *validation]) as library:
        division = divide(library.scenes, settings.validation, settings.seed, given=len(validation))
        check_enough(division)
        for scene in library.scenes:
            _network(model).check_bands(scene.name, scene.lacks)
        _say_what(division, model, run, say)
        check_budget(_network(model), division.validation, memory)
        run.begin()
        trained = replace(
            model, name=output.stem, module=_fit(model.module, library, division, settings, run, place, report)
        )
    rival = shipped_model(DEFAULT) if settings.from_scratch else _start(settings)
    compared = {
        f"{rival.name}, as it comes" if settings.from_scratch else f"before: {rival.name}": rival,
        "trained": trained,
    }
    scores = {
        name: score_scenes(_network(each), division.validation, memory, say)
        for name, each in compared.items()
        if division.validation
    }
    done = _done(run)
    data = {side: _summary(getattr(division, side)) for side in ("training", "validation")}
    result = Trained(output, run.path, done["step"], done["seconds"], data, division.by, scores)
    told = {name: value for name, value in result.as_dict().items() if name not in ("output", "run_folder")}
    about = {"narrows": narrows.__version__, "started_from": started_from, "settings": settings.as_dict(), **told}
    save_model_file(replace(trained, training=about), output)
    return result


def _start(settings: TrainSettings) -> WaterModel:
    """The network before training."""
    if settings.from_scratch:
        return new_model(settings.size or SIZES[0])
    if is_model_file(settings.start):
        return read_model_file(settings.start)
    if settings.start not in weights.available():
        raise InputError(
            f"--from {settings.start}: there are no such weights; name {', '.join(weights.available())}, {SCRATCH}, or "
            f"a file *{ENDING} that narrows water train wrote"
        )
    return shipped_model(settings.start)


def _fit(
    model: nn.Module,
    library: Library,
    division: Division,
    settings: TrainSettings,
    run: RunFolder,
    device: torch.device,
    report: Callable[[Step], None] | None,
) -> nn.Module:
    real = settings.batch - settings.simulated_chips
    windows = RandomWindows(library, division.training, settings.crop)
    lessons = Lessons(windows, real, settings.simulated_chips, settings.crop, device)
    kept = fixed_windows(library, division.validation, settings.crop, settings.seed)
    journal = Journal(run, kept, device, report)
    model = model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    _resume_log(run)
    loop, validate = settings.loop(validates=bool(kept)), journal.validate if kept else None
    with _failures_told(run):
        trained = fit(model, lessons.loss, run.path, loop, validate=validate, report=journal.write)
    return trained.to("cpu", memory_format=torch.contiguous_format)  # type: ignore[call-overload]


@contextmanager
def _failures_told(run: RunFolder) -> Iterator[None]:
    """PyTorch's errors that have nothing to do with the program, in the user's terms."""
    try:
        yield
    except RuntimeError as error:
        said = str(error)
        if isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in said:
            raise InputError("out of memory; give a smaller --batch or --crop (and another --run-folder)") from error
        if "PytorchStreamWriter" in said:
            raise OutputError(
                f"{run.checkpoint}: can't be written; is the disk full? With room there, the same command goes on"
            ) from error
        raise


def _network(model: WaterModel) -> WaterNetwork:
    return with_hidden(model.name, model.module, hidden=True)


def _device(name: str) -> torch.device:
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda: PyTorch finds no such device here")
    return torch.device(name)


def _check_apart(pairs: Sequence[Pair], validation: Sequence[Pair]) -> None:
    """Refuse scenes that would both teach and validate."""
    taught = {os.path.realpath(pair.scene) for pair in pairs}
    twice = next((pair for pair in validation if os.path.realpath(pair.scene) in taught), None)
    if twice is not None:
        raise InputError(f"{twice.scene} is among the scenes to train on and among those to validate on")


def _done(run: RunFolder) -> dict[str, Any]:
    """What the checkpoint says of how far the training is; nothing where there is none.

    Raises:
        InputError: it can't be read.
    """
    if not run.checkpoint.exists():
        return {}
    try:
        done: dict[str, Any] = torch.load(run.checkpoint, weights_only=True, map_location="meta")["done"]
    except Exception as error:
        raise InputError(f"{run.checkpoint}: is damaged; remove {run.path} to begin again") from error
    return done


def _identity(
    pairs: Sequence[Pair], validation: Sequence[Pair], settings: TrainSettings, started_from: str
) -> dict[str, Any]:
    def of(some: Sequence[Pair]) -> list[Any]:
        return [[identity(pair.scene), identity(str(pair.mask)), pair.window, pair.options] for pair in some]

    return {
        **settings.as_dict(),
        "start": started_from,
        "scenes to train on": of(pairs),
        "scenes to validate on": of(validation),
    }


def _resume_log(run: RunFolder) -> None:
    """Bring the log to where the checkpoint stands: an interruption may have come between the two."""
    done = _done(run)
    step = done.get("step", 0)
    run.resume(step)
    rows = run.rows()
    if step and (not rows or int(rows[-1]["step"]) < step):
        best = done["best"] if done["since_best"] == 0 and isfinite(done["best"]) else None
        run.add({"step": step, "loss": done["loss"], "validation_f1": best, "seconds": done["seconds"]})


def _say_what(division: Division, model: WaterModel, run: RunFolder, say: Callable[[str], None]) -> None:
    for verb, parts in (("train", division.training), ("validate", division.validation)):
        found = _summary(parts)
        if parts:
            count = f"{found['scenes']} {'scene' if found['scenes'] == 1 else 'scenes'}"
            if found["windows"] > found["scenes"]:
                count = f"{found['windows']} windows of {count}"
            say(
                f"to {verb} on: {count}, {found['land']:,} pixels of land, {found['water']:,} of water, "
                f"{found['covered']:,} of cloud and shadow"
            )
    say(f"validation: {division.by}")
    parameters = sum(parameter.numel() for parameter in model.module.parameters())
    say(f"{model.name}: {parameters:,} parameters")
    if run.checkpoint.exists():
        say(f"going on from the checkpoint in {run.path}")


def _summary(parts: Sequence[Part]) -> dict[str, int]:
    pixels = [part.pixels for part in parts]
    images = {part.scene.pair.scene for part in parts}
    return {
        "scenes": len(images),
        "windows": len(parts),
        **{kind: sum(each[kind] for each in pixels) for kind in KINDS},
    }
