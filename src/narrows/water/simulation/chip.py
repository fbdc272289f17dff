"""Training and test chips: a landscape under clouds, through the air, by a sensor, with exact labels."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from narrows.errors import InputError
from narrows.water.simulation.atmosphere import AEROSOLS, PROFILES, Air, air
from narrows.water.simulation.clouds import CloudLayer, cloud_depth, draw_clouds, shadow_offset
from narrows.water.simulation.landscape import Landscape, Surface
from narrows.water.simulation.library import SENSORS, check_split, to_bands
from narrows.water.simulation.sensor import Faults, add_faults, draw_faults
from narrows.water.simulation.sunlight import Sun
from narrows.water.simulation.two_stream import cloud_layer

__all__ = ["LEVELS", "Chip", "Conditions", "draw_conditions", "simulate_chip"]

Array = NDArray[np.float32]

LEVELS = ("top of atmosphere", "surface")
_THICKNESS = np.array([0, 0.1, 0.3, 0.7, 1.5, 3, 6, 12, 25, 60.0])
_PIXELS = {"landsat": (30.0,), "sentinel": (10.0, 20.0, 60.0), "modis": (60.0,)}


@dataclass(frozen=True)
class Conditions:
    """How a scene was seen.

    Attributes:
        sensor: one of `library.SENSORS`. pixel: its side in metres.
        level: "top of atmosphere", or "surface" for reflectance corrected for the air, with the errors of that.
        sun: where it stands. aerosol, haze: kind and optical depth at 550 nm. profile: of the water vapour.
        haze_error: how far off the correction takes the haze to be, as a factor.
        clouds: layers of cloud. faults: of the image.
    """

    sensor: str = "landsat-8"
    pixel: float = 30.0
    level: str = "top of atmosphere"
    sun: Sun = field(default_factory=lambda: Sun(40.0, 140.0))
    aerosol: str = "continental"
    haze: float = 0.15
    profile: str = "midlatitude summer"
    haze_error: float = 1.0
    clouds: tuple[CloudLayer, ...] = ()
    faults: Faults = field(default_factory=Faults)


@dataclass(frozen=True)
class Chip:
    """A simulated chip and all that is known of it.

    Attributes:
        reflectance: float32 (6, h, w), blue, green, red, nir, swir1, swir2; 0 where `known` is false.
        water: float32 (h, w), exact share of each pixel under water, clouds or not.
        open_water: float32 (h, w), the share under water that carries neither ice nor plants.
        cover: uint8 (h, w), the largest cover of the ground, numbered as in `landscape.COVERS`.
        cloud: float32 (h, w), optical depth of the cloud over each pixel.
        veiled: float32 (h, w), share of the ground's green light that cloud keeps from the sensor.
        shadow: float32 (h, w), share of the direct sunlight that clouds take from the pixel's ground.
        shade: float32 (h, w), direct sunlight that the ground itself leaves, 0 in its shadow.
        known: bool (h, w), false in gaps.
        conditions: how it was seen.
    """

    reflectance: Array
    water: Array
    open_water: Array
    cover: NDArray[np.uint8]
    cloud: Array
    veiled: Array
    shadow: Array
    shade: Array
    known: NDArray[np.bool_]
    conditions: Conditions


def draw_conditions(draw: np.random.Generator, split: str = "train") -> Conditions:
    """Draw a sensor of the split, the sun, the air, the clouds and the image's faults."""
    sensor = str(draw.choice(SENSORS[check_split(split)]))
    pixel = float(draw.choice(_PIXELS[sensor.partition("-")[0]]))
    return Conditions(
        sensor=sensor,
        pixel=pixel,
        level=str(draw.choice(LEVELS)),
        sun=Sun(
            float(draw.uniform(15, 70)), float(draw.uniform(60, 170) if draw.uniform() < 0.8 else draw.uniform(0, 360))
        ),
        aerosol=str(draw.choice(AEROSOLS)),
        haze=float(np.clip(np.exp(draw.normal(np.log(0.15), 0.7)), 0.05, 1)),
        profile=str(draw.choice(PROFILES)),
        haze_error=float(np.exp(draw.normal(0, 0.3))),
        clouds=draw_clouds(draw, split, pixel=pixel),
        faults=draw_faults(draw, sensor),
    )


def simulate_chip(
    height: int, width: int, seed: int, *, split: str = "train", kind: str | None = None,
    conditions: Conditions | None = None,
) -> Chip:  # fmt: skip
    """Simulate a chip with its labels; one seed gives one chip.

    Args:
        height, width: in pixels.
        seed: at least 0. The same seed gives another chip in the other split.
        split: "train" or "test": the measured spectra, cloud shapes and sensors of one never occur in the other.
        kind: of scene, one of `style.KINDS`; drawn if left out.
        conditions: how it is seen; drawn from the split if left out. Where given, sensor and clouds are what they say.

    Raises:
        InputError: for a size below 1, a negative seed, or a split, kind, sensor, level or cloud's shape that isn't
            known.
    """
    check_split(split)
    if seed < 0:
        raise InputError(f"the seed of a simulated chip is {seed}; it must be 0 or more")
    draw = np.random.default_rng([seed, 5 if split == "train" else 6])
    seen = conditions or draw_conditions(draw, split)
    if seen.level not in LEVELS:
        raise InputError(f"level {seen.level!r} is not known; it is one of {', '.join(LEVELS)}")
    landscape = Landscape(
        height,
        width,
        2 * seed + (split == "test"),
        split=split,
        sensor=seen.sensor,
        pixel=seen.pixel,
        kind=kind,
        sun=seen.sun,
    )
    surface = landscape.rows(0, height)
    sky = air(seen.sensor, seen.sun.zenith, seen.haze, seen.aerosol, seen.profile)
    image, cloud, veiled, shadow = _under_clouds(surface, seen, sky, landscape.seed)
    if seen.level == "surface":
        guess = air(seen.sensor, seen.sun.zenith, seen.haze * seen.haze_error, seen.aerosol, seen.profile)
        image = guess.ground(image)
    image, known = add_faults(image, seen.faults, seen.sensor, draw)
    return Chip(
        image, surface.water, surface.open_water, surface.cover, cloud, veiled, shadow, surface.light, known, seen
    )  # fmt: skip


def _under_clouds(surface: Surface, seen: Conditions, sky: Air, seed: int) -> tuple[Array, Array, Array, Array]:
    """Reflectance at the top of the atmosphere, optical depth, veil and shadow of the clouds."""
    shape = surface.water.shape
    cloud, veiled, shadow = (np.zeros(shape, np.float32) for _ in range(3))
    lit = np.ones(shape, np.float32)
    through = np.ones((6, *shape), np.float32)
    dull = np.zeros(shape, np.float32)
    bright = np.zeros((6, *shape), np.float32)
    clear = np.ones((6, *shape), np.float32)
    sun = 1 / np.cos(np.radians(seen.sun.zenith))
    for number, layer in enumerate(seen.clouds):
        offset = shadow_offset(layer, seen.sun, seen.pixel)
        over, towards = cloud_depth(layer, seed + 977 * number, shape[0], shape[1], offset)
        cloud += over
        # Three quarters of what a cloud scatters goes on nearly straight and still casts no shadow.
        beam = np.exp(-0.25 * np.float32(sun) * towards)
        lit *= beam
        dull += np.float32(min(layer.cover, 1)) * (towards > 1)
        reflected, passed = cloud_layer(_THICKNESS, layer.radius, ice=layer.ice)
        reflected, passed = to_bands(seen.sensor, reflected), to_bands(seen.sensor, passed)
        for band in range(6):
            r, t = (np.interp(over, _THICKNESS, x[:, band]) for x in (reflected, passed))
            # What a cloud lets through diffusely lights its shadow, mixed with light from beside it.
            through[band] *= 0.35 * beam + 0.65 * np.interp(towards, _THICKNESS, passed[:, band])
            # A higher layer over what is below: adding with the light that goes back and forth.
            between = 1 - r * bright[band]
            bright[band], clear[band] = r + t * t * bright[band] / between, clear[band] * t / between
    shadow += 1 - lit
    # Where clouds cover the sky, less of it lights their shadows.
    diffuse = sky.diffuse[:, None, None] * surface.sky * (1 - 0.15 * np.minimum(dull, 1))
    light = (1 - sky.diffuse[:, None, None]) * surface.light * through + diffuse
    ground = surface.reflectance * light
    veiled = (1 - clear[1] * clear[1]).astype(np.float32)
    # Light that passes the cloud spreads under it; the share that reaches the sensor passes it once more.
    scene = bright + clear * clear * ground / (1 - bright * surface.reflectance)
    image = sky.seen(np.maximum(scene, 0))
    if seen.clouds:
        # Clouds stand above the densest air, and shade the air under them.
        hidden = sky.gas[:, None, None] * sky.path[:, None, None]
        image = image - hidden * (0.7 * bright + 0.03 * shadow * (1 - bright))
    return image.astype(np.float32), cloud, veiled, shadow
