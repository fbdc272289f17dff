"""A landscape seen through the air and under clouds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from narrows.water.simulation.atmosphere import Air
from narrows.water.simulation.clouds import CloudLayer, cloud_depth, shadow_offset
from narrows.water.simulation.landscape import Surface
from narrows.water.simulation.library import to_bands
from narrows.water.simulation.sunlight import Sun
from narrows.water.simulation.two_stream import cloud_layer

__all__ = ["Seen", "through_the_sky"]

Array = NDArray[np.float32]

_THICKNESS = np.array([0, 0.1, 0.3, 0.7, 1.5, 3, 6, 12, 25, 60.0])


@dataclass(frozen=True)
class Seen:
    """What reaches the sensor: reflectance float32 (6, h, w) at the top of the atmosphere.

    `cloud`, `veiled` and `shadow`, float32 (h, w), are as in `chip.Chip`.
    """

    reflectance: Array
    cloud: Array
    veiled: Array
    shadow: Array


def through_the_sky(
    surface: Surface, sky: Air, clouds: tuple[CloudLayer, ...], sun: Sun, *, sensor: str, pixel: float, seed: int
) -> Seen:
    """Light the ground, lay clouds over it and their shadows beside them, and add the air.

    The layers come from the lowest to the highest. A cloud's shadow lies where the sun puts it; the light in it is the
    sky's, and what the cloud lets through.
    """
    shape = surface.water.shape
    cloud, dull = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    lit, through = np.ones(shape, np.float32), np.ones((6, *shape), np.float32)
    bright, clear = np.zeros((6, *shape), np.float32), np.ones((6, *shape), np.float32)
    slant = np.float32(1 / np.cos(np.radians(sun.zenith)))
    for number, layer in enumerate(sorted(clouds, key=lambda layer: layer.height)):
        offset = shadow_offset(layer, sun, pixel)
        over, towards = cloud_depth(layer, seed + 977 * number, shape[0], shape[1], offset)
        cloud += over
        # Three quarters of what a cloud scatters goes on nearly straight and still casts no shadow.
        beam = np.exp(-0.25 * slant * towards)
        lit *= beam
        dull += np.float32(min(layer.cover, 1)) * (towards > 1)
        reflected, passed = (to_bands(sensor, x) for x in cloud_layer(_THICKNESS, layer.radius, ice=layer.ice))
        side = 1.0 if layer.ice else _sides(over, sun)
        for band in range(6):
            r, t = (np.interp(over, _THICKNESS, x[:, band]) for x in (reflected, passed))
            # What a cloud lets through diffusely lights its shadow, mixed with light from beside it.
            through[band] *= 0.35 * beam + 0.65 * np.interp(towards, _THICKNESS, passed[:, band])
            # A higher layer over what is below: adding with the light that goes back and forth.
            between = 1 - r * bright[band]
            bright[band], clear[band] = r * side + t * t * bright[band] / between, clear[band] * t / between
    shadow = 1 - lit
    # Where clouds cover the sky, less of it lights their shadows.
    diffuse = sky.diffuse[:, None, None] * surface.sky * (1 - 0.15 * np.minimum(dull, 1))
    light = (1 - sky.diffuse[:, None, None]) * surface.light * through + diffuse
    # The light's way down is in `through`, displaced towards the sun; its way up leads through the cloud above.
    scene = bright + clear * surface.reflectance * light / (1 - bright * surface.reflectance)
    image = sky.seen(np.maximum(scene, 0))
    if clouds:
        # Clouds stand above the densest air, and shade the air under them.
        hidden = sky.gas[:, None, None] * sky.path[:, None, None]
        image = image - hidden * (0.7 * np.minimum(bright, 1) + 0.03 * shadow * (1 - np.minimum(bright, 1)))
    return Seen(image.astype(np.float32), cloud, (1 - clear[1]).astype(np.float32), shadow.astype(np.float32))


def _sides(depth: Array, sun: Sun) -> Array:
    """How much brighter a cloud's sides towards the sun are, and how much darker those away from it."""
    if min(depth.shape) < 2:
        return np.ones_like(depth)
    row, column = sun.towards
    down, across = np.gradient(np.log1p(depth))
    return np.clip(1 - np.float32(np.tan(np.radians(sun.zenith))) * 0.8 * (down * row + across * column), 0.6, 1.25)
