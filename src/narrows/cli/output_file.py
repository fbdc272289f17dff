"""Files that a command writes whole: a page, a profile."""

from __future__ import annotations

from pathlib import Path

from narrows.errors import OutputError
from narrows.rasters.staging import put_in_place

__all__ = ["write_file"]


def write_file(path: Path, content: str) -> None:
    """Put a file of `content` at `path`, whole or not at all; `check_output_path` has accepted the place.

    Raises:
        OutputError: it can't be written.
    """
    beside = path.with_name(f".{path.name}.part")
    try:
        beside.write_text(content, encoding="utf-8")
        put_in_place(beside, path)
    except OSError as error:
        raise OutputError(f"{path}: can't be written ({error.strerror})") from error
    finally:
        beside.unlink(missing_ok=True)
