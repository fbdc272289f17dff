"""What the first bytes of a PNG, JPEG or TIFF say that GDAL keeps to itself: how it is coded and how it is turned."""

from __future__ import annotations

import io
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from narrows.errors import InputError

__all__ = ["Header", "read_header"]


@dataclass(frozen=True)
class Header:
    """Facts of an image file.

    Attributes:
        format: "PNG", "JPEG" or "TIFF".
        decoded_whole: it is an interlaced PNG or a progressive JPEG, which decoders hold whole.
        orientation: of EXIF or a TIFF's tag, 1 to 8; 1 is upright.
    """

    format: str
    decoded_whole: bool = False
    orientation: int = 1


def read_header(path: Path) -> Header:
    """Look at the first bytes of an image file, and along a PNG's chunks to see that none is missing.

    Raises:
        InputError: there is no such file, it is empty, it is neither PNG nor JPEG nor TIFF, it has a size of zero, or
            a PNG is cut short.
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
                return _jpeg(path, file)
            if start[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
                return Header("TIFF", orientation=_orientation(file))
    except FileNotFoundError as error:
        raise InputError(f"{path}: there is no such file") from error
    except OSError as error:
        raise InputError(f"{path}: can't be read ({error.strerror})") from error
    except struct.error as error:
        raise InputError(f"{path}: the file is damaged or cut short") from error
    raise InputError(f"{path}: not a PNG, TIFF or JPEG image")


def _png(path: Path, file: BinaryIO) -> Header:
    size = os.fstat(file.fileno()).st_size
    interlaced, orientation = False, 1
    while True:
        head = file.read(8)
        length, kind = struct.unpack(">I4s", head) if len(head) == 8 else (size, b"")
        if file.tell() + length + 4 > size:
            raise InputError(f"{path}: the file is damaged or cut short")
        if kind == b"IEND":
            return Header("PNG", interlaced, orientation)
        if kind == b"IHDR":
            width, height, _, _, _, _, interlacing = struct.unpack(">II5B", file.read(length))
            _check_size(path, height, width)
            interlaced = interlacing != 0
        elif kind == b"eXIf":
            orientation = _orientation(io.BytesIO(file.read(length)))
        else:
            file.seek(length, os.SEEK_CUR)
        file.seek(4, os.SEEK_CUR)


def _jpeg(path: Path, file: BinaryIO) -> Header:
    file.seek(2)
    orientation = 1
    while True:
        mark, kind, length = struct.unpack(">BBH", file.read(4))
        if mark != 0xFF:
            raise struct.error("not a marker")
        if kind == 0xE1:
            content = file.read(length - 2)
            if content[:6] == b"Exif\0\0":
                orientation = _orientation(io.BytesIO(content[6:]))
        elif 0xC0 <= kind <= 0xCF and kind not in (0xC4, 0xC8, 0xCC):
            _, height, width = struct.unpack(">BHH", file.read(5))
            _check_size(path, height, width)
            return Header("JPEG", kind in (0xC2, 0xC6, 0xCA, 0xCE), orientation)
        else:
            file.seek(length - 2, os.SEEK_CUR)


def _check_size(path: Path, height: int, width: int) -> None:
    if not height or not width:
        raise InputError(f"{path}: the image is empty ({height} x {width} pixels)")


def _orientation(tiff: BinaryIO) -> int:
    """The orientation (tag 0x0112) in the first directory of a TIFF, which an EXIF block is too; 1 if it tells none."""
    tiff.seek(0)
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff.read(4))
    if order is None:
        return 1
    try:
        (at,) = struct.unpack(order + "I", tiff.read(4))
        tiff.seek(at)
        (count,) = struct.unpack(order + "H", tiff.read(2))
        for _ in range(count):
            tag, _, _, value, _ = struct.unpack(order + "HHIHH", tiff.read(12))
            if tag == 0x0112:
                return int(value) if 1 <= value <= 8 else 1
    except struct.error:
        pass
    return 1
