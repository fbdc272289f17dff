"""Spectra of water, snow, cloud and land covers, against source values."""

from __future__ import annotations

import numpy as np
import pytest

from narrows.errors import InputError
from narrows.water.indices import mndwi
from narrows.water.simulation.absorption import WAVELENGTHS, ice_absorption, water_absorption
from narrows.water.simulation.library import SENSORS, read_library, to_bands
from narrows.water.simulation.two_stream import cloud_layer, snow_reflectance
from narrows.water.simulation.water_colour import Water, draw_water, water_reflectance

ALL_SENSORS = [sensor for sensors in SENSORS.values() for sensor in sensors]


def at(wavelength: float, spectrum: np.ndarray) -> float:
    return float(np.interp(wavelength, WAVELENGTHS, spectrum))


def test_pure_water_absorbs_as_measured() -> None:
    """1/m: Pope and Fry (1997) 0.00635 at 440 nm, 0.465 at 680; Hale and Querry (1973) 4.68 at 860, 672 at 1600."""
    a = water_absorption()
    assert at(440, a) == pytest.approx(0.00635)
    assert at(680, a) == pytest.approx(0.465)
    assert at(860, a) == pytest.approx(4.68, rel=0.01)
    assert at(1600, a) == pytest.approx(672, rel=0.01)


def test_ice_absorbs_as_measured() -> None:
    """Warren and Brandt (2008): k = 2.15e-7 at 860 nm, 2.361e-4 at 1650 nm."""
    assert at(860, ice_absorption()) == pytest.approx(4 * np.pi * 2.15e-7 / 860e-9, rel=0.01)
    assert at(1650, ice_absorption()) == pytest.approx(4 * np.pi * 2.361e-4 / 1650e-9, rel=0.01)


def test_deep_water_follows_the_semi_analytical_model() -> None:
    """By hand at 550 nm for pure water: u = bb / (a + bb), r = (0.084 + 0.17 u) u, R = 0.5 r / (1 - 1.5 r)."""
    a, bb = 0.0565, 0.0038 * (400 / 550) ** 4.32
    u = bb / (a + bb)
    r = (0.084 + 0.17 * u) * u
    expected = np.pi * 0.5 * r / (1 - 1.5 * r)
    assert at(550, water_reflectance(Water(1e-9, 0, 0))) == pytest.approx(expected, rel=1e-3)


def test_depth_leads_from_the_bottom_to_deep_water() -> None:
    water = Water(1, 0.1, 1)
    deep = water_reflectance(water)
    assert water_reflectance(water, 200, 0.3) == pytest.approx(deep, abs=1e-6)
    # No water: the bottom, less what the surface turns back (0.5 and 1.5 are Lee's factors).
    bottom = 0.3 / np.pi
    assert water_reflectance(water, 1e-9, 0.3) == pytest.approx(np.pi * 0.5 * bottom / (1 - 1.5 * bottom), rel=1e-3)
    blue = [at(490, water_reflectance(water, d, 0.3)) for d in (0.1, 0.5, 1, 2, 5)]
    assert (np.diff(blue) < 0).all()


def test_waters_have_their_colours() -> None:
    seen = {
        kind: np.median(
            [to_bands("landsat-8", water_reflectance(draw_water(np.random.default_rng(k), kind))) for k in range(40)], 0
        )
        for kind in ("clear", "black", "green", "muddy", "red", "milky")
    }
    assert seen["black"][:3].max() < 0.02
    assert seen["clear"][0] > seen["clear"][2]
    assert seen["green"][1] == max(seen["green"])
    assert seen["muddy"][2] > seen["muddy"][0]
    assert seen["red"][2] > 1.4 * seen["red"][1]
    assert seen["milky"][1] > 0.1
    for bands in seen.values():
        assert bands[4:].max() < 0.01
        assert mndwi(bands[:, None, None])[0, 0] > 0.2


def test_snow_darkens_with_its_grains_as_wiscombe_and_warren_found() -> None:
    """Their figure 8: diffuse albedo at 0.9 um of about 0.93 for 50 um, 0.75 for 1 mm; at 1.6 um below 0.2 and 0.05."""
    fine, coarse = snow_reflectance(5e-5), snow_reflectance(1e-3)
    assert at(500, fine) > 0.97
    assert at(900, fine) == pytest.approx(0.93, abs=0.04)
    assert at(900, coarse) == pytest.approx(0.72, abs=0.08)
    assert at(1600, coarse) < 0.05
    assert (coarse <= fine + 1e-12).all()
    assert at(500, snow_reflectance(1e-3, soot=0.01)) < at(500, coarse) - 0.03


def test_cloud_reflects_and_passes_all_that_it_does_not_absorb() -> None:
    """Bohren (1987): without absorption R = x / (1 + x), x = sqrt(3) / 2 (1 - g) depth."""
    depth = np.array([0.5, 5, 50])
    reflected, passed = cloud_layer(depth, 1e-5)
    x = np.sqrt(3) / 2 * 0.15 * depth
    green = int(np.argmin(np.abs(WAVELENGTHS - 560)))
    assert reflected[:, green] == pytest.approx(x / (1 + x), rel=0.01)
    assert reflected + passed == pytest.approx(np.clip(reflected + passed, 0, 1.0 + 1e-9))
    assert reflected[2, green] + passed[2, green] > 0.99
    ice, _ = cloud_layer(depth, 3e-5, ice=True)
    swir = int(np.argmin(np.abs(WAVELENGTHS - 1610)))
    assert ice[2, swir] < reflected[2, swir]


@pytest.mark.parametrize("sensor", ALL_SENSORS)
def test_bands_average_what_lies_in_them(sensor: str) -> None:
    assert to_bands(sensor, np.ones_like(WAVELENGTHS)) == pytest.approx(1)
    centres = to_bands(sensor, WAVELENGTHS)
    assert centres == pytest.approx([480, 560, 660, 845, 1625, 2190], rel=0.05)


def test_spectra_of_the_splits_are_disjoint() -> None:
    train, test = (read_library("landsat-8", split) for split in ("train", "test"))
    assert not set(train.name.tolist()) & set(test.name.tolist())
    assert 0.1 < len(test.name) / (len(train.name) + len(test.name)) < 0.4
    for cover in ("soil", "canopy", "char", "litter", "asphalt", "roof", "concrete"):
        assert len(train.of(cover)) >= 8 and len(test.of(cover)) >= 8
    assert not set(SENSORS["train"]) & set(SENSORS["test"])


def test_canopies_are_green_and_char_is_dark() -> None:
    library = read_library("sentinel-2a", "train")
    canopy, char = library.of("canopy"), library.of("char")
    assert (canopy[:, 3] > 3 * canopy[:, 2]).all()
    assert np.median(char[:, :3]) < 0.08
    assert (library.reflectance <= 1.1).all() and (library.reflectance >= 0).all()


def test_unknown_names_are_refused() -> None:
    with pytest.raises(InputError, match="sensor 'spot'"):
        read_library("spot", "train")
    with pytest.raises(InputError, match="split 'dev'"):
        read_library("landsat-8", "dev")
