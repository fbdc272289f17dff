"""Raster outputs that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path

from narrows.errors import OutputError
from narrows.units import format_bytes

__all__ = ["check_output_path", "check_room", "discard", "put_in_place", "temporary_path"]


def check_output_path(path: Path, *, overwrite: bool) -> None:
    """Refuse `path` as an output before any work is done.

    Raises:
        OutputError: it exists and `overwrite` is false, it is a folder, or its folder isn't there or not writable.
    """
    folder = path.parent
    if not folder.is_dir():
        raise OutputError(f"{path}: the folder {folder} doesn't exist; make it first")
    if path.is_dir():
        raise OutputError(f"{path} is a folder; name a file")
    if path.exists() and not overwrite:
        raise OutputError(f"{path} exists; pass --overwrite to replace it")
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OutputError(f"{path}: the folder {folder} can't be written to ({error.strerror})") from error


def check_room(path: Path, needed: int) -> None:
    """Refuse to start where the disk has fewer than `needed` bytes free.

    Raises:
        OutputError: it has.
    """
    free = shutil.disk_usage(path.parent).free
    if free < needed:
        raise OutputError(
            f"{path}: the disk is too full: writing may take {format_bytes(needed)}, {format_bytes(free)} are free"
        )


def temporary_path(path: Path, kind: str) -> Path:
    """A hidden path beside `path` that nobody has, for a file that will be renamed to it or removed."""
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=f".{kind}.tif", dir=path.parent)
    os.close(handle)
    os.unlink(name)
    return Path(name)


def discard(*paths: Path) -> None:
    """Remove files and the side files that GDAL may have put beside them."""
    for path in paths:
        for each in (
            path,
            path.with_name(path.name + ".aux.xml"),
            path.with_name(path.name + ".ovr"),
            path.with_name(path.name + ".ovr.tmp"),
            path.with_name(path.name + ".msk.ovr.tmp"),
        ):
            with contextlib.suppress(FileNotFoundError):
                each.unlink()


def put_in_place(staged: Path, path: Path) -> None:
    """Rename `staged` to `path`, with the permissions that a new file gets.

    Raises:
        OutputError: it can't be renamed.
    """
    try:
        mask = os.umask(0)
        os.umask(mask)
        staged.chmod(0o666 & ~mask)
        os.replace(staged, path)
    except OSError as error:
        raise OutputError(f"{path}: the output can't be put in its place: {error.strerror}") from error
