"""What the benchmarks of water maps count, on answers whose scores are known."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

from water_anchoring import compared, moved
from water_hard_cases import CASES, CHIPS, Tally, along_narrow_channels, chip_of
from water_methods import Kept, network_of

from narrows.errors import InputError
from narrows.water import weights
from narrows.water.evaluation.methods import Answer
from narrows.water.evaluation.view import View
from narrows.water.simulation import Chip, Conditions


def view(height: int = 20, width: int = 30, seed: int = 0) -> View:
    bands = np.random.default_rng(seed).random((6, height, width), np.float32)
    seen = np.ones((height, width), bool)
    return View("made", bands, seen, ~seen, grid_origin=(100, 200))


@dataclass
class Asked:
    """A method that counts how often it is asked."""

    with_probability: bool = True
    asked: list[View] = field(default_factory=list)
    name: str = "asked"
    quick: bool = False

    def map(self, view: View) -> Answer:
        self.asked.append(view)
        chance = view.reflectance[0]
        return Answer((chance > 0.5).astype(np.uint8), chance if self.with_probability else None)


@pytest.mark.parametrize("with_probability", [True, False])
def test_a_kept_answer_is_the_first_one_and_not_asked_for_again(tmp_path: Path, with_probability: bool) -> None:
    method = Asked(with_probability)
    kept = Kept(method, tmp_path / "made")
    first, second = kept.map(view()), kept.map(view())
    assert len(method.asked) == 1
    np.testing.assert_array_equal(first.classes, second.classes)
    if with_probability:
        assert first.probability is not None and second.probability is not None
        np.testing.assert_array_equal(first.probability, second.probability)
    else:
        assert second.probability is None
    kept.map(view(seed=1))
    kept.map(replace(view(), observed=~view().observed))
    assert len(method.asked) == 3
    assert not list((tmp_path / "made").glob("*.part"))


def test_networks_are_named_by_their_weights() -> None:
    for name in weights.available():
        assert network_of(name).name == name
        assert network_of(name, hidden=True).tells_hidden
    with pytest.raises(InputError, match="no-such"):
        network_of("no-such")


def chip(**more: Any) -> Chip:
    """Ten columns each of water and land under a clear sky."""
    water = np.zeros((10, 20), np.float32)
    water[:, :10] = 1
    none, ones = np.zeros_like(water), np.ones_like(water)
    parts: dict[str, Any] = {
        "reflectance": np.zeros((6, 10, 20), np.float32), "water": water, "open_water": water,
        "cover": water.astype(np.uint8), "cloud": none, "veiled": none, "shadow": none, "dimmed": none, "shade": ones,
        "known": ones > 0, "conditions": Conditions(),
    }  # fmt: skip
    return Chip(**{**parts, **more})


def tallied(made: Chip, water: Any, hidden: Any = None, case: str = "clear") -> dict[str, Any]:
    tally = Tally()
    tally.add(CASES[case], made, water, np.zeros(water.shape, bool) if hidden is None else hidden)
    return tally.row()


def test_a_perfect_answer_scores_one_and_gaps_are_left_out() -> None:
    made = chip()
    made.known[0] = False
    row = tallied(made, made.open_water > 0.5)
    assert (row["recall"], row["precision"], row["f1"], row["land_called_water"]) == (1, 1, 1, 0)
    assert row["pixels"] == 180 and row["water_pixels"] == 90


def test_hidden_is_wrong_under_a_clear_sky_and_unscored_where_cloud_or_shadow_takes_the_light() -> None:
    half = np.zeros((10, 20), np.float32)
    half[5:] = 1
    everywhere = np.ones((10, 20), bool)
    clear = tallied(chip(), ~everywhere, everywhere)
    assert clear["f1"] == 0 and clear["clear_hidden_share"] == 1
    for taken in ({"veiled": 0.3 * half}, {"dimmed": 0.5 * half}, {"dimmed": half}):
        row = tallied(chip(**taken), ~everywhere, everywhere)
        assert row["pixels"] == 100
        seen = tallied(chip(**taken), chip().open_water > 0.5)
        assert seen["pixels"] == 200 and seen["f1"] == 1


def test_under_a_thick_cloud_only_false_water_counts() -> None:
    under = chip(veiled=np.ones((10, 20), np.float32))
    wet = under.open_water > 0.5
    assert tallied(under, wet)["pixels"] == 0
    row = tallied(under, ~wet)
    assert row["pixels"] == 100 and row["precision"] is None and row["land_called_water"] == 1


def test_mixed_and_overgrown_pixels_are_not_scored() -> None:
    mixed = chip().open_water.copy()
    mixed[:, 9] = 0.5
    assert tallied(chip(water=mixed, open_water=mixed), mixed >= 0.5)["pixels"] == 190
    open_water = chip().open_water.copy()
    open_water[:, :4] = 0.1
    assert tallied(chip(open_water=open_water), open_water > 0.5)["pixels"] == 160


def test_narrow_channels_are_told_from_wide_ones_and_from_ponds() -> None:
    water = np.zeros((40, 40), np.float32)
    water[5, 3:30] = 1
    water[15:19, 3:30] = 1
    water[30, 30] = 1
    where = along_narrow_channels(chip(water=water, open_water=water))
    assert where[5, 3:30].all() and where[2:9, 10].all()
    assert not where[9:, :].any()


def test_the_cases_show_what_they_are_called() -> None:
    for name, case in CASES.items():
        made = chip_of(name, 0, 64)
        again = chip_of(name, 0, 64)
        np.testing.assert_array_equal(made.reflectance, again.reflectance)
        cloudy = any(word in name for word in ("cloud", "overcast"))
        assert bool(made.conditions.clouds) == cloudy
        assert made.conditions.sensor in ("landsat-4", "landsat-9", "sentinel-2b", "modis")
        if case.on is not None:
            assert any(case.on(chip_of(name, number)).any() for number in range(CHIPS)), name


def test_only_what_changed_away_from_the_border_is_counted_there() -> None:
    whole = view()
    part = moved(whole, (3, 5), anchored=True)
    assert part.shape == (17, 25) and part.grid_origin == (103, 205)
    assert moved(whole, (3, 5), anchored=False).grid_origin == (0, 0)
    first, second = Asked().map(whole), Asked().map(part)
    assert compared(first, second, part.observed, (3, 5), (4, 4))["changed_percent"] == 0
    second.classes[0, 0] ^= 1
    found = compared(first, second, part.observed, (3, 5), (4, 4))
    assert found["changed_percent"] == pytest.approx(100 / (17 * 25)) and found["changed_away_percent"] == 0
    second.classes[8, 8] ^= 1
    assert compared(first, second, part.observed, (3, 5), (4, 4))["changed_away_percent"] > 0
