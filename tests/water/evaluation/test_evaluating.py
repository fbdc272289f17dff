"""Methods, changed scenes and whole evaluations on generated scenes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from affine import Affine
from rasterio.crs import CRS
from tests.builders.geotiff import PLACE, write_raster
from torch import nn

from narrows.errors import InputError
from narrows.water.evaluation.changes import CHANGES, Change
from narrows.water.evaluation.confusion import Confusion
from narrows.water.evaluation.evaluating import evaluate
from narrows.water.evaluation.methods import Answer, NetworkMethod, rules
from narrows.water.evaluation.pairs import Pair, find_pairs
from narrows.water.evaluation.peers import CsMask, Missing, WaterDetect, find_peers
from narrows.water.evaluation.plots import save_plots
from narrows.water.evaluation.report import tables
from narrows.water.evaluation.view import View
from narrows.water.network import own_network
from narrows.water.simulation import simulate_scene

BANDS = ["blue", "green", "red", "nir", "swir1", "swir2"]


@pytest.fixture
def view() -> View:
    reflectance, _ = simulate_scene(64, 96, 3)
    observed = np.ones((64, 96), bool)
    observed[:5, :7] = False
    reflectance = np.where(observed, reflectance, 0).astype(np.float32)
    return View("made", reflectance, observed, ~observed & False, CRS.from_epsg(32630), PLACE, (3, 5))


@pytest.fixture
def truth() -> np.ndarray:
    return simulate_scene(64, 96, 3)[1].astype(np.uint8)


def awei() -> nn.Module:
    model = nn.Conv2d(6, 1, 1, bias=False)
    model.weight.data = torch.tensor([0.0, 4.0, 0.0, -0.25, -4.0, -2.75]).reshape(1, 6, 1, 1)
    return model.eval()


def test_rules_state_their_thresholds_and_keep_what_was_not_seen(view: View) -> None:
    names = [method.name for method in rules()]
    assert names == ["NDWI > 0", "MNDWI > 0", "AWEInsh > 0", "AWEIsh > 0", "WI2015 > 0", "DSWE, 2 of 5 tests"]
    for method in rules():
        answer = method.map(view)
        assert set(np.unique(answer.classes)) <= {0, 1, 255}
        np.testing.assert_array_equal(answer.classes == 255, ~view.observed)


def test_a_network_that_is_an_index_answers_as_the_index(view: View) -> None:
    by_network = NetworkMethod(own_network(awei(), "awei", "logits")).map(view)
    by_index = next(method for method in rules() if method.name == "AWEInsh > 0").map(view)
    assert (by_network.classes == by_index.classes).mean() > 0.9995
    expected = torch.sigmoid(awei()(torch.from_numpy(view.reflectance)[None]))[0, 0].detach().numpy()
    assert by_network.probability is not None
    np.testing.assert_allclose(by_network.probability[view.observed], expected[view.observed], atol=1e-5)
    assert np.isnan(by_network.probability[~view.observed]).all()


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.name)
def test_changes_start_from_the_scene_and_grow(change: object, view: View, truth: np.ndarray) -> None:
    first, *others = change.levels  # type: ignore[attr-defined]
    same = change.at(view, truth, first)  # type: ignore[attr-defined]
    assert same.view is view
    seen = [change.at(view, truth, level) for level in others]  # type: ignore[attr-defined]
    again = change.at(view, truth, others[-1])  # type: ignore[attr-defined]
    np.testing.assert_array_equal(again.view.reflectance, seen[-1].view.reflectance)
    apart = [float(np.abs(each.view.reflectance - view.reflectance).mean()) for each in seen]
    assert 0 < apart[0] < apart[-1]
    assert (seen[-1].view.reflectance[:, ~view.observed] == 0).all()


def test_added_noise_has_the_spread_it_says(view: View, truth: np.ndarray) -> None:
    noise = next(change for change in CHANGES if change.name == "noise")
    apart = noise.at(view, truth, 0.02).view.reflectance - view.reflectance
    assert apart[:, view.observed].std() == pytest.approx(0.02, rel=0.02)


def test_added_clouds_cover_what_they_say_and_change_the_truth(view: View, truth: np.ndarray) -> None:
    clouds = next(change for change in CHANGES if change.name == "cloud cover")
    found = clouds.at(view, truth, 0.4)
    assert (found.truth == 3).mean() == pytest.approx(0.4, abs=0.15)
    kept = found.truth <= 1
    np.testing.assert_array_equal(found.truth[kept], truth[kept])


def test_the_middle_of_a_scene_keeps_its_place(view: View) -> None:
    part, place = view.middle(32)
    assert part.shape == (32, 32)
    np.testing.assert_array_equal(part.reflectance, view.reflectance[:, 16:48, 32:64])
    assert part.transform == PLACE @ Affine.translation(32, 16)
    assert part.grid_origin == (19, 37)
    assert place == (slice(16, 48), slice(32, 64))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for seed in (3, 4):
        reflectance, water = simulate_scene(48, 64, seed)
        numbers = np.round(reflectance * 10_000).astype(np.uint16)
        write_raster(tmp_path / f"s{seed}.tif", numbers, BANDS, scales=(1e-4,) * 6, offsets=(0.0,) * 6)
        write_raster(tmp_path / f"s{seed}_mask.tif", water.astype(np.uint8))
    return tmp_path


def test_an_evaluation_adds_up_and_is_drawn(tmp_path: Path, folder: Path) -> None:
    network = NetworkMethod(own_network(awei(), "awei", "logits"), quick=False)
    missing = [Missing("somebody", "not installed")]
    found = evaluate(find_pairs(str(folder), None, {}), [network, *rules()], missing=missing)
    assert list(found.scenes) == ["s3", "s4"]
    for name, total in found.total.items():
        parts = [scores[name].confusion for scores in found.scenes.values()]
        assert total.confusion == parts[0] + parts[1]
        assert total.confusion.pixels == 2 * 48 * 64
    assert found.total["MNDWI > 0"].confusion.iou > 0.7  # type: ignore[operator]
    assert [curve.change for curve in found.curves] == [change.name for change in CHANGES]
    noise = found.curves[0].scores["MNDWI > 0"]
    assert noise[0].confusion == found.total["MNDWI > 0"].confusion
    assert noise[-1].confusion.iou < noise[0].confusion.iou  # type: ignore[operator]
    said = found.as_dict()
    assert said["missing"] == {"somebody": "not installed"}
    assert said["total"]["awei ≥ 0.5"]["calibration"]["pixels"] == 2 * 48 * 64
    out = tmp_path / "plots"
    out.mkdir()
    drawn = {path.name for path in save_plots(found, out)}
    assert drawn == {"scores.png", "calibration.png", "risk_coverage.png", "body_sizes.png", "curves.png"}
    assert len(tables(found)) == 3 + len(CHANGES)


def test_a_mask_that_does_not_fit_stops_all_before_work(folder: Path) -> None:
    write_raster(folder / "s4_mask.tif", np.zeros((10, 10), np.uint8))

    class Never:
        name, quick = "never", True

        def map(self, view: View) -> Answer:
            raise AssertionError("work was begun")

    with pytest.raises(InputError, match="10 x 10"):
        evaluate(find_pairs(str(folder), None, {}), [Never()])
    pair = Pair(str(folder / "s3.tif"), folder / "s3_mask.tif")
    with pytest.raises(InputError, match="two of what"):
        evaluate([pair, pair], [Never()])


def four_bands(view: View) -> View:
    reflectance = view.reflectance.copy()
    reflectance[4:] = view.observed
    return replace(view, reflectance=reflectance, lacks=("swir1", "swir2"))


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.name)
def test_changes_leave_bands_that_are_absent_alone(view: View, truth: np.ndarray, change: Change) -> None:
    four = four_bands(view)
    changed = change.at(four, truth, change.levels[2]).view
    assert changed.lacks == four.lacks
    np.testing.assert_array_equal(changed.reflectance[4:], four.reflectance[4:])
    assert (changed.reflectance[:4] != four.reflectance[:4]).any()
    if change.name == "band shift":
        np.testing.assert_array_equal(changed.reflectance[3], four.reflectance[3])


def nir() -> nn.Module:
    """Water where near infrared is below 0.10005, if both bands of shortwave infrared are 1."""
    model = nn.Conv2d(6, 1, 1, bias=False)
    model.weight.data = torch.tensor([0.0, 0.0, 0.0, -20.0, 1.0, 1.001]).reshape(1, 6, 1, 1)
    return model.eval()


def test_scenes_without_shortwave_infrared(tmp_path: Path, folder: Path) -> None:
    reflectance, water = simulate_scene(48, 64, 5)
    numbers = np.round(reflectance[:4] * 10_000).astype(np.uint16)
    write_raster(folder / "four.tif", numbers, BANDS[:4], scales=(1e-4,) * 4, offsets=(0.0,) * 4)
    write_raster(folder / "four_mask.tif", water.astype(np.uint8))
    pairs = find_pairs(str(folder), None, {})
    alone = [pair for pair in pairs if pair.name == "four"]
    able = NetworkMethod(own_network(nir(), "nir", "logits", without_swir=True))
    needing = NetworkMethod(own_network(awei(), "awei", "logits"))
    with pytest.raises(InputError, match="four: has no swir1 and swir2, which the network awei needs"):
        evaluate(pairs, [able, needing])

    said: list[str] = []
    found = evaluate(alone, [able, *rules()], progress=said.append)
    assert list(found.total) == ["nir ≥ 0.5", "NDWI > 0"]
    assert list(found.curves[0].scores) == ["nir ≥ 0.5", "NDWI > 0"]
    expected = Confusion.of(numbers[3] <= 1000, water > 0, np.ones_like(water, bool))
    assert found.total["nir ≥ 0.5"].confusion == expected
    assert [each.name for each in found.missing] == [method.name for method in rules()[1:]]
    assert "MNDWI > 0: left out, as it needs shortwave infrared, which no scene has" in said

    mixed = evaluate(pairs, [able, *rules()], curves=False)
    assert mixed.scenes["four"]["MNDWI > 0"].unobserved_share == 1
    assert mixed.scenes["s3"]["MNDWI > 0"].unobserved_share == 0
    assert {each.confusion.pixels for each in mixed.total.values()} == {3 * 48 * 64}
    why = "unobserved on 1 of 3 scenes, which lack the shortwave infrared that it needs"
    assert mixed.as_dict()["missing"]["DSWE, 2 of 5 tests"] == why
    assert "NDWI > 0" not in mixed.as_dict()["missing"]


def test_csmask_has_a_network_of_four_bands(view: View) -> None:
    from ukis_csmask.mask import CSmask

    answer = CsMask("0").map(four_bands(view))
    image = np.ascontiguousarray(np.moveaxis(view.reflectance[:4], 0, -1))
    with pytest.warns(UserWarning, match="smaller"):
        own = CSmask(image, BANDS[:4]).csm[..., 0]
    np.testing.assert_array_equal((answer.classes == 254)[view.observed], (own > 0)[view.observed])


def test_peers_are_found_or_said_to_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "ukis_csmask.mask", None)
    monkeypatch.setitem(sys.modules, "waterdetect", None)
    found, missing = find_peers()
    assert found == []
    assert [each.name for each in missing] == ["ukis-csmask", "waterdetect"]
    assert all("narrows[peers]" in each.why for each in missing)


def test_csmask_answers_as_its_own_clouds_say(view: View) -> None:
    from ukis_csmask.mask import CSmask

    answer = CsMask("0").map(view)
    image = np.ascontiguousarray(np.moveaxis(view.reflectance, 0, -1))
    with pytest.warns(UserWarning, match="smaller"):
        own = CSmask(image, BANDS).csm[..., 0]
    np.testing.assert_array_equal((answer.classes == 254)[view.observed], (own > 0)[view.observed])
    assert (answer.classes == 255).sum() == (~view.observed).sum()
    assert answer.probability is not None
    assert np.isfinite(answer.probability[answer.classes <= 1]).all()


def test_waterdetect_finds_the_water_of_a_simple_scene(truth: np.ndarray) -> None:
    found, _ = find_peers()
    peer = next(each for each in found if isinstance(each, WaterDetect))
    reflectance, water = simulate_scene(96, 96, 3)
    seen = np.ones(water.shape, bool)
    answer = peer.map(View("made", reflectance, seen, ~seen))
    assert set(np.unique(answer.classes)) == {0, 1}
    assert ((answer.classes == 1) & (water > 0)).sum() > 0.5 * (water > 0).sum()
    again = peer.map(View("made", reflectance, seen, ~seen))
    np.testing.assert_array_equal(answer.classes, again.classes)


def test_ukis_csmask_is_asked_for_its_network_of_six_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    mask = pytest.importorskip("ukis_csmask.mask")
    made = []
    original = mask.CSmask.__init__

    def remembered(self: Any, *arguments: Any, **more: Any) -> None:
        made.append(self)
        original(self, *arguments, **more)

    monkeypatch.setattr(mask.CSmask, "__init__", remembered)
    seen = np.ones((40, 40), bool)
    CsMask("0.2.1").map(View("small", np.full((6, 40, 40), 0.1, np.float32), seen, ~seen))
    assert made[0].model_file.endswith("model_6b.onnx")
