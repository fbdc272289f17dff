"""Train a water network on labelled scenes: check, divide, train, score before and after, write the file."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

import narrows
from narrows.errors import InputError
from narrows.rasters.staging import check_output_path
from narrows.training.loop import LoopSettings, Step, fit
from narrows.water.adapters import WaterOnly
from narrows.water.batch import identity
from narrows.water.evaluation.confusion import Confusion
from narrows.water.evaluation.pairs import Pair
from narrows.water.model_files import ENDING, WaterModel, new_model, read_model_file, save_model_file, shipped_model
from narrows.water.network import WaterNetwork, digest_of
from narrows.water.training.division import Division, Part, check_enough, divide
from narrows.water.training.journal import Journal
from narrows.water.training.labelled import KINDS, Library, open_library
from narrows.water.training.lessons import Lessons
from narrows.water.training.run_folder import RunFolder
from narrows.water.training.settings import TrainSettings
from narrows.water.training.validating import score_scenes, score_windows
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
    begun_with = _start(settings)
    run = RunFolder(folder or default_folder(output), _identity(pairs, validation, settings, begun_with))
    with open_library([*pairs, *validation], say) as library:
        division = divide(library.scenes, settings.validation, settings.seed, given=len(validation))
        check_enough(division)
        for line in _described(division):
            say(line)
        run.begin()
        model = _fit(begun_with, library, division, settings, run, place, report)
    rows = run.rows()
    trained = replace(begun_with, name=output.stem, module=model.cpu().eval())
    rival = shipped_model(settings.shipped) if settings.from_scratch else _start(settings)
    scores = {
        name: score_scenes(_network(each), division.validation, memory, say)
        for name, each in ((_called(settings), rival), ("trained", trained))
        if division.validation
    }
    result = Trained(
        output,
        run.path,
        int(rows[-1]["step"]) if rows else settings.steps,
        float(rows[-1]["seconds"]) if rows else 0.0,
        _summary(division),
        division.by,
        scores,
    )
    about = {
        "narrows": narrows.__version__,
        "started_from": settings.start if settings.from_scratch else f"{begun_with.name} {digest_of(rival.module)}",
        "settings": settings.as_dict(),
        **{name: value for name, value in result.as_dict().items() if name not in ("output", "run_folder")},
    }
    save_model_file(replace(trained, training=about), output)
    return result
