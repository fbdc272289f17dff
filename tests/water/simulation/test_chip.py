from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from narrows.errors import InputError
from narrows.water.indices import mndwi
from narrows.water.simulation import Conditions, draw_conditions, simulate_chip
from narrows.water.simulation.clouds import SHAPES, CloudLayer
from narrows.water.simulation.landscape import COVERS, Landscape
from narrows.water.simulation.library import SENSORS
from narrows.water.simulation.sensor import Faults, add_faults, scan_gaps
from narrows.water.simulation.style import KINDS
from narrows.water.simulation.sunlight import Sun

CLEAN = Faults(blur=0.01, noise=0)


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_seed_gives_one_chip(split: str) -> None:
    first, again = (simulate_chip(48, 56, 7, split=split) for _ in range(2))
    assert first.conditions == again.conditions
    for name in (
        "reflectance",
        "water",
        "open_water",
        "cover",
        "cloud",
        "veiled",
        "shadow",
        "shade",
        "known",
        "dimmed",
    ):
        assert np.array_equal(getattr(first, name), getattr(again, name)), name
    assert first.reflectance.shape == (6, 48, 56) and first.reflectance.dtype == np.float32
    assert np.isfinite(first.reflectance).all()


def test_the_splits_share_neither_scene_nor_sensor_nor_cloud() -> None:
    train, test = (simulate_chip(32, 32, 3, split=split) for split in ("train", "test"))
    assert not np.array_equal(train.water, test.water)
    for split in ("train", "test"):
        drawn = [draw_conditions(np.random.default_rng(k), split) for k in range(40)]
        assert {c.sensor for c in drawn} == set(SENSORS[split])
        assert {layer.shape for c in drawn for layer in c.clouds} <= set(SHAPES[split])


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_scene_holds_together(kind: str) -> None:
    chip = simulate_chip(64, 64, 5, kind=kind)
    assert ((chip.water >= 0) & (chip.water <= 1)).all()
    assert (chip.open_water <= chip.water + 1e-6).all()
    assert chip.cover.max() < len(COVERS)
    assert (chip.open_water[chip.cover == COVERS.index("water")] > 0.12).all()
    assert chip.reflectance[:, chip.known].min() > -0.2
    assert chip.reflectance.max() < 2


def test_water_is_found_where_nothing_stands_in_the_way() -> None:
    seen = Conditions(level="surface", haze=0.1, faults=CLEAN)
    agreed = []
    for seed in range(6):
        chip = simulate_chip(96, 96, seed, kind="lakes", conditions=seen)
        sure = (np.abs(chip.open_water - 0.5) > 0.45) & (chip.shade > 0.5)
        agreed.append(((mndwi(chip.reflectance) > 0) == (chip.open_water > 0.5))[sure].mean())
    assert np.median(agreed) > 0.97


def test_a_correction_without_error_gives_back_the_ground() -> None:
    sun = Sun(35, 130)
    seen = Conditions(level="surface", sun=sun, haze=0.3, haze_error=1.0, faults=CLEAN)
    chip = simulate_chip(40, 40, 11, kind="savanna", conditions=seen)
    surface = Landscape(40, 40, 22, kind="savanna", sun=sun).rows(0, 40)
    even = (surface.light > 0.97) & (surface.light < 1.03) & (surface.sky > 0.99)
    assert even.any()
    assert chip.reflectance[:, even] == pytest.approx(surface.reflectance[:, even], rel=0.04, abs=0.002)


def test_shadow_darkens_most_where_the_sky_gives_least_light() -> None:
    base = Conditions(sun=Sun(45, 120), faults=CLEAN)
    clear = simulate_chip(96, 96, 2, kind="savanna", conditions=base)
    layer = CloudLayer("heaps", 0.35, depth=60, height=1200, soft=0.3)
    cloudy = simulate_chip(96, 96, 2, kind="savanna", conditions=replace(base, clouds=(layer,)))
    assert np.array_equal(clear.water, cloudy.water)
    deep = (cloudy.shadow > 0.95) & (cloudy.cloud == 0) & (clear.shade > 0.7)
    assert deep.sum() > 50
    left = np.median(cloudy.reflectance[:, deep], 1) / np.median(clear.reflectance[:, deep], 1)
    assert left[0] > left[3] > left[5]
    assert left[5] < 0.3
    thick = cloudy.cloud > 20
    assert np.median(cloudy.reflectance[1, thick]) > 0.5
    assert (cloudy.veiled[thick] > 0.7).all()
    untouched = (cloudy.shadow == 0) & (cloudy.cloud == 0)
    assert cloudy.reflectance[:, untouched] == pytest.approx(clear.reflectance[:, untouched], abs=0.02)


def test_gaps_hold_nothing() -> None:
    seen = Conditions(sensor="landsat-7", faults=Faults(gaps=True))
    chip = simulate_chip(128, 128, 1, conditions=seen)
    assert 0.02 < (~chip.known).mean() < 0.6
    assert (chip.reflectance[:, ~chip.known] == 0).all()
    gaps = scan_gaps(400, 600, np.random.default_rng(0))
    assert 0.02 < gaps.mean() < 0.5


def test_faults_do_what_they_say() -> None:
    draw = np.random.default_rng(0)
    flat = np.full((6, 64, 64), 0.3, np.float32)
    noisy, _ = add_faults(flat, Faults(noise=1), "landsat-5", draw)
    better, _ = add_faults(flat, Faults(noise=1), "landsat-8", draw)
    assert noisy.std() > 3 * better.std()
    steps, _ = add_faults(flat, Faults(noise=5, quantised=200), "landsat-5", draw)
    assert np.allclose(steps * 200, np.rint(steps * 200), atol=1e-3)
    bright, _ = add_faults(flat * 4, Faults(saturates=0.8), "landsat-5", draw)
    assert bright.max() == pytest.approx(0.8)
    edge = np.where(np.arange(64) < 31, 0, 0.5).astype(np.float32) * np.ones((6, 64, 1), np.float32)
    twice, _ = add_faults(edge, Faults(noise=0, coarse=2, blur=0.01), "sentinel-2a", draw)
    assert np.allclose(twice[:4], edge[:4]) and not np.allclose(twice[4:], edge[4:])
    squeezed, _ = add_faults(edge, Faults(noise=0, compression=0.05, blur=0.01), "landsat-8", draw)
    assert 0 < np.abs(squeezed - edge).max() < 0.2
    striped, _ = add_faults(flat, Faults(noise=0, stripes=0.01), "landsat-8", draw)
    assert striped.std(1).max() < 1e-6 < striped.std(2).min()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seed": -1}, "seed"),
        ({"split": "dev"}, "split 'dev'"),
        ({"kind": "moon"}, "'moon'"),
        ({"height": 0}, "no pixels"),
    ],
)
def test_what_cannot_be_made_is_refused(change: dict[str, object], said: str) -> None:
    arguments = {"height": 16, "width": 16, "seed": 1} | change
    with pytest.raises(InputError, match=said):
        simulate_chip(**arguments)  # type: ignore[arg-type]


def test_an_unknown_sensor_or_level_is_refused() -> None:
    with pytest.raises(InputError, match="spot"):
        simulate_chip(16, 16, 1, conditions=Conditions(sensor="spot"))
    with pytest.raises(InputError, match="level 'raw'"):
        simulate_chip(16, 16, 1, conditions=Conditions(level="raw"))


def test_thin_cloud_lets_the_ground_through_and_thick_cloud_does_not() -> None:
    base = Conditions(sun=Sun(30, 120), faults=CLEAN)
    clear = simulate_chip(96, 96, 8, kind="farmland", conditions=base)
    for depth, least, most in ((0.3, 0.75, 1.0), (60.0, -0.3, 0.3)):
        layer = CloudLayer("heaps", 1.0, depth=depth, height=300, soft=2)
        veiled = simulate_chip(96, 96, 8, kind="farmland", conditions=replace(base, clouds=(layer,)))
        alike = np.corrcoef(clear.reflectance[3].ravel(), veiled.reflectance[3].ravel())[0, 1]
        assert least <= alike <= most, (depth, alike)


def test_the_sides_of_clouds_that_face_the_sun_are_brighter() -> None:
    sun = Sun(50, 90)
    layer = CloudLayer("lone", 0.1, depth=20, soft=2, size=128, height=2500)
    chip = simulate_chip(128, 128, 4, kind="forest", conditions=Conditions(sun=sun, clouds=(layer,), faults=CLEAN))
    rows, columns = np.nonzero(chip.cloud > 3)
    east = columns > np.median(columns)
    similar = np.log1p(chip.cloud[rows, columns])
    brightness = chip.reflectance[2, rows, columns] / similar
    assert np.median(brightness[east]) > np.median(brightness[~east])


@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 70), (33, 1), (150, 40)])
def test_chips_of_any_size_are_made(height: int, width: int) -> None:
    chip = simulate_chip(height, width, 2)
    assert chip.reflectance.shape == (6, height, width)
    assert chip.water.shape == chip.cloud.shape == chip.shade.shape == (height, width)
