"""The area of interest: a box or the polygons of a vector file."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.features import geometry_mask
from rasterio.warp import transform as transform_coordinates

from narrows.errors import InputError

__all__ = ["AreaOfInterest", "apply_affine", "read_area"]

_DENSIFY_PARTS = 32


@dataclass(frozen=True)
class AreaOfInterest:
    """An area on a scene's grid: the window that holds it, and its outline.

    `rows` and `columns` are (start, stop) on the scene. `outline` is a shapely geometry in the scene's CRS,
    or None where the whole window belongs to the area.
    """

    rows: tuple[int, int]
    columns: tuple[int, int]
    outline: Any | None

    def outside(self, start: int, stop: int, transform: Affine) -> NDArray[np.bool_] | None:
        """Where window rows [start, stop) lie outside the outline (pixel centres decide); None if nowhere.

        `transform` is that of the window.
        """
        if self.outline is None:
            return None
        shape = (stop - start, self.columns[1] - self.columns[0])
        place = transform @ Affine.translation(0, start)
        return geometry_mask([self.outline], out_shape=shape, transform=place)


def read_area(text: str, crs: CRS | None, transform: Affine, height: int, width: int) -> AreaOfInterest:
    """The area that `text` names on a scene.

    `text` is a vector file that pyogrio can read (its polygons, reprojected to the scene's CRS), or a box
    ``west,south,east,north``. A box is in the scene's own coordinates; ``lonlat:west,south,east,north`` is in
    degrees.

    Raises:
        InputError: the text is neither, the file has no polygons, or the area doesn't touch the scene.
    """
    box = _box(text, crs)
    outline, rectangular = (box, _is_square(transform)) if box is not None else (_polygons(text, crs), False)
    corners = shapely.transform(outline, lambda points: apply_affine(~transform, points))
    left, top, right, bottom = corners.bounds
    # A whisker of tolerance, so that a box drawn along pixel edges takes no row beyond them.
    rows = (max(0, math.floor(top + 1e-6)), min(height, math.ceil(bottom - 1e-6)))
    columns = (max(0, math.floor(left + 1e-6)), min(width, math.ceil(right - 1e-6)))
    if rows[0] >= rows[1] or columns[0] >= columns[1]:
        raise InputError(f"--aoi {text}: the area doesn't touch the scene")
    return AreaOfInterest(rows, columns, None if rectangular and not text.startswith("lonlat:") else outline)


def _box(text: str, crs: CRS | None) -> Any | None:
    numbers = text.removeprefix("lonlat:").split(",")
    try:
        west, south, east, north = (float(number) for number in numbers)
    except ValueError:
        if text.startswith("lonlat:"):
            raise InputError(f"--aoi {text}: write lonlat:west,south,east,north") from None
        return None
    if not (west < east and south < north):
        raise InputError(f"--aoi {text}: a box is west,south,east,north, with west < east and south < north")
    box = shapely.box(west, south, east, north)
    if not text.startswith("lonlat:"):
        return box
    if crs is None:
        raise InputError(f"--aoi {text}: the scene has no CRS; give the box in the scene's own coordinates")
    return _reproject(box, CRS.from_string("OGC:CRS84"), crs)


def _polygons(text: str, crs: CRS | None) -> Any:
    import pyogrio  # here: it brings pandas along, 70 MB that a box doesn't need

    path = Path(text)
    if not path.exists():
        raise InputError(f"--aoi {text}: no such file, and no box west,south,east,north either")
    try:
        info, _, geometry, _ = pyogrio.raw.read(path, columns=[])
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError) as error:
        raise InputError(f"--aoi {text}: can't be read as a vector file: {error}") from error
    outlines = [outline for outline in shapely.from_wkb(geometry) if outline is not None]
    outlines = [shapely.make_valid(outline) for outline in outlines if outline.geom_type in ("Polygon", "MultiPolygon")]
    if not outlines:
        raise InputError(f"--aoi {text}: the file has no polygon")
    outline = shapely.union_all(outlines)
    own = CRS.from_user_input(info["crs"]) if info["crs"] else None
    if own is None or crs is None or own == crs:
        return outline
    return _reproject(outline, own, crs)


def _reproject(outline: Any, source: CRS, target: CRS) -> Any:
    # Straight sides bend between CRSs: follow them with more points.
    west, south, east, north = outline.bounds
    dense = shapely.segmentize(outline, max(east - west, north - south) / _DENSIFY_PARTS)

    def move(points: NDArray[np.float64]) -> NDArray[np.float64]:
        xs, ys = transform_coordinates(source, target, points[:, 0], points[:, 1])
        return np.stack([xs, ys], axis=1)

    moved = shapely.transform(dense, move)
    if not np.isfinite(shapely.get_coordinates(moved)).all():
        raise InputError("--aoi: the area can't be brought into the scene's CRS")
    return moved


def apply_affine(transform: Affine, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """`points` (n, 2) moved by `transform`."""
    linear = np.array([[transform.a, transform.b], [transform.d, transform.e]])
    moved: NDArray[np.float64] = points @ linear.T + (transform.c, transform.f)
    return moved


def _is_square(transform: Affine) -> bool:
    return transform.b == 0 and transform.d == 0
