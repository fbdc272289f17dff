"""Water polygons from a mask on disk, read by rows: one feature per water body, joined across the strips that
cut it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.features import shapes
from rasterio.warp import transform as transform_coordinates
from rasterio.windows import Window

from narrows.errors import OutputError
from narrows.water.aoi import apply_affine
from narrows.water.bodies import BodyTracker

__all__ = ["POLYGON_DRIVERS", "polygon_driver", "water_polygons", "write_polygons"]

POLYGON_DRIVERS = {
    ".gpkg": "GPKG",
    ".geojson": "GeoJSON",
    ".json": "GeoJSON",
    ".shp": "ESRI Shapefile",
}
_BATCH = 5000
_SLAB_ROWS = 512


def polygon_driver(path: Path) -> str:
    """The vector format that `path`'s ending names.

    Raises:
        OutputError: the ending is none of .gpkg, .geojson, .json and .shp.
    """
    try:
        return POLYGON_DRIVERS[path.suffix.lower()]
    except KeyError:
        raise OutputError(f"{path.name}: polygons are written as .gpkg, .geojson or .shp") from None


@dataclass
class _Open:
    area: float
    parts: list[Any]


def water_polygons(
    strips: Iterator[tuple[NDArray[np.bool_], NDArray[np.float64]]], width: int
) -> Iterator[tuple[Any, float]]:
    """Outlines and areas of the 8-connected bodies of a mask given as (water (n, width), pixel area of each
    row (n,)).

    Outlines are shapely polygons, or multipolygons where a body hangs together by corners only, in pixels: x
    from the left edge, y down from the top. They are integers, so joining them across strips is exact. A body
    leaves when it ends; only bodies that reach the current strip are held.
    """
    tracker = BodyTracker(width)
    held: dict[int, _Open] = {}
    top = 0
    for water, row_areas in strips:
        block = tracker.push(water, row_areas)
        for kept, absorbed in block.merged:
            gone = held.pop(absorbed)
            held[kept].area += gone.area
            held[kept].parts += gone.parts
        for label, number in enumerate(block.bodies.tolist()):
            if label:
                held.setdefault(number, _Open(0.0, [])).area += float(block.areas[label])
        place = Affine.translation(0, top)
        for outline, label in shapes(block.labels, mask=water, connectivity=4, transform=place):
            rings = outline["coordinates"]
            held[int(block.bodies[int(label)])].parts.append(shapely.Polygon(rings[0], rings[1:]))
        for number in [number for number in held if number not in block.opened]:
            yield _finish(held.pop(number))
        top += len(water)
    for body in held.values():
        yield _finish(body)


def _finish(body: _Open) -> tuple[Any, float]:
    if len(body.parts) == 1:
        return body.parts[0], body.area
    # The union leaves a vertex where a strip's edge crossed a straight side.
    return shapely.simplify(shapely.union_all(body.parts), 0), body.area


def write_polygons(mask_path: Path, path: Path, pixel_areas: NDArray[np.float64], driver: str | None = None) -> int:
    """Write the water bodies of the mask at `mask_path` (1 is water) to `path`; returns how many there are.

    Fields: `class` ("water") and `area_m2`, the sum of the body's pixels by `pixel_areas` (height,), in
    square metres. GeoJSON is written in longitude and latitude, as its standard asks (RFC 7946); the others
    keep the mask's CRS.
    """
    driver = driver or polygon_driver(path)
    with rasterio.open(mask_path) as mask:
        crs, transform = mask.crs, mask.transform

        def strips() -> Iterator[tuple[NDArray[np.bool_], NDArray[np.float64]]]:
            for start in range(0, mask.height, _SLAB_ROWS):
                stop = min(start + _SLAB_ROWS, mask.height)
                rows = mask.read(1, window=Window(0, start, mask.width, stop - start))
                yield rows == 1, pixel_areas[start:stop]

        to_lonlat = driver == "GeoJSON" and crs is not None

        def place(points: NDArray[np.float64]) -> NDArray[np.float64]:
            placed = apply_affine(transform, points)
            if not to_lonlat:
                return placed
            return np.stack(transform_coordinates(crs, "OGC:CRS84", placed[:, 0], placed[:, 1]), axis=1)

        out_crs = "OGC:CRS84" if to_lonlat else (crs.to_wkt() if crs else None)
        count = 0
        batch: list[tuple[Any, float]] = []
        for outline, area in water_polygons(strips(), mask.width):
            batch.append((shapely.transform(outline, place), area))
            if len(batch) == _BATCH:
                _append(path, driver, batch, out_crs, append=count > 0)
                count += len(batch)
                batch = []
        if batch or not count:
            _append(path, driver, batch, out_crs, append=count > 0)
    return count + len(batch)


def _append(path: Path, driver: str, batch: list[tuple[Any, float]], crs: str | None, *, append: bool) -> None:
    options: dict[str, Any] = {"promote_to_multi": True} if driver != "ESRI Shapefile" else {}
    import pyogrio  # here: it brings pandas along, 70 MB that most maps don't need

    outlines = np.array([outline for outline, _ in batch], dtype=object)
    try:
        pyogrio.raw.write(
            path,
            geometry=shapely.to_wkb(outlines) if batch else np.array([], dtype=object),
            field_data=[
                np.array(["water"] * len(batch), dtype=object),
                np.round(np.array([area for _, area in batch], dtype=np.float64), 2),
            ],
            fields=["class", "area_m2"],
            driver=driver,
            geometry_type="Polygon" if driver == "ESRI Shapefile" else "MultiPolygon",
            crs=crs,
            append=append,
            layer=None if driver != "GPKG" else "water",
            **options,
        )
    except (pyogrio.errors.DataSourceError, pyogrio.errors.FieldError, OSError) as error:
        raise OutputError(f"{path.name}: polygons could not be written: {error}") from error
