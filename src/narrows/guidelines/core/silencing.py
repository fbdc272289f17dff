"""Findings that the user doesn't want to hear, each with a reason.

Three ways: ``G1=reason`` or ``G1:encoder.*=reason`` (module paths as shell patterns) in a call or on the command line;
the same as a table ``[tool.narrows.silence]`` of a TOML file; and a comment ``# narrows: ignore[G1] reason`` on the
line of the call that a finding names, or alone on the line above it.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from narrows.errors import InputError

__all__ = ["Silence", "in_source", "parse_silences", "read_silences"]

_COMMENT = re.compile(r"#\s*narrows:\s*ignore\[([^\]]*)\]\s*(.*)$")


@dataclass(frozen=True)
class Silence:
    """Findings of guideline `key` in modules that `pattern` matches are silenced, for `reason`."""

    key: str
    pattern: str
    reason: str

    def covers(self, key: str, modules: Sequence[str]) -> bool:
        """Whether a finding of `key` that stands for these modules is silenced: every one of them must match."""
        if key != self.key:
            return False
        return self.pattern == "*" or (bool(modules) and all(fnmatchcase(path, self.pattern) for path in modules))


def parse_silences(given: Mapping[str, str], known: Collection[str], where: str) -> list[Silence]:
    """``{"G1": "reason", "G4:encoder.*": "reason"}`` as silences.

    Raises:
        InputError: an unknown guideline, or no reason.
    """
    found = []
    for name, reason in given.items():
        key, _, pattern = name.partition(":")
        key = key.strip().upper()
        _known(key, known, where)
        if not isinstance(reason, str) or not reason.strip():
            raise InputError(f"{where}: say why {key} is silenced, as {name}=reason")
        found.append(Silence(key, pattern.strip() or "*", reason.strip()))
    return found


def read_silences(path: str | Path, known: Collection[str]) -> list[Silence]:
    """The table ``[tool.narrows.silence]`` of a TOML file; none where it has no such table.

    Raises:
        InputError: the file can't be read, or the table isn't one of reasons by guideline.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        table = tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a TOML file ({str(error).splitlines()[0]})") from error
    for name in ("tool", "narrows", "silence"):
        table = table.get(name, {})
        if not isinstance(table, dict):
            raise InputError(f'{path}: [tool.narrows.silence] must be a table, as G1 = "reason"')
    return parse_silences(table, known, str(path))


def in_source(files: Sequence[Path], source: str | None, key: str, known: Collection[str]) -> str | None:
    """The reason in a comment at the line that `source` (``"net.py:12"``) names in one of `files`; None without one.

    Raises:
        InputError: the comment names an unknown guideline or gives no reason.
    """
    if source is None:
        return None
    name, _, number = source.rpartition(":")
    for path in files:
        if path.name != name:
            continue
        lines = path.read_text(errors="replace").splitlines()
        line = int(number)
        near = lines[line - 1 : line]
        if line >= 2 and lines[line - 2 : line - 1] and lines[line - 2].lstrip().startswith("#"):
            near.append(lines[line - 2])
        for text in near:
            match = _COMMENT.search(text)
            if match is None:
                continue
            keys = [part.strip().upper() for part in match[1].split(",")]
            for each in keys:
                _known(each, known, f"{path}:{line}")
            if not match[2].strip():
                raise InputError(f"{path}:{line}: say why, as # narrows: ignore[{match[1]}] reason")
            if key in keys:
                return match[2].strip()
    return None


def _known(key: str, known: Collection[str], where: str) -> None:
    if key not in known:
        raise InputError(f"{where}: there is no guideline '{key}'; they are {', '.join(known)}")
