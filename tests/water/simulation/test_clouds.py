from __future__ import annotations

import numpy as np
import pytest

from narrows.errors import InputError
from narrows.water.simulation.clouds import SHAPES, CloudLayer, cloud_depth, draw_clouds, shadow_offset
from narrows.water.simulation.sunlight import Sun, sunlit

ALL_SHAPES = [shape for shapes in SHAPES.values() for shape in shapes]


@pytest.mark.parametrize("shape", ALL_SHAPES)
@pytest.mark.parametrize("cover", [0.03, 0.4, 0.9])
def test_cloud_covers_the_share_asked_for(shape: str, cover: float) -> None:
    here, _ = cloud_depth(CloudLayer(shape, cover), 4, 96, 80, (0, 0))
    assert (here > 0).mean() == pytest.approx(cover, abs=0.01)


@pytest.mark.parametrize(("zenith", "azimuth"), [(45, 90), (30, 180), (60, 135), (50, 315), (70, 20)])
def test_shadows_lie_away_from_the_sun_by_height_times_tangent(zenith: float, azimuth: float) -> None:
    layer, pixel = CloudLayer("heaps", 0.3, height=900), 30.0
    down, across = shadow_offset(layer, Sun(zenith, azimuth), pixel)
    far = 900 * np.tan(np.radians(zenith)) / pixel
    assert np.hypot(down, across) == pytest.approx(far, abs=0.8)
    assert np.degrees(np.arctan2(across, -down)) % 360 == pytest.approx(azimuth, abs=3)
    here, towards = cloud_depth(layer, 7, 120, 120, (down, across))
    inner = slice(max(0, -down), 120 - max(0, down)), slice(max(0, -across), 120 - max(0, across))
    shifted = tuple(slice(s.start + d, s.stop + d) for s, d in zip(inner, (down, across), strict=True))
    assert np.array_equal(towards[inner], here[shifted])


def test_far_shadows_come_from_clouds_outside_the_window() -> None:
    layer = CloudLayer("heaps", 0.5, height=9000)
    here, towards = cloud_depth(layer, 1, 40, 40, (-300, 40))
    assert here.shape == towards.shape == (40, 40)
    assert not np.array_equal(here, towards)


def test_clouds_of_the_splits_have_other_shapes() -> None:
    assert not set(SHAPES["train"]) & set(SHAPES["test"])
    for split in SHAPES:
        layers = [layer for k in range(60) for layer in draw_clouds(np.random.default_rng(k), split)]
        assert {layer.shape for layer in layers} == set(SHAPES[split])
        covers = [layer.cover for layer in layers]
        assert min(covers) < 0.1 and max(covers) > 0.75


def test_an_unknown_shape_is_refused() -> None:
    with pytest.raises(InputError, match="'round'"):
        cloud_depth(CloudLayer("round", 0.3), 1, 8, 8, (0, 0))


def test_a_wall_shades_the_ground_behind_it() -> None:
    edge = 26
    ground = np.zeros((40 + 2 * edge, 40 + 2 * edge), np.float32)
    ground[:, edge + 20 : edge + 22] = 5
    light, sky = sunlit(ground, Sun(45, 90), 1.0, edge)
    # The sun stands in the east, at 45 degrees: the shadow reaches five pixels to the west.
    assert light[20, 16:19].max() < 0.1
    assert light[20, :13] == pytest.approx(1, abs=0.01)
    assert light[20, 25:] == pytest.approx(1, abs=0.01)
    assert (sky <= 1).all() and sky[20, 0] == 1


def test_slopes_towards_the_sun_are_brighter() -> None:
    edge, size = 4, 20
    east = np.arange(size + 2 * edge, dtype=np.float32)[None] * np.ones((size + 2 * edge, 1), np.float32) * -0.2
    facing, _ = sunlit(east, Sun(40, 90), 1.0, edge)
    expected = (1 + 0.2 * np.tan(np.radians(40))) / np.sqrt(1 + 0.04)
    assert facing == pytest.approx(expected, rel=1e-4)
