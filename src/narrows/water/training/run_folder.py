"""The folder of one training: what it is of, its checkpoints, its log."""

from __future__ import annotations

import csv
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from narrows.errors import OutputError
from narrows.rasters.staging import put_in_place

__all__ = ["LOG_COLUMNS", "RunFolder"]

LOG_COLUMNS = ("step", "loss", "validation_f1", "validation_iou", "seconds")
_TRAINING, _LOG = "training.json", "log.csv"


class RunFolder:
    """A folder that holds one training and no other.

    Args:
        path: it may be there already, empty or with the same training.
        identity: what tells this training from another, plain JSON: under "data" the scenes and masks, beside it the
            options.

    Raises:
        OutputError: the folder holds another training or something else, or can't be written to.
    """

    def __init__(self, path: Path, identity: Mapping[str, Any]) -> None:
        self.path = path
        self._identity = json.loads(json.dumps(dict(identity)))
        self._check()

    @property
    def begun(self) -> bool:
        """Whether a training began here."""
        return (self.path / _TRAINING).is_file()

    @property
    def checkpoint(self) -> Path:
        """As `fit` calls it."""
        return self.path / "checkpoint.pt"

    @property
    def log(self) -> Path:
        return self.path / _LOG

    def begin(self) -> None:
        """Make the folder, and write down whose it is."""
        self.path.mkdir(exist_ok=True)
        _write(self.path / _TRAINING, json.dumps(self._identity, indent=1) + "\n")

    def resume(self, step: int) -> None:
        """Drop what was logged after `step`, which is made again."""
        kept = [row for row in self.rows() if int(row["step"]) <= step]
        lines = [",".join(LOG_COLUMNS), *(",".join(row[name] for name in LOG_COLUMNS) for row in kept)]
        _write(self.log, "\n".join(lines) + "\n")

    def add(self, row: Mapping[str, float | int | None]) -> None:
        """Append a line to the log."""
        said = ("" if row.get(name) is None else f"{row[name]:.6g}" for name in LOG_COLUMNS)
        with self.log.open("a", encoding="utf-8") as file:
            file.write(",".join(said) + "\n")

    def rows(self) -> list[dict[str, str]]:
        """The log."""
        if not self.log.is_file():
            return []
        with self.log.open(newline="", encoding="utf-8") as file:
            return [row for row in csv.DictReader(file) if all(row.get(name) is not None for name in LOG_COLUMNS)]

    def _check(self) -> None:
        if not self.path.exists():
            if not self.path.parent.is_dir():
                raise OutputError(f"{self.path}: the folder {self.path.parent} doesn't exist; make it first")
            _check_writable(self.path.parent)
            return
        if not self.path.is_dir():
            raise OutputError(f"{self.path} is a file; a training needs a folder: name one with --run-folder")
        _check_writable(self.path)
        if not self.begun:
            if any(self.path.iterdir()):
                raise OutputError(f"{self.path} holds other files; name an empty or a new --run-folder")
            return
        try:
            there = json.loads((self.path / _TRAINING).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise OutputError(f"{self.path / _TRAINING} can't be read; name another --run-folder") from error
        if there != self._identity:
            raise OutputError(
                f"{self.path} holds another training: {_difference(there, self._identity)}; name another --run-folder, "
                "or remove that one"
            )


def _difference(there: Any, here: Mapping[str, Any]) -> str:
    """The first thing in which the two differ."""
    for name in here:
        old, new = there.get(name) if isinstance(there, dict) else None, here[name]
        if old == new:
            continue
        if isinstance(new, list | dict):
            return f"its {name} are others, or were changed since"
        return f"there {name} is {old}, here {new}"
    return "of another version of narrows"


def _check_writable(folder: Path) -> None:
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OutputError(f"{folder} can't be written to ({error.strerror})") from error


def _write(path: Path, text: str) -> None:
    beside = path.with_name(f".{path.name}.part")
    try:
        beside.write_text(text, encoding="utf-8")
        put_in_place(beside, path)
    finally:
        beside.unlink(missing_ok=True)
