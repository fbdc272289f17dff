"""Training and test chips: a landscape under clouds, through the air, by a sensor, with exact labels."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from narrows.errors import InputError
from narrows.water.simulation.atmosphere import AEROSOLS, PROFILES, air
from narrows.water.simulation.clouds import CloudLayer, draw_clouds
from narrows.water.simulation.cloudy_sky import through_the_sky
from narrows.water.simulation.landscape import Landscape, Surface
from narrows.water.simulation.library import SENSORS, check_split
from narrows.water.simulation.sensor import Faults, add_faults, draw_faults
from narrows.water.simulation.sunlight import Sun

__all__ = ["LEVELS", "Chip", "Conditions", "draw_conditions", "observe", "simulate_chip"]

Array = NDArray[np.float32]

LEVELS = ("top of atmosphere", "surface")
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
        dimmed: float32 (h, w), share of the near-infrared light at flat ground, the sky's too, that clouds take.
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
    dimmed: Array
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
        2 * seed,
        split=split,
        sensor=seen.sensor,
        pixel=seen.pixel,
        kind=kind,
        sun=seen.sun,
    )
    return observe(landscape.rows(0, height), seen, landscape.seed, draw)


def observe(surface: Surface, seen: Conditions, seed: int, draw: np.random.Generator) -> Chip:
    """The ground `surface`, (h, w), as it is seen under these conditions.

    Args:
        seed: of the clouds' places. draw: of the sensor's noise and gaps.
    """
    sky = air(seen.sensor, seen.sun.zenith, seen.haze, seen.aerosol, seen.profile)
    view = through_the_sky(
        surface, sky, seen.clouds, seen.sun, sensor=seen.sensor, pixel=seen.pixel, seed=seed, haze=seen.haze
    )
    image = view.reflectance
    if seen.level == "surface":
        guess = air(seen.sensor, seen.sun.zenith, seen.haze * seen.haze_error, seen.aerosol, seen.profile)
        image = guess.ground(image)
    image, known = add_faults(image, seen.faults, seen.sensor, draw)
    return Chip(
        image,
        surface.water,
        surface.open_water,
        surface.cover,
        view.cloud,
        view.veiled,
        view.shadow,
        view.dimmed,
        surface.light,
        known,
        seen,
    )
