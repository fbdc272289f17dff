from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from narrows.errors import InputError
from narrows.water import weights
from narrows.water.evaluation.confusion import Confusion
from narrows.water.indices import dswe, mndwi
from narrows.water.recipes.chips import read_chips, read_split
from narrows.water.recipes.scoring import at_top_of_atmosphere, predict
from narrows.water.simulation import Conditions, simulate_chip, simulate_scene
from narrows.water.simulation.clouds import CloudLayer

LIMITS = {"water": 500_000, "water-small": 60_000}


def iou(found: np.ndarray, truth: np.ndarray, scored: np.ndarray | None = None) -> float:
    counted = Confusion.of(found, truth, np.ones(truth.shape, bool) if scored is None else scored)
    assert counted.iou is not None
    return counted.iou


def test_both_sizes_come_with_the_package() -> None:
    assert weights.available() == sorted(LIMITS)
    for name, limit in LIMITS.items():
        model = weights.load(name)
        assert not model.training
        assert sum(parameter.numel() for parameter in model.parameters()) <= limit


def test_weights_of_another_name_are_refused() -> None:
    with pytest.raises(InputError, match="there are water, water-small"):
        weights.load("nothing")


@pytest.mark.parametrize("name", LIMITS)
@pytest.mark.parametrize("lit", [False, True])
def test_they_map_a_simulated_scene(name: str, lit: bool) -> None:
    reflectance, water = simulate_scene(256, 512, 4)
    seen = at_top_of_atmosphere(reflectance[None]) if lit else reflectance[None]
    found = predict(weights.load(name), seen)[0]
    assert iou(found[0] >= 0.5, water > 0) > 0.8
    assert (found[1] >= 0.5).mean() < 0.02


@pytest.mark.parametrize("name", LIMITS)
def test_without_shortwave_infrared_they_still_find_lakes(name: str) -> None:
    reflectance, water = simulate_scene(256, 256, 3, kind="lakes")
    blind = reflectance[None].copy()
    blind[:, 4:] = 1
    found = predict(weights.load(name), blind)[0]
    assert iou(found[0] >= 0.5, water > 0) > 0.8


@pytest.mark.parametrize("name", LIMITS)
def test_they_see_clouds_and_take_shadows_for_no_water(name: str) -> None:
    clouds = (CloudLayer("cells", 0.3, depth=30, soft=0.4, size=64, height=1500),)
    hidden, wrong, clear = [], 0, 0
    for seed in range(6):
        chip = simulate_chip(
            128, 128, seed, split="test", kind="savanna", conditions=Conditions(sensor="landsat-9", clouds=clouds)
        )
        water, covered = predict(weights.load(name), chip.reflectance[None])[0] >= 0.5
        hidden.append(covered[chip.veiled > 0.6].mean())
        dry = (chip.shadow > 0.7) & (chip.water == 0) & (chip.veiled < 0.1)
        wrong, clear = wrong + int((water & ~covered & dry).sum()), clear + int(dry.sum())
    assert np.median(hidden) > 0.85
    assert wrong < 0.03 * clear


@pytest.mark.parametrize("name", LIMITS)
def test_they_beat_the_indices_on_places_never_seen(shared_data: Path, name: str) -> None:
    held_out = read_chips(shared_data / "water306" / "hls306_6band.npz").at_places(read_split()["test"])
    truth = held_out.label > 0
    ours = iou(predict(weights.load(name), held_out.reflectance)[:, 0] >= 0.5, truth, held_out.known)
    assert ours > 0.94
    assert ours > iou(mndwi(held_out.reflectance) > 0, truth, held_out.known)
    assert ours > iou(dswe(held_out.reflectance), truth, held_out.known)
