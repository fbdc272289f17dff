"""What the first bytes of a PNG, JPEG or TIFF say that GDAL keeps to itself: how it is coded and how it is turned."""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path

from narrows.errors import InputError

__all__ = ["Header", "read_header"]


@dataclass(frozen=True)
class Header:
    """Facts of an image file.

    Attributes:
        format: "PNG", "JPEG" or "TIFF".
        decoded_whole: it is an interlaced PNG or a progressive JPEG, which decoders hold whole.
        orientation: of EXIF, 1 to 8; 1 is upright.
    """

    format: str
    decoded_whole: bool = False
    orientation: int = 1


def read_header(path: Path) -> Header:
    """Look at the first bytes of an image file, and along a PNG's chunks to see that none is missing.

    Raises:
        InputError: there is no such file, it is empty, it is neither PNG nor JPEG nor TIFF, or a PNG is cut short.
    """
    if path.is_dir():
        raise InputError(f"{path} is a folder; name an image")
    try:
        with path.open("rb") as file:
            start = file.read(8)
            if not start:
                raise InputError(f"{path}: the file is empty")
            if start == b"\x89PNG\r\n\x1a\n":
                return _png(path, file)
            if start[:3] == b"\xff\xd8\xff":
                file.seek(2)
                return _jpeg(file)
    except FileNotFoundError as error:
        raise InputError(f"{path}: there is no such file") from error
    except OSError as error:
        raise InputError(f"{path}: can't be read ({error.strerror})") from error
    except struct.error as error:
        raise InputError(f"{path}: the file is damaged or cut short") from error
    if start[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return Header("TIFF")
    raise InputError(f"{path}: not a PNG, TIFF or JPEG image")


def _png(path: Path, file: object) -> Header:
    size = os.fstat(file.fileno()).st_size  # type: ignore[attr-defined]
    read, seek, tell = file.read, file.seek, file.tell  # type: ignore[attr-defined]
    interlaced, orientation = False, 1
    while True:
        head = read(8)
        length, kind = struct.unpack(">I4s", head) if len(head) == 8 else (size, b"")
        if tell() + length + 4 > size:
            raise InputError(f"{path}: the file is damaged or cut short")
        if kind == b"IEND":
            return Header("PNG", interlaced, orientation)
        if kind == b"IHDR":
            interlaced = read(length)[12] != 0
        elif kind == b"eXIf":
            orientation = _orientation(read(length))
        else:
            seek(length, os.SEEK_CUR)
        seek(4, os.SEEK_CUR)


def _jpeg(file: object) -> Header:
    read, seek = file.read, file.seek  # type: ignore[attr-defined]
    orientation = 1
    while True:
        mark, kind, length = struct.unpack(">BBH", read(4))
        if mark != 0xFF:
            raise struct.error("not a marker")
        if kind == 0xE1:
            content = read(length - 2)
            if content[:6] == b"Exif\0\0":
                orientation = _orientation(content[6:])
        elif 0xC0 <= kind <= 0xCF and kind not in (0xC4, 0xC8, 0xCC):
            return Header("JPEG", kind in (0xC2, 0xC6, 0xCA, 0xCE), orientation)
        else:
            seek(length - 2, os.SEEK_CUR)


def _orientation(exif: bytes) -> int:
    """The orientation (tag 0x0112) in an EXIF block, 1 if it tells none."""
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    if order is None or len(exif) < 8:
        return 1
    try:
        (at,) = struct.unpack_from(order + "I", exif, 4)
        (count,) = struct.unpack_from(order + "H", exif, at)
        for entry in range(count):
            tag, _, _, value = struct.unpack_from(order + "HHIH", exif, at + 2 + 12 * entry)
            if tag == 0x0112:
                return int(value) if 1 <= value <= 8 else 1
    except struct.error:
        pass
    return 1
