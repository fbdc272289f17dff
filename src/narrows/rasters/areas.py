"""The true area of a pixel, row by row."""

from __future__ import annotations

import math
import re

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.warp import transform as transform_coordinates

__all__ = ["cell_area", "pixel_areas"]

_WGS84 = (6378137.0, 298.257223563)
_TOLERATED = 0.01


def cell_area(
    south: NDArray[np.float64],
    north: NDArray[np.float64],
    width: NDArray[np.float64],
    axis: float,
    inverse_flattening: float,
) -> NDArray[np.float64]:
    """Square metres on an ellipsoid between latitudes `south` and `north`, `width` wide in longitude (all radians).

    Formula: b²/2 [sin φ / (1 - e² sin² φ) + artanh(e sin φ) / e] between the latitudes, times the width (Snyder,
    Map Projections: A Working Manual, 1987, equation 3-12).
    """
    flattening = 1 / inverse_flattening if inverse_flattening else 0.0
    square = flattening * (2 - flattening)

    def zone(latitude: NDArray[np.float64]) -> NDArray[np.float64]:
        sine = np.sin(latitude)
        if not square:
            return 2 * sine
        eccentricity = math.sqrt(square)
        return (1 - square) * (sine / (1 - square * sine**2) + np.arctanh(eccentricity * sine) / eccentricity)

    return np.abs(axis**2 / 2 * (zone(north) - zone(south)) * width)


def _ellipsoid(crs: CRS) -> tuple[float, float]:
    match = re.search(r'SPHEROID\["[^"]*",\s*([\d.eE+]+),\s*([\d.eE+]+)', crs.to_wkt())
    return (float(match[1]), float(match[2])) if match else _WGS84


def pixel_areas(
    crs: CRS | None, transform: Affine | None, width: int, start: int, stop: int, pixel_size: float | None
) -> NDArray[np.float64] | None:
    """Square metres of a pixel in each of the rows [start, stop), float64; None where nothing tells its size.

    On a geographic grid the area is that on the ellipsoid at the row's latitude (of its middle column, if the grid is
    rotated). On a projected one it is the grid's own constant, unless the projection distorts areas by more than 1 %
    (Mercator far from the equator), where it is again the one on the ellipsoid. Without a CRS: `pixel_size` squared.
    """
    count = stop - start
    if crs is None or transform is None:
        return np.full(count, pixel_size**2) if pixel_size else None
    rows = np.arange(start, stop, dtype=np.float64) + 0.5
    if crs.is_geographic:
        to_radians = crs.units_factor[1]
        latitude = transform.d * width / 2 + transform.e * rows + transform.f
        # A parallelogram's area is |determinant|: its height in latitude is |e| for a grid that isn't rotated.
        tall = math.hypot(transform.d, transform.e)
        wide = abs(transform.determinant) / tall
        half = tall * to_radians / 2
        middle = latitude * to_radians
        return cell_area(middle - half, middle + half, np.full(count, wide * to_radians), *_ellipsoid(crs))
    nominal = abs(transform.determinant) * crs.linear_units_factor[1] ** 2
    true = _true_areas(crs, transform, width, rows)
    if true is None or np.all(np.abs(true / nominal - 1) <= _TOLERATED):
        return np.full(count, nominal)
    return true


def _true_areas(crs: CRS, transform: Affine, width: int, rows: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Areas on the ellipsoid of the middle column's pixels, by the Jacobian of the projection."""
    column = np.full_like(rows, width / 2)
    corners = [(column - 0.5, rows), (column + 0.5, rows), (column, rows - 0.5), (column, rows + 0.5)]
    xs = [transform.a * x + transform.b * y + transform.c for x, y in corners]
    ys = [transform.d * x + transform.e * y + transform.f for x, y in corners]
    longitude, latitude = transform_coordinates(crs, crs_geographic(crs), np.concatenate(xs), np.concatenate(ys))
    angles = np.radians(np.asarray([longitude, latitude])).reshape(2, 4, -1)
    if not np.isfinite(angles).all():
        return None
    across, down = angles[:, 1] - angles[:, 0], angles[:, 3] - angles[:, 2]
    across[0], down[0] = _wrap(across[0]), _wrap(down[0])
    axis, inverse_flattening = _ellipsoid(crs)
    flattening = 1 / inverse_flattening if inverse_flattening else 0.0
    square = flattening * (2 - flattening)
    middle = angles[1].mean(axis=0)
    bend = 1 - square * np.sin(middle) ** 2
    # Radii of curvature along the meridian and of the parallel.
    metres = axis**2 * (1 - square) / bend**2 * np.cos(middle)
    return np.abs(across[0] * down[1] - across[1] * down[0]) * metres


def crs_geographic(crs: CRS) -> CRS:
    """Longitude and latitude in degrees."""
    return CRS.from_string("OGC:CRS84")


def _wrap(angle: NDArray[np.float64]) -> NDArray[np.float64]:
    return (angle + np.pi) % (2 * np.pi) - np.pi
