"""Reflectance of snow and of clouds from the size of their grains and drops.

Two streams with similarity: Bohren (1987), American Journal of Physics 55(6), 524; the co-albedo of a drop or grain of
radius r is 0.85 times its absorption along r where that is small (Twomey and Bohren 1980), and 0.5 where it is large.
The snow of Wiscombe and Warren (1980) is the same physics with Mie's single scattering.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from narrows.water.simulation.absorption import WAVELENGTHS, ice_absorption, water_absorption

__all__ = ["cloud_layer", "snow_reflectance"]

Array = NDArray[np.float64]


def _co_albedo(absorption: Array, radius: float) -> Array:
    return 0.5 * (1 - np.exp(-1.7 * absorption * radius))


def snow_reflectance(radius: float, soot: float = 0.0) -> Array:
    """Reflectance of deep snow at `WAVELENGTHS`.

    Args:
        radius: of the grains, in metres: 5e-5 new, 1e-3 old and wet, several mm for bare ice.
        soot: absorption by dirt relative to that of the ice's own at 1030 nm (1e-5 clean, 1e-2 dirty).
    """
    dirt = soot * np.interp(1030, WAVELENGTHS, ice_absorption()) * (600 / WAVELENGTHS)
    loss = _co_albedo(ice_absorption() + dirt, radius)
    similar = np.sqrt(loss / (1 - (1 - loss) * 0.86))
    return (1 - similar) / (1 + similar)


def cloud_layer(depth: Array, radius: float, *, ice: bool = False) -> tuple[Array, Array]:
    """Reflectance and transmittance, each (len(depth), len(WAVELENGTHS)), of cloud of optical depth `depth`.

    Args:
        radius: of the drops or crystals, in metres: 5e-6 to 2e-5 drops, 2e-5 to 6e-5 crystals.
    """
    asymmetry = 0.78 if ice else 0.85
    loss = np.maximum(_co_albedo(ice_absorption() if ice else water_absorption(), radius), 1e-7)
    scatter = 1 - loss
    similar = np.sqrt(loss / (1 - scatter * asymmetry))
    deep = (1 - similar) / (1 + similar)
    rate = np.sqrt(3 * loss * (1 - scatter * asymmetry))
    gone = np.exp(-rate * np.asarray(depth, float)[:, None])
    below = 1 - deep**2 * gone**2
    return deep * (1 - gone**2) / below, (1 - deep**2) * gone / below
