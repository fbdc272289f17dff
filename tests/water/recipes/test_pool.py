from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from narrows.water.recipes import pool as pools
from narrows.water.recipes.pool import HIDDEN_BY_CLOUD, HIDDEN_BY_SHADOW, Pool, labels_of, make_pool, simulated
from narrows.water.simulation import Chip, simulate_chip

WATER, WATER_KNOWN, HIDDEN, HIDDEN_KNOWN = range(4)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "_SHARD", 3)
    monkeypatch.setattr(pools, "SIDE", 32)


def chip(**parts: float) -> Chip:
    """A chip of 1 x 1 pixel of which these things are so."""
    found = simulate_chip(1, 1, 3)
    values = {"water": 0.0, "open_water": 0.0, "veiled": 0.0, "shadow": 0.0, "dimmed": 0.0, "shade": 1.0} | parts
    arrays = {name: np.full((1, 1), value, np.float32) for name, value in values.items()}
    return replace(found, known=np.ones((1, 1), bool), **arrays)


def taught(**parts: float) -> list[float]:
    return (labels_of(chip(**parts))[:, 0, 0] / 255.0).round(2).tolist()


def test_water_is_what_fills_more_than_half_of_a_pixel() -> None:
    assert taught() == [0, 1, 0, 1]
    assert taught(water=1, open_water=1) == [1, 1, 0, 1]
    assert taught(water=0.5, open_water=0.5)[WATER] == 0.5
    assert taught(water=0.3, open_water=0.3) == [0, 1, 0, 1]


def test_water_under_plants_or_ice_is_unknown() -> None:
    assert taught(water=0.9, open_water=0.3)[WATER_KNOWN] == 0
    assert taught(water=0.9, open_water=0.8)[WATER_KNOWN] == 1


def test_what_clouds_hide() -> None:
    thick = taught(water=1, open_water=1, veiled=HIDDEN_BY_CLOUD + 0.1)
    assert thick == [0, 0.5, 1, 1]
    half = taught(water=1, open_water=1, veiled=HIDDEN_BY_CLOUD - 0.1)
    assert half == [1, 0.5, 0, 0]
    assert taught(water=1, open_water=1, veiled=0.05) == [1, 1, 0, 1]


def test_in_shadow_water_stays_water() -> None:
    assert taught(water=1, open_water=1, dimmed=HIDDEN_BY_SHADOW + 0.1) == [1, 1, 1, 1]
    assert taught(dimmed=HIDDEN_BY_SHADOW - 0.1)[HIDDEN_KNOWN] == 0
    assert taught(dimmed=0.9, shade=0.0) == [0, 1, 0, 1]


@pytest.mark.usefixtures("small")
def test_a_pool_is_made_once_and_read_back(tmp_path: Path) -> None:
    made: list[int] = []

    def make(number: int) -> tuple[np.ndarray, np.ndarray]:
        made.append(number)
        return np.full((6, 8, 8), number, np.float32), np.full((4, 8, 8), 255, np.uint8)

    make_pool(tmp_path, 4, make)
    assert made == list(range(6))
    make_pool(tmp_path, 7, make)
    assert made == list(range(9))
    pool = Pool.open(tmp_path)
    assert len(pool) == 9
    batch = pool.take([7, 2])
    assert batch.reflectance[:, 0, 0, 0].tolist() == [7, 2]
    assert batch.target.shape == batch.weight.shape == (2, 2, 8, 8)
    drawn = [pool.draw(5, torch.Generator().manual_seed(1)).reflectance for _ in range(2)]
    assert torch.equal(*drawn)
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.usefixtures("small")
def test_simulated_chips_come_with_their_labels(tmp_path: Path) -> None:
    make_pool(tmp_path, 3)
    reflectance, labels = simulated(1)
    batch = Pool.open(tmp_path).take([1])
    assert torch.allclose(batch.reflectance[0], torch.from_numpy(reflectance), atol=1e-3)
    assert torch.equal(batch.target[0, 0], torch.from_numpy(labels[WATER]).float() / 255)
    assert torch.equal(batch.weight[0, 1], torch.from_numpy(labels[HIDDEN_KNOWN]).float() / 255)


def test_numbers_that_no_half_float_holds_stay_finite(tmp_path: Path, small: None) -> None:
    def dazzling(number: int) -> tuple[np.ndarray, np.ndarray]:
        return np.full((6, 32, 32), -1e6 if number else 1e6, np.float32), np.zeros((4, 32, 32), np.uint8)

    make_pool(tmp_path, 3, dazzling)
    reflectance = Pool.open(tmp_path).take([0, 1]).reflectance
    assert torch.isfinite(reflectance).all()
    assert reflectance[0].min() > 1 > -1 > reflectance[1].max()
