"""The reflectance of water from what is in it, after Lee et al. (1998, 1999).

Absorption: pure water (see `absorption`), phytoplankton, dissolved organic matter and suspended matter. Backscattering:
pure water and suspended matter. The model: Z. Lee et al., Applied Optics 37(27), 6329 (1998) and 38(18), 3831 (1999).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from narrows.water.simulation.absorption import WAVELENGTHS, water_absorption

__all__ = ["Water", "draw_water", "water_reflectance"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Water:
    """What is in the water.

    Attributes:
        chlorophyll: mg/m3. suspended: dry matter, g/m3.
        dissolved: absorption of dissolved organic matter at 440 nm, 1/m.
        redness: slope of the suspended matter's absorption, 1/nm; steeper for iron-rich, red mud.
        paleness: what the suspended matter absorbs, relative to coastal mud; rock flour and lime absorb little.
    """

    chlorophyll: float
    dissolved: float
    suspended: float
    redness: float = 0.0123
    paleness: float = 1.0


def _phytoplankton(chlorophyll: float) -> Array:
    """Absorption, 1/m: 0.06 chlorophyll^0.65 at 440 nm (Lee et al. 1998), two Gaussian peaks for its pigments.

    The peaks (centre 440 and 675 nm, widths 48 and 13 nm, ratio 0.42) stand for the tabulated mean spectrum.
    """
    blue = np.exp(-0.5 * ((WAVELENGTHS - 440) / 48) ** 2)
    red = 0.42 * np.exp(-0.5 * ((WAVELENGTHS - 675) / 13) ** 2)
    accessory = 0.13 * np.exp(-0.5 * ((WAVELENGTHS - 610) / 45) ** 2)
    return 0.06 * chlorophyll**0.65 * (blue + red + accessory)


def _properties(water: Water) -> tuple[Array, Array]:
    """Absorption and backscattering, 1/m."""
    far = WAVELENGTHS - 440
    # Suspended matter absorbs 0.041 m2/g at 443 nm with a slope of 0.0123 1/nm (Babin et al. 2003) in coastal water.
    mud = 0.041 * water.paleness * water.suspended * np.exp(-water.redness * (far - 3))
    absorbed = water_absorption() + _phytoplankton(water.chlorophyll) + water.dissolved * np.exp(-0.014 * far) + mud
    pure = 0.0038 * (400 / WAVELENGTHS) ** 4.32
    # Mass-specific scattering about 0.51 m2/g at 555 nm (Babin et al. 2003), 1.9 % of it backward; living cells 0.5 %.
    particles = (0.51 * 0.019 * water.suspended + 0.0015 * water.chlorophyll**0.62) * (555 / WAVELENGTHS) ** 0.6
    return absorbed, pure + particles


def water_reflectance(
    water: Water, depth: float = np.inf, bottom: Array | float = 0.1, sun_zenith: float = 40
) -> Array:
    """Reflectance (pi times the remote-sensing reflectance) at `WAVELENGTHS`, without glint.

    Args:
        depth: in metres. bottom: its reflectance, a number or a spectrum on `WAVELENGTHS`.
        sun_zenith: in degrees, above the surface.
    """
    absorbed, scattered = _properties(water)
    total = absorbed + scattered
    u = scattered / total
    below = (0.084 + 0.170 * u) * u
    if np.isfinite(depth):
        slant = 1 / np.cos(np.arcsin(np.sin(np.radians(sun_zenith)) / 1.34))
        column = np.exp(-(slant + 1.03 * np.sqrt(1 + 2.4 * u)) * total * depth)
        ground = np.exp(-(slant + 1.04 * np.sqrt(1 + 5.4 * u)) * total * depth)
        below = below * (1 - column) + np.asarray(bottom) / np.pi * ground
    return np.pi * 0.5 * below / (1 - 1.5 * below)


def draw_water(draw: np.random.Generator, kind: str) -> Water:
    """Draw a water: "clear", "black", "green", "muddy", "red" or "milky"."""

    def between(low: float, high: float) -> float:
        return float(np.exp(draw.uniform(np.log(low), np.log(high))))

    match kind:
        case "clear":
            return Water(between(0.05, 3), between(0.01, 0.3), between(0.05, 3))
        case "black":
            return Water(between(0.5, 10), between(3, 20), between(0.5, 8))
        case "green":
            return Water(between(10, 200), between(0.3, 3), between(2, 30))
        case "muddy":
            return Water(between(0.5, 10), between(0.3, 4), between(8, 350))
        case "red":
            return Water(between(0.5, 5), between(0.3, 3), between(60, 600), draw.uniform(0.014, 0.02))
        case "milky":
            return Water(between(0.1, 2), between(0.02, 0.3), between(60, 800), 0.008, between(0.1, 0.5))
    raise ValueError(kind)
