"""Simulated scenes written as Landsat Collection 2 delivers them."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.errors import CRSError, RasterioError
from rasterio.windows import Window

from narrows.errors import InputError, OutputError
from narrows.rasters.staging import check_output_path, discard, put_in_place, temporary_path
from narrows.water.simulation.scene import simulate_blocks

__all__ = ["UTM_33N", "footprint", "write_scene"]

SCALE, OFFSET, FILL = 2.75e-5, -0.2, 0
BANDS = ("blue", "green", "red", "nir", "swir1", "swir2")
UTM_33N = Affine(30.0, 0.0, 399_960.0, 0.0, -30.0, 4_900_020.0)
_TILE = 256


def footprint(height: int, width: int, start: int, stop: int) -> NDArray[np.bool_]:
    """Where a scene whose track is tilted to the grid was observed: bool (stop - start, width) of its rows."""
    down = (np.arange(start, stop) + 0.5) / height
    # A parallelogram with corners at (0, 0.2), (0.17, 1), (1, 0.8), (0.83, 0), in shares of height and width.
    left = np.maximum(0.2 - 0.2 * down / 0.83, 0.8 * (down - 0.83) / 0.17)
    right = np.minimum(0.2 + 0.8 * down / 0.17, 1 - 0.2 * (down - 0.17) / 0.83)
    across = (np.arange(width) + 0.5) / width
    return (across >= left[:, None]) & (across <= right[:, None])


def write_scene(
    path: str | Path,
    height: int,
    width: int,
    seed: int,
    *,
    crs: str = "EPSG:32633",
    transform: Affine = UTM_33N,
    truth: str | Path | None = None,
    borders: bool = True,
    overwrite: bool = False,
) -> None:
    """Simulate a scene into a tiled, deflated GeoTIFF of six uint16 bands, by blocks of rows.

    Reflectance is DN x 2.75e-5 - 0.2 (scale and offset are in the file), no-data is 0, band descriptions are the names
    blue, green, red, nir, swir1, swir2.

    Args:
        crs, transform: where the scene lies; by default 30 m pixels in UTM zone 33 north.
        truth: also write the water mask here, uint8, 0 land, 1 water, 255 no data.
        borders: leave the corners outside the slanted footprint without data, as in a Landsat scene.

    Raises:
        InputError: for a size below 1, a negative seed or an unknown CRS.
        OutputError: where an output exists (and not `overwrite`) or can't be written; nothing is left then.
    """
    if height < 1 or width < 1 or seed < 0:
        raise InputError(f"a simulated scene of {height} x {width} from seed {seed} can't be made")
    try:
        grid_crs = CRS.from_user_input(crs)
    except CRSError as error:
        raise InputError(f"crs {crs!r} is not known: {error}") from error
    places = [Path(path)] + ([Path(truth)] if truth else [])
    for place in places:
        check_output_path(place, overwrite=overwrite)
    staged = [temporary_path(place, "simulated") for place in places]
    try:
        _write(staged, height, width, seed, grid_crs, transform, borders)
    except (OSError, RasterioError) as error:
        discard(*staged)
        raise OutputError(f"{path}: the simulated scene can't be written ({error})") from error
    except BaseException:
        discard(*staged)
        raise
    for part, place in zip(staged, places, strict=True):
        put_in_place(part, place)


def _write(files: list[Path], height: int, width: int, seed: int, crs: CRS, transform: Affine, borders: bool) -> None:
    grid = {
        "driver": "GTiff",
        "height": height,
        "width": width,
        "crs": crs,
        "transform": transform,
        "compress": "deflate",
        "tiled": True,
        "blockxsize": _TILE,
        "blockysize": _TILE,
        "BIGTIFF": "IF_SAFER",
    }
    with ExitStack() as opened:
        scene = opened.enter_context(
            rasterio.open(
                files[0], "w", count=6, dtype="uint16", nodata=FILL, predictor=2, zlevel=4, interleave="band", **grid
            )
        )
        scene.descriptions = BANDS
        scene.scales, scene.offsets = (SCALE,) * 6, (OFFSET,) * 6
        scene.update_tags(SIMULATED=f"narrows, seed {seed}")
        masks = [
            opened.enter_context(rasterio.open(file, "w", count=1, dtype="uint8", nodata=255, **grid))
            for file in files[1:]
        ]
        top = 0
        for reflectance, water in simulate_blocks(height, width, seed, rows=_TILE):
            rows = reflectance.shape[1]
            seen = footprint(height, width, top, top + rows) if borders else np.ones((rows, width), bool)
            reflectance -= np.float32(OFFSET)
            reflectance /= np.float32(SCALE)
            numbers = np.rint(reflectance, out=reflectance).clip(1, 65_535).astype(np.uint16)
            numbers[:, ~seen] = FILL
            window = Window(0, top, width, rows)
            scene.write(numbers, window=window)
            for mask in masks:
                mask.write(np.where(seen, water, np.uint8(255)), 1, window=window)
            top += rows
