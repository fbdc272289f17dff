"""Water indices, as yardsticks for a learnt map. Reflectance 0 to 1; bands on the axis -3."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["dswe", "mndwi"]

Array = NDArray[np.float32]


def _ratio(a: Array, b: Array) -> Array:
    total = a + b
    return np.asarray((a - b) / np.where(np.abs(total) < 1e-6, 1e-6, total), np.float32)


def mndwi(reflectance: Array) -> Array:
    """(green - swir1) / (green + swir1), Xu 2006: float32, water above 0."""
    return _ratio(reflectance[..., 1, :, :], reflectance[..., 4, :, :])


def dswe(reflectance: Array) -> NDArray[np.bool_]:
    """Water where two or more of the five tests of the Dynamic Surface Water Extent hold (Jones 2019)."""
    blue, green, red, nir, swir1, swir2 = np.moveaxis(reflectance, -3, 0)
    wet, green_cover = mndwi(reflectance), _ratio(nir, red)
    awei = blue + 2.5 * green - 1.5 * (nir + swir1) - 0.25 * swir2
    tests = [
        wet > 0.124,
        green + red > nir + swir1,
        awei > 0,
        (wet > -0.44) & (nir < 0.15) & (swir1 < 0.09) & (green_cover < 0.7),
        (wet > -0.5) & (blue < 0.10) & (nir < 0.25) & (swir1 < 0.30) & (swir2 < 0.10),
    ]
    return np.asarray(sum(t.astype(np.uint8) for t in tests) >= 2)
