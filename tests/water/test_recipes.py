from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from narrows.errors import InputError
from narrows.water import weights
from narrows.water.indices import dswe, mndwi
from narrows.water.recipes.augmentation import Batch, add_atmosphere, add_clouds, augment
from narrows.water.recipes.chips import Chips, draw_split, read_chips, read_split
from narrows.water.recipes.clouds import score_real_chip, score_simulated_clouds
from narrows.water.recipes.default import Samples, main, train
from narrows.water.recipes.scoring import at_top_of_atmosphere, predict, score
from narrows.water.simulation import simulate_scene


def chips(n: int = 6, side: int = 64) -> Chips:
    pairs = [simulate_scene(side, side, seed, kind="lakes") for seed in range(n)]
    water = np.stack([w for _, w in pairs])
    return Chips(
        reflectance=np.stack([x for x, _ in pairs]),
        label=water,
        fmask_water=water.copy(),
        unclear=np.zeros(water.shape, bool),
        place=np.arange(n),
        tier=np.array(["A", "B"] * (n // 2)),
    )


def batch(n: int = 4, side: int = 96) -> Batch:
    x, water = simulate_scene(side, side * n, 2, kind="lakes")
    reflectance = torch.from_numpy(np.stack(np.split(x, n, 2)))
    target = torch.zeros(n, 2, side, side)
    target[:, 0] = torch.from_numpy(np.stack(np.split(water, n, 1)))
    return Batch(reflectance, target, torch.ones_like(target))


def test_split_keeps_places_apart_and_tests_on_thirty_at_least() -> None:
    split = read_split()
    places = [place for part in split.values() for place in part]
    assert len(places) == len(set(places)) == 192
    assert len(split["test"]) >= 30
    assert draw_split(places) == split


def test_chips_are_read_as_the_data_says(shared_data: Path) -> None:
    found = read_chips(shared_data / "water306" / "hls306_6band.npz")
    assert found.reflectance.shape == (306, 6, 128, 128)
    assert 0.05 < np.median(found.reflectance[:, 3]) < 0.4
    assert found.label.mean() == pytest.approx(0.26, abs=0.01)
    assert ((found.label == 1) & (found.fmask_water == 0)).mean() == pytest.approx(0.08, abs=0.01)
    assert set(found.place.tolist()) == {place for part in read_split().values() for place in part}
    assert not (found.known & (found.label != found.fmask_water)).any()
    assert set(found.at_places([3, 5]).place.tolist()) == {3, 5}


def test_a_file_that_is_no_chips_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "other.npz", img=np.zeros(3))
    for path in (tmp_path / "other.npz", tmp_path / "none.npz"):
        with pytest.raises(InputError, match="labelled chips"):
            read_chips(path)


def test_augmentation_repeats_with_its_generator_and_keeps_shapes() -> None:
    one, two, other = (augment(batch(), torch.Generator().manual_seed(s)) for s in (1, 1, 2))
    assert torch.equal(one.reflectance, two.reflectance)
    assert not torch.equal(one.reflectance, other.reflectance)
    for part in (one.target, one.weight):
        assert part.shape == (4, 2, 96, 96)
    assert set(one.target.unique().tolist()) <= {0.0, 1.0}
    assert torch.isfinite(one.reflectance).all()


def test_clouds_hide_and_shadows_leave_water_water() -> None:
    clear = batch(8)
    found = add_clouds(clear, torch.Generator().manual_seed(3), share=1.0)
    hidden = found.target[:, 1] > 0
    assert 0.02 < hidden.float().mean() < 0.98
    blue, before = found.reflectance[:, 0], clear.reflectance[:, 0]
    under_cloud, in_shadow = hidden & (blue > before + 0.1), hidden & (blue < before)
    assert under_cloud.any()
    assert in_shadow.any()
    assert torch.equal(found.target[:, 0][in_shadow], clear.target[:, 0][in_shadow])
    gone = (found.target[:, 0] == 0) & (clear.target[:, 0] == 1)
    assert gone.any()
    assert hidden[gone].all()


def test_atmosphere_raises_blue_most_and_dims_nothing_dark() -> None:
    x = torch.full((1, 6, 2, 2), 0.03)
    rise = (add_atmosphere(x, torch.tensor(0.1)) - x)[0, :, 0, 0]
    assert (rise > 0).all()
    assert (rise.diff() < 0).all()
    assert rise[0] == pytest.approx(0.1, abs=0.01)


def test_indices_against_figures_by_hand() -> None:
    water = np.array([0.05, 0.06, 0.04, 0.02, 0.01, 0.005], np.float32).reshape(6, 1, 1)
    forest = np.array([0.02, 0.04, 0.025, 0.30, 0.12, 0.05], np.float32).reshape(6, 1, 1)
    assert mndwi(water).item() == pytest.approx(5 / 7)
    assert mndwi(forest).item() == pytest.approx(-0.5)
    assert bool(dswe(water)) is True
    assert bool(dswe(forest)) is False
    assert mndwi(np.zeros((6, 1, 1), np.float32)).item() == 0


def test_score_by_hand() -> None:
    found = score(np.array([1, 1, 0, 0, 1], bool), np.array([1, 0, 1, 0, 0], bool), np.array([1, 1, 1, 1, 0], bool))
    assert found == (0.5, 0.5, 0.5, pytest.approx(1 / 3), 4)


def test_batches_hold_chips_and_crops_with_their_masks() -> None:
    samples = Samples(chips(), scenes=[14], size=(96, 128))
    found = samples.batch(3, 2, torch.Generator().manual_seed(0))
    assert found.reflectance.shape == (5, 6, 64, 64)
    wet = torch.from_numpy(mndwi(found.reflectance.numpy())) > 0
    agreement = (wet == (found.target[:, 0] > 0)).float().mean()
    assert agreement > 0.9


def test_training_stopped_and_continued_is_training_in_one_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("narrows.water.recipes.default.Samples", lambda c: Samples(c, [2], (64, 64)))
    torch.set_num_threads(1)
    whole = train(chips(), tmp_path / "whole", steps=4, save_every=2)

    class Stopped(Exception):
        pass

    taken = 0
    original = torch.optim.AdamW.step

    def step(self: torch.optim.AdamW, closure: None = None) -> None:
        nonlocal taken
        taken += 1
        if taken == 4:
            raise Stopped
        original(self, closure)

    with monkeypatch.context() as patched:
        patched.setattr(torch.optim.AdamW, "step", step)
        with pytest.raises(Stopped):
            train(chips(), tmp_path / "parts", steps=4, save_every=2)
    parts = train(chips(), tmp_path / "parts", steps=4, save_every=2)
    for name, tensor in whole.state_dict().items():
        torch.testing.assert_close(parts.state_dict()[name], tensor)


def test_the_command_writes_weights_that_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = chips(12)
    monkeypatch.setattr("narrows.water.recipes.default.Samples", lambda c: Samples(c, [2], (64, 64)))
    monkeypatch.setattr(
        "narrows.water.recipes.default.read_split",
        lambda: {"train": list(range(6)), "validation": [6, 7, 8], "test": [9, 10, 11]},
    )
    path = tmp_path / "chips.npz"
    np.savez(
        path,
        img=np.round(drawn.reflectance * 10000).astype(np.int16),
        qa=(drawn.fmask_water << 5).astype(np.uint8),
        label=drawn.label,
        place_id=drawn.place,
        tier=drawn.tier,
    )
    main(["--chips", str(path), "--out", str(tmp_path / "out"), "--steps", "3", "--threads", "1"])
    report = json.loads((tmp_path / "out" / "default.json").read_text())
    assert 0.2 <= report["threshold"] <= 0.8
    assert report["test"]["consensus"]["mndwi"][4] == 3 * 64 * 64
    monkeypatch.setattr(weights, "path", lambda name: tmp_path / "out" / "default.safetensors")
    assert not weights.load().training


def test_weights_of_another_name_are_refused() -> None:
    with pytest.raises(InputError, match="default"):
        weights.load("nothing")


@pytest.mark.parametrize("lit", [False, True])
def test_default_weights_map_a_simulated_scene(lit: bool) -> None:
    reflectance, water = simulate_scene(256, 512, 4)
    seen = at_top_of_atmosphere(reflectance[None]) if lit else reflectance[None]
    found = predict(weights.load(), seen)[0]
    assert score(found[0] >= 0.5, water > 0, np.ones(water.shape, bool)).iou > 0.85
    assert (found[1] >= 0.5).mean() < 0.02


def test_default_weights_beat_the_indices_on_places_never_seen(shared_data: Path) -> None:
    held_out = read_chips(shared_data / "water306" / "hls306_6band.npz").at_places(read_split()["test"])
    water = predict(weights.load(), held_out.reflectance)[:, 0] >= 0.5
    truth = held_out.label > 0
    ours = score(water, truth, held_out.known).iou
    assert ours > 0.88
    assert ours > score(mndwi(held_out.reflectance) > 0, truth, held_out.known).iou
    assert ours > score(dswe(held_out.reflectance), truth, held_out.known).iou


def test_default_weights_see_simulated_clouds_over_simulated_ground() -> None:
    found = score_simulated_clouds(weights.load(), chips(6, 128))
    assert found["hidden"].iou > 0.7
    assert found["hidden"].precision > 0.85


def test_default_weights_see_the_clouds_of_a_real_chip(shared_data: Path) -> None:
    with np.load(shared_data / "cloudy" / "sentinel2_l1c.npz") as data:
        reflectance, classes = np.ascontiguousarray(data["img"].transpose(2, 0, 1)), data["msk"][..., 0]
    scores, shares = score_real_chip(weights.load(), reflectance, classes)
    assert scores["hidden"].precision > 0.9
    assert scores["hidden"].recall > 0.7
    assert shares["land called hidden"] < 0.01
    assert shares["shadow called water"] < 0.01 < shares["shadow called water, MNDWI > 0"]
    assert scores["water"].f1 > 5 * scores["water, MNDWI > 0"].f1
