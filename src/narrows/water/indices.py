"""Water indices, as yardsticks for a learnt map. Reflectance 0 to 1; bands on the axis -3."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["INDICES", "Index", "awei_nsh", "awei_sh", "dswe", "mndwi", "ndwi", "wi2015"]

Array = NDArray[np.float32]


def _ratio(a: Array, b: Array) -> Array:
    total = a + b
    return np.asarray((a - b) / np.where(np.abs(total) < 1e-6, 1e-6, total), np.float32)


def ndwi(reflectance: Array) -> Array:
    """(green - nir) / (green + nir), McFeeters 1996: float32, water above 0."""
    return _ratio(reflectance[..., 1, :, :], reflectance[..., 3, :, :])


def mndwi(reflectance: Array) -> Array:
    """(green - swir1) / (green + swir1), Xu 2006: float32, water above 0."""
    return _ratio(reflectance[..., 1, :, :], reflectance[..., 4, :, :])


def awei_nsh(reflectance: Array) -> Array:
    """4 (green - swir1) - (0.25 nir + 2.75 swir2), Feyisa et al. 2014, for scenes without shadow: water above 0."""
    _, green, _, nir, swir1, swir2 = np.moveaxis(reflectance, -3, 0)
    return np.asarray(4 * (green - swir1) - (0.25 * nir + 2.75 * swir2), np.float32)


def awei_sh(reflectance: Array) -> Array:
    """blue + 2.5 green - 1.5 (nir + swir1) - 0.25 swir2, Feyisa et al. 2014, for scenes with shadow: water above 0."""
    blue, green, _, nir, swir1, swir2 = np.moveaxis(reflectance, -3, 0)
    return np.asarray(blue + 2.5 * green - 1.5 * (nir + swir1) - 0.25 * swir2, np.float32)


def wi2015(reflectance: Array) -> Array:
    """1.7204 + 171 green + 3 red - 70 nir - 45 swir1 - 71 swir2, Fisher et al. 2016: water above 0 here."""
    _, green, red, nir, swir1, swir2 = np.moveaxis(reflectance, -3, 0)
    return np.asarray(1.7204 + 171 * green + 3 * red - 70 * nir - 45 * swir1 - 71 * swir2, np.float32)


def dswe(reflectance: Array) -> NDArray[np.bool_]:
    """Water where two or more of the five tests of the Dynamic Surface Water Extent hold (Jones 2019)."""
    blue, green, red, nir, swir1, swir2 = np.moveaxis(reflectance, -3, 0)
    wet, green_cover = mndwi(reflectance), _ratio(nir, red)
    tests = [
        wet > 0.124,
        green + red > nir + swir1,
        awei_sh(reflectance) > 0,
        (wet > -0.44) & (nir < 0.15) & (swir1 < 0.09) & (green_cover < 0.7),
        (wet > -0.5) & (blue < 0.10) & (nir < 0.25) & (swir1 < 0.30) & (swir2 < 0.10),
    ]
    return np.asarray(sum(t.astype(np.uint8) for t in tests) >= 2)


@dataclass(frozen=True)
class Index:
    """A water index and the threshold above which a pixel is water; whether it needs shortwave infrared."""

    name: str
    value: Callable[[Array], Array]
    threshold: float
    needs_swir: bool = True

    @property
    def rule(self) -> str:
        return f"{self.name} > {self.threshold:g}"


INDICES = (
    Index("NDWI", ndwi, 0.0, needs_swir=False),
    Index("MNDWI", mndwi, 0.0),
    Index("AWEInsh", awei_nsh, 0.0),
    Index("AWEIsh", awei_sh, 0.0),
    Index("WI2015", wi2015, 0.0),
)
"""At the usual threshold 0 each."""
