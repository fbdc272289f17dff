"""Typical surface reflectance of covers, blue, green, red, nir, swir1, swir2.

Round figures within the ranges that spectral libraries and published scenes show; this project's choice.
"""

from __future__ import annotations

import numpy as np

__all__ = ["ASH", "BURNT", "LAND_BY_DRYNESS", "SNOW", "URBAN", "WATER_BY_TURBIDITY", "WET_SOIL"]

LAND_BY_DRYNESS = np.array(
    [
        [0.020, 0.040, 0.025, 0.260, 0.110, 0.045],  # dense forest
        [0.035, 0.065, 0.045, 0.340, 0.170, 0.080],  # woodland, green crop
        [0.050, 0.085, 0.080, 0.300, 0.230, 0.130],  # grass
        [0.075, 0.110, 0.140, 0.240, 0.300, 0.210],  # dry grass, stubble
        [0.100, 0.140, 0.190, 0.270, 0.360, 0.300],  # bare soil
        [0.190, 0.260, 0.330, 0.400, 0.480, 0.430],  # bright sand
    ],
    np.float32,
)
WATER_BY_TURBIDITY = np.array(
    [
        [0.012, 0.016, 0.016, 0.009, 0.005, 0.004],  # dark, stained
        [0.032, 0.028, 0.014, 0.007, 0.004, 0.003],  # clear, deep
        [0.045, 0.060, 0.036, 0.018, 0.007, 0.005],  # green
        [0.070, 0.110, 0.110, 0.050, 0.012, 0.008],  # turbid
        [0.085, 0.140, 0.180, 0.120, 0.022, 0.014],  # laden with silt
        [0.105, 0.165, 0.240, 0.180, 0.034, 0.020],  # red mud
        [0.200, 0.260, 0.300, 0.260, 0.050, 0.034],  # milky ponds of mines
    ],
    np.float32,
)
WET_SOIL = np.array([0.060, 0.080, 0.095, 0.140, 0.140, 0.090], np.float32)
URBAN = np.array([0.110, 0.130, 0.150, 0.200, 0.220, 0.190], np.float32)
BURNT = np.array([0.040, 0.045, 0.052, 0.085, 0.130, 0.120], np.float32)
ASH = np.array([0.032, 0.035, 0.040, 0.050, 0.058, 0.056], np.float32)
SNOW = np.array([0.820, 0.840, 0.820, 0.740, 0.110, 0.080], np.float32)
