"""GeoTIFFs, written with rasterio."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS

__all__ = ["PLACE", "UTM", "write_raster"]

UTM = CRS.from_epsg(32630)
PLACE = Affine(30, 0, 390015, 0, -30, 5000025)


def write_raster(path: Path, bands: NDArray[Any], names: list[str] | None = None, **profile: Any) -> Path:
    """A GeoTIFF of (bands, rows, columns), on a UTM grid unless told otherwise."""
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
