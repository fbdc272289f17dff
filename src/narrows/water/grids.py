"""Whether two rasters lie over each other pixel by pixel."""

from __future__ import annotations

from dataclasses import dataclass

from affine import Affine
from rasterio.crs import CRS

from narrows.errors import InputError

__all__ = ["Grid", "check_grid"]

# Of a pixel: corners that lie closer are the same.
_SAME_PLACE = 0.01


@dataclass(frozen=True)
class Grid:
    """Size and place of a raster; `crs` and `transform` are None where the file has no georeference."""

    height: int
    width: int
    crs: CRS | None
    transform: Affine | None


def check_grid(mine: Grid, other: Grid, what: str, of: str) -> None:
    """Refuse a raster that doesn't lie on another pixel by pixel. One without a georeference is taken by its size.

    Raises:
        InputError: size, CRS or transform differ.
    """
    if (mine.height, mine.width) != (other.height, other.width):
        raise InputError(
            f"{what}: has {mine.height} x {mine.width} pixels, where {of} has {other.height} x {other.width}"
        )
    if mine.transform is None:
        return
    if other.transform is None:
        raise InputError(f"{what}: has a georeference, where {of} has none; they can't be laid over each other")
    if mine.crs is not None and other.crs is not None and mine.crs != other.crs:
        raise InputError(f"{what}: is in {mine.crs.to_string()}, where {of} is in {other.crs.to_string()}")
    for corner in ((0, 0), (other.width, other.height), (0, other.height)):
        column, row = ~other.transform @ (mine.transform @ corner)
        if max(abs(column - corner[0]), abs(row - corner[1])) > _SAME_PLACE:
            raise InputError(
                f"{what}: its corner at column {corner[0]}, row {corner[1]} lies at column {column:.2f}, row {row:.2f} "
                f"of {of}; bring both to one grid"
            )
