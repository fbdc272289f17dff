"""Real little files, written with rasterio."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS

UTM = CRS.from_epsg(32630)
PLACE = Affine(30, 0, 390015, 0, -30, 5000025)

Write = Callable[..., Path]


@pytest.fixture
def write() -> Write:
    """`write(path, bands, **profile)`: a GeoTIFF of (bands, rows, columns), on a UTM grid unless told otherwise."""

    def write_raster(path: Path, bands: NDArray[Any], names: list[str] | None = None, **profile: Any) -> Path:
        bands = bands[None] if bands.ndim == 2 else bands
        scales, offsets = profile.pop("scales", None), profile.pop("offsets", None)
        profile = {"driver": "GTiff", "crs": UTM, "transform": PLACE, **profile}
        if profile["crs"] is None:
            profile.pop("crs")
        path.parent.mkdir(parents=True, exist_ok=True)
        with rasterio.open(
            path, "w", count=bands.shape[0], height=bands.shape[1], width=bands.shape[2], dtype=bands.dtype, **profile
        ) as dataset:
            dataset.write(bands)
            for number, name in enumerate(names or (), start=1):
                dataset.set_band_description(number, name)
            if scales:
                dataset.scales = scales
            if offsets:
                dataset.offsets = offsets
        return path

    return write_raster


@pytest.fixture
def numbers() -> NDArray[np.uint16]:
    """Six bands of plausible Landsat level-2 numbers, 61 x 47."""
    return np.random.default_rng(7).integers(7300, 25000, (6, 61, 47)).astype(np.uint16)
