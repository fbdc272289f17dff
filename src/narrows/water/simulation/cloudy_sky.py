"""A landscape seen through the air and under clouds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from narrows.water.simulation.atmosphere import Air
from narrows.water.simulation.clouds import CloudLayer, cloud_depth, shadow_offset
from narrows.water.simulation.landscape import Surface
from narrows.water.simulation.library import to_bands
from narrows.water.simulation.noise import FractalNoise
from narrows.water.simulation.sunlight import Sun
from narrows.water.simulation.two_stream import cloud_layer

__all__ = ["Seen", "through_the_sky"]

Array = NDArray[np.float32]

_GREEN, _NIR = 1, 3
_THICKNESS = np.array([0, 0.1, 0.3, 0.7, 1.5, 3, 6, 12, 25, 60.0])
_WAVELENGTHS = np.array([0.48, 0.56, 0.66, 0.86, 1.61, 2.2])
# Light that the air scatters more than once also reaches the air in a shadow, from beside it.
_SCATTERED_ONCE = 0.7


@dataclass(frozen=True)
class Seen:
    """What reaches the sensor: reflectance float32 (6, h, w) at the top of the atmosphere.

    `cloud`, `veiled`, `shadow` and `dimmed`, float32 (h, w), are as in `chip.Chip`.
    """

    reflectance: Array
    cloud: Array
    veiled: Array
    shadow: Array
    dimmed: Array


def through_the_sky(
    surface: Surface,
    sky: Air,
    clouds: tuple[CloudLayer, ...],
    sun: Sun,
    *,
    sensor: str,
    pixel: float,
    seed: int,
    haze: float = 0.15,
) -> Seen:
    """Light the ground, lay clouds over it and their shadows beside them, and add the air.

    The layers come from the lowest to the highest. A cloud's shadow lies where the sun puts it. The light in it is the
    beam that goes nearly straight through, the sky's light from beside the cloud, and what the cloud lets through
    diffusely, by the share of the sky that the cloud takes up from there. `haze` is the air's, its depth at 550 nm.
    """
    shape = surface.water.shape
    cloud, lit, unlit_air = np.zeros(shape, np.float32), np.ones(shape, np.float32), np.zeros((6, *shape), np.float32)
    direct, diffuse = np.ones((6, *shape), np.float32), np.ones((6, *shape), np.float32)
    bright, clear = np.zeros((6, *shape), np.float32), np.ones((6, *shape), np.float32)
    slant = np.float32(1 / np.cos(np.radians(sun.zenith)))
    for number, layer in enumerate(sorted(clouds, key=lambda layer: layer.height)):
        offset = shadow_offset(layer, sun, pixel)
        over, towards = cloud_depth(layer, seed + 977 * number, shape[0], shape[1], offset)
        cloud += over
        # Three quarters of what a cloud scatters goes on nearly straight and still casts no shadow.
        beam = np.exp(-0.25 * slant * towards)
        lit *= beam
        above = _share_of_sky(layer, pixel)
        reflected, passed = (to_bands(sensor, x) for x in cloud_layer(_THICKNESS, layer.radius, ice=layer.ice))
        side = 1.0 if layer.ice else _sides(over, _bumps(layer, seed + 977 * number, shape), sun)
        # A line of sight leaves the shadow where the sun comes in under the cloud, on the average half of it away.
        dark_up_to = min(layer.height, 0.5 * layer.size * pixel / max(np.tan(np.radians(sun.zenith)), 0.05))
        hidden_air, dark_air = _air_below(layer.height, haze), _air_below(dark_up_to, haze)
        for band in range(6):
            r, t = (np.interp(over, _THICKNESS, x[:, band]) for x in (reflected, passed))
            through = np.interp(towards, _THICKNESS, passed[:, band])
            direct[band] *= (1 - above) * beam + above * through
            diffuse[band] *= 1 - above * (1 - beam) * (1 - through)
            unlit = np.maximum(hidden_air[band] * np.minimum(r, 1), _SCATTERED_ONCE * dark_air[band] * (1 - beam))
            unlit_air[band] = np.maximum(unlit_air[band], unlit)
            # A higher layer over what is below: adding with the light that goes back and forth.
            between = 1 - r * bright[band]
            bright[band], clear[band] = r * side + t * t * bright[band] / between, clear[band] * t / between
    of_sky = sky.diffuse[:, None, None]
    light = (1 - of_sky) * surface.light * direct + of_sky * surface.sky * diffuse
    dimmed = 1 - ((1 - of_sky[_NIR]) * direct[_NIR] + of_sky[_NIR] * diffuse[_NIR])
    # The light's way down is in `light`, displaced towards the sun; its way up leads through the cloud above.
    scene = bright + clear * surface.reflectance * light / (1 - bright * surface.reflectance)
    image = sky.seen(np.maximum(scene, 0)) - (sky.gas * sky.path)[:, None, None] * unlit_air
    parts = (image, cloud, 1 - clear[_GREEN], 1 - lit, dimmed)
    return Seen(*(part.astype(np.float32) for part in parts))


def _share_of_sky(layer: CloudLayer, pixel: float) -> float:
    """What a cloud takes up of the sky over its shadow, weighted as it lights flat ground: r^2 / (r^2 + h^2) for a disk
    of radius r at height h. Where clouds cover most of the sky their parts are as wide as the gaps are rare.
    """
    radius = 0.5 * layer.size * pixel / (1 - min(layer.cover, 0.95))
    return radius**2 / (radius**2 + layer.height**2)


def _air_below(height: float, haze: float) -> Array:
    """Share of the air's scattering that lies below a height in metres, float32 (6,).

    Molecules and aerosol thin out exponentially, over 8.4 and 2 km; their depths are 0.00877 w^-4.05 and, with
    `haze` at 0.55, haze (0.55 / w)^1.3 at a wavelength of w micrometres.
    """
    molecules, aerosol = 0.00877 * _WAVELENGTHS**-4.05, haze * (0.55 / _WAVELENGTHS) ** 1.3
    below = molecules * -np.expm1(-height / 8400) + aerosol * -np.expm1(-height / 2000)
    return (below / (molecules + aerosol)).astype(np.float32)


def _bumps(layer: CloudLayer, seed: int, shape: tuple[int, int]) -> Array:
    """How the tops of a layer rise and fall, in the logarithm of its depth."""
    bumps = FractalNoise(seed, 94, max(layer.size // 4, 4), 2, 0.8).rows(0, shape[0], shape[1])
    bumps *= 0.5
    return bumps


def _sides(depth: Array, bumps: Array, sun: Sun) -> Array:
    """How much brighter a cloud's sides towards the sun are, and how much darker those away from it."""
    if min(depth.shape) < 2:
        return np.ones_like(depth)
    row, column = sun.towards
    # A sheet too thin to rise has no sides.
    down, across = np.gradient(np.log1p(depth) + bumps * np.clip(depth / 5, 0, 1))
    towards = np.float32(np.tan(np.radians(sun.zenith))) * 0.8 * (down * row + across * column)
    return np.asarray(np.clip(1 - towards, 0.6, 1.25))
