"""Output files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path
from types import TracebackType

from narrows.errors import NarrowsError, OutputError
from narrows.rasters.staging import check_output_path as check_output
from narrows.units import format_bytes

__all__ = ["StagedOutputs", "check_output", "check_space"]


def check_space(needs: dict[Path, int]) -> None:
    """Refuse to start where the disk has less room than the outputs may take, given as bytes per file.

    Raises:
        OutputError: a disk has too little room.
    """
    per_disk: dict[int, tuple[Path, int]] = {}
    for path, count in needs.items():
        disk = path.parent.stat().st_dev
        per_disk[disk] = (path.parent, per_disk.get(disk, (path.parent, 0))[1] + count)
    for folder, count in per_disk.values():
        free = shutil.disk_usage(folder).free
        if free < count:
            raise OutputError(
                f"{folder}: the disk is too full: the output may take {format_bytes(count)}, "
                f"{format_bytes(free)} are free"
            )


class StagedOutputs:
    """Gives each output a hidden path in its own folder; renames all of them at the end, or removes all of
    them.

    As a context manager it commits when the block ends well and clears up after any exception, an interrupt
    included.
    """

    def __init__(self, *, overwrite: bool = False):
        self._overwrite = overwrite
        self._staged: dict[Path, Path] = {}

    def add(self, path: Path) -> Path:
        """The path to write instead of `path` until everything is done.

        Raises:
            OutputError: the path can't be written, or two outputs have the same path.
        """
        check_output(path, overwrite=self._overwrite)
        if path.resolve() in {other.resolve() for other in self._staged}:
            raise OutputError(f"{path} is named for two outputs")
        handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=f".partial{path.suffix}", dir=path.parent)
        os.close(handle)
        os.unlink(name)
        self._staged[path] = Path(name)
        return self._staged[path]

    def commit(self) -> None:
        """Rename every staged file, and its side files (those of a shapefile), to its place."""
        for path, staged in self._staged.items():
            for part in self._parts(staged):
                os.replace(part, path.with_name(path.stem + part.name.removeprefix(staged.stem)))
        self._staged.clear()

    def discard(self) -> None:
        """Remove what has been written."""
        for staged in self._staged.values():
            for part in self._parts(staged):
                with contextlib.suppress(FileNotFoundError):
                    part.unlink()
        self._staged.clear()

    def _in_users_terms(self, message: str) -> str:
        for path, staged in self._staged.items():
            message = message.replace(str(staged), str(path)).replace(staged.name, path.name)
        return message

    @staticmethod
    def _parts(staged: Path) -> list[Path]:
        return [part for part in staged.parent.iterdir() if part.name.startswith(staged.stem)]

    def __enter__(self) -> StagedOutputs:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            if isinstance(error, NarrowsError):
                error.args = (self._in_users_terms(str(error)),)
            self.discard()
            return
        try:
            self.commit()
        except OSError as failure:
            self.discard()
            raise OutputError(f"outputs could not be put in their place: {failure}") from failure
