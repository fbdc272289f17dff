"""A product's files, in a folder, a tar or a zip, without unpacking."""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from narrows.errors import InputError

__all__ = ["Container", "open_container"]


@dataclass(frozen=True)
class Container:
    """The files under `path`: `names` are relative, with forward slashes. `prefix` makes them GDAL paths."""

    path: Path
    names: tuple[str, ...]
    prefix: str

    def gdal_path(self, name: str) -> str:
        """What GDAL opens to read the file `name`."""
        # GDAL drops the "./" that tar puts before names.
        return self.prefix + name.removeprefix("./")

    def read_text(self, name: str) -> str:
        """The text of the file `name`.

        Raises:
            InputError: it can't be read.
        """
        try:
            if self.path.is_dir():
                data = (self.path / name).read_bytes()
            elif self.prefix.startswith("/vsizip/"):
                with zipfile.ZipFile(self.path) as archive:
                    data = archive.read(name)
            else:
                with tarfile.open(self.path) as tar:
                    member = tar.extractfile(name)
                    data = member.read() if member else b""
        except (OSError, tarfile.TarError, zipfile.BadZipFile, KeyError) as error:
            raise InputError(f"{self.path}: {name} can't be read: {' '.join(str(error).split())}") from error
        return data.decode("utf-8", errors="replace")

    def matching(self, *endings: str) -> list[str]:
        """Names that end in any of `endings`, whatever their case."""
        lowered = tuple(ending.lower() for ending in endings)
        return sorted(name for name in self.names if name.lower().endswith(lowered))

    def file_named(self, name: str) -> str | None:
        """The path of the file called `name`, in whatever sub-folder and case."""
        wanted = PurePosixPath(name).name.lower()
        return next((each for each in self.names if PurePosixPath(each).name.lower() == wanted), None)


def open_container(path: Path) -> Container:
    """The files of a folder, a .tar or a .zip.

    Raises:
        InputError: it can't be read, or is compressed as a whole, so that it can't be read in parts.
    """
    if path.is_dir():
        names: Sequence[str] = [each.relative_to(path).as_posix() for each in sorted(path.rglob("*")) if each.is_file()]
        return Container(path, tuple(names), f"{path.as_posix()}/")
    lowered = path.name.lower()
    try:
        if lowered.endswith(".zip"):
            with zipfile.ZipFile(path) as archive:
                names = [name for name in archive.namelist() if not name.endswith("/")]
            return Container(path, tuple(names), f"/vsizip/{path.as_posix()}/")
        if lowered.endswith((".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")):
            raise InputError(f"{path}: a compressed tar can't be read in parts; unpack it and name the folder")
        with tarfile.open(path, "r:") as tar:
            members = [member.name for member in tar.getmembers() if member.isfile()]
        return Container(path, tuple(members), f"/vsitar/{path.as_posix()}/")
    except (OSError, tarfile.TarError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: can't be read as an archive: {' '.join(str(error).split())}") from error
