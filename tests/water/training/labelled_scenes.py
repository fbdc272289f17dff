"""Small scenes with their masks, written to disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray

from narrows.water.evaluation.pairs import Pair

BANDS = ("blue", "green", "red", "nir", "swir1", "swir2")
WATER = np.array([0.06, 0.07, 0.05, 0.03, 0.01, 0.01])
LAND = np.array([0.05, 0.08, 0.07, 0.30, 0.22, 0.12])


def classes_of(height: int = 96, width: int = 128, *, ponds: int = 3, seed: int = 0) -> NDArray[np.uint8]:
    """Land with round ponds: 0 and 1."""
    draw = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    classes = np.zeros((height, width), np.uint8)
    for _ in range(ponds):
        middle, radius = (draw.uniform(0, height), draw.uniform(0, width)), draw.uniform(6, 16)
        classes[(y - middle[0]) ** 2 + (x - middle[1]) ** 2 < radius**2] = 1
    return classes


def write_pair(
    folder: Path,
    name: str,
    classes: NDArray[np.uint8],
    *,
    missing: NDArray[np.bool_] | None = None,
    seed: int = 0,
    corner: tuple[int, int] = (0, 0),
) -> Pair:
    """NAME.tif and NAME_mask.tif. Where the mask says 1 the scene looks like water, elsewhere like land; pixels of
    `missing` are the no-data value. `corner` is the row and column of its first pixel on the grid that all share."""
    noise = np.random.default_rng(seed).normal(0, 0.004, (6, *classes.shape))
    reflectance = np.where(classes == 1, WATER[:, None, None], LAND[:, None, None]) + noise
    numbers = np.round(reflectance * 10_000).clip(1, 20_000).astype(np.uint16)
    if missing is not None:
        numbers[:, missing] = 0
    grid = {
        "driver": "GTiff", "height": classes.shape[0], "width": classes.shape[1], "crs": "EPSG:32630",
        "transform": Affine(30, 0, 300_000 + 30 * corner[1], 0, -30, 6_000_000 - 30 * corner[0]),
    }  # fmt: skip
    scene, mask = folder / f"{name}.tif", folder / f"{name}_mask.tif"
    with rasterio.open(scene, "w", count=6, dtype="uint16", nodata=0, **grid) as out:
        out.write(numbers)
        out.descriptions = BANDS
        out.scales, out.offsets = (0.0001,) * 6, (0.0,) * 6
    with rasterio.open(mask, "w", count=1, dtype="uint8", **grid) as out:
        out.write(classes, 1)
    return Pair(str(scene), mask)


def write_pairs(folder: Path, count: int, **more: int) -> list[Pair]:
    """`count` scenes with ponds, called a, b, …"""
    return [write_pair(folder, chr(ord("a") + seed), classes_of(seed=seed, **more), seed=seed) for seed in range(count)]
