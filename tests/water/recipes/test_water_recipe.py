from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from rasterio.transform import from_origin
from safetensors.torch import load_file
from scipy import ndimage

from narrows.networks.water_net import water_small
from narrows.water.recipes import pool as pools
from narrows.water.recipes import training
from narrows.water.recipes.augmentation import Batch
from narrows.water.recipes.loss import loss_of
from narrows.water.recipes.pool import Pool
from narrows.water.recipes.training import Mixture, main
from narrows.water.simulation import Chip, simulate_chip, simulate_scene


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "_SHARD", 4)
    monkeypatch.setattr(pools, "SIDE", 48)
    monkeypatch.setattr(training, "SIMULATED", 8)
    monkeypatch.setattr(training, "SKIES", 8)
    monkeypatch.setattr(training, "DIFFICULT", 6)
    monkeypatch.setattr(training, "CHECKED", 2)


def chips(path: Path) -> Path:
    pairs = [simulate_scene(48, 48, seed, kind="lakes") for seed in range(6)]
    label = np.stack([w for _, w in pairs])
    images = np.stack([np.round(x * 10_000) for x, _ in pairs]).astype(np.int16)
    qa = (label << 5).astype(np.uint8)
    np.savez(path, img=images, qa=qa, label=label, place_id=np.arange(6), tier=np.array(["A"] * 6))
    return path


def test_the_loss_is_small_where_the_answer_is_right() -> None:
    target = (torch.rand(2, 2, 16, 16) > 0.5).float()
    batch = Batch(torch.zeros(2, 6, 16, 16), target, torch.ones_like(target))
    right, wrong = 12 * (2 * target - 1), 12 * (1 - 2 * target)
    assert loss_of(right, batch).item() < 1e-3
    assert loss_of(wrong, batch).item() > 10
    unknown = Batch(batch.reflectance, target, torch.zeros_like(target))
    assert loss_of(wrong, unknown).item() == 0
    hidden = torch.cat((right[:, :1], wrong[:, 1:]), 1)
    assert loss_of(hidden, batch).item() == pytest.approx(6, abs=0.1)


def test_a_batch_mixes_the_kinds_or_is_simulated_alone() -> None:
    def pool(value: float) -> Pool:
        labels = np.full((4, 4, 48, 48), 255, np.uint8)
        return Pool([np.full((4, 6, 48, 48), value, np.float16)], [labels])

    plain = Batch(torch.full((5, 6, 48, 48), 0.1), torch.zeros(5, 2, 48, 48), torch.zeros(5, 2, 48, 48))
    drawn = Mixture(pool(0.3), pool(0.2), plain).draw(torch.Generator().manual_seed(0))
    level = drawn.reflectance[:, :4].flatten(1).median(1).values
    assert level[:3].max() < level[8:].median() * 0.7
    assert drawn.weight[:3].max() == 0 < drawn.weight[3:].max()
    more = Mixture(pool(0.3), pool(0.2), plain, difficult=pool(0.9)).draw(torch.Generator().manual_seed(0))
    assert more.reflectance.shape == drawn.reflectance.shape == (16, 6, 48, 48)
    assert int((more.reflectance[:, :4].flatten(1).median(1).values > 0.55).sum()) == 3
    alone = Mixture(pool(0.3)).draw(torch.Generator().manual_seed(0))
    assert alone.reflectance.shape == (16, 6, 48, 48)
    assert (alone.reflectance[:, :4].flatten(1).median(1).values > 0.1).float().mean() > 0.8


def test_difficult_chips_hold_more_small_waters_and_more_shaded_ground(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "SIDE", 96)
    chips: list[Chip] = []
    monkeypatch.setattr(
        pools, "simulate_chip", lambda *args, **how: chips.append(simulate_chip(*args, **how)) or chips[-1]
    )

    def small_water_and_shade(make: Callable[[int], tuple[np.ndarray, np.ndarray]]) -> tuple[int, float]:
        chips.clear()
        wet = [make(number)[1][0] > 127 for number in range(24)]
        small = sum(int((each & ~ndimage.binary_opening(each, np.ones((3, 3)))).sum()) for each in wet)
        return small, float(np.mean([(chip.shade < 0.2).mean() for chip in chips]))

    (small, shade), (usual_small, usual_shade) = map(small_water_and_shade, (pools.difficult, pools.simulated))
    assert small > 1.1 * usual_small
    assert shade > 3 * usual_shade


@pytest.mark.parametrize("real", [True, False])
def test_the_command_writes_weights_that_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, real: bool) -> None:
    monkeypatch.setattr(training, "read_split", lambda: {"train": [0, 1, 2], "validation": [3, 4], "test": [5]})
    given = ["--chips", str(chips(tmp_path / "chips.npz"))] if real else []
    main(["water-small", *given, "--out", str(tmp_path / "out"), "--steps", "2", "--threads", "1"])
    report = json.loads((tmp_path / "out" / "water-small.json").read_text())
    assert report["chips"] is real
    assert set(report["validation"]) == ({"simulated", "chips", "chips under other skies"} if real else {"simulated"})
    assert 0 <= report["validation"]["simulated"]["water"] <= 1
    model = water_small()
    model.load_state_dict(load_file(tmp_path / "out" / "water-small.safetensors"))
    assert (tmp_path / "out" / "pools" / "skies").exists() is real


def drawn(folder: Path) -> Path:
    """A list of one scene with its mask, a corner of it cloud."""
    reflectance, water = simulate_scene(64, 64, 3, kind="lakes")
    grid = {"driver": "GTiff", "height": 64, "width": 64, "transform": from_origin(0, 0, 30, 30), "crs": "EPSG:32633"}
    with rasterio.open(folder / "lakes.tif", "w", count=6, dtype="float32", **grid) as file:
        file.write(reflectance)
        file.descriptions = ("blue", "green", "red", "nir", "swir1", "swir2")
    mask = water.astype(np.uint8)
    mask[:20, :20] = 3
    with rasterio.open(folder / "lakes_mask.tif", "w", count=1, dtype="uint8", **grid) as file:
        file.write(mask, 1)
    (folder / "pairs.csv").write_text("scene,mask,scale\nlakes.tif,lakes_mask.tif,1\n")
    return folder / "pairs.csv"


def test_scenes_drawn_by_people_teach_in_a_second_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "read_split", lambda: {"train": [0, 1, 2], "validation": [3, 4], "test": [5]})
    monkeypatch.setattr(training, "SIDE", 48)
    given = ["water-small", "--chips", str(chips(tmp_path / "chips.npz")), "--drawn", str(drawn(tmp_path))]
    given += ["--pools", str(tmp_path / "pools"), "--steps", "2", "--second-steps", "3", "--threads", "1"]
    main([*given, "--out", str(tmp_path / "both")])
    report = json.loads((tmp_path / "both" / "water-small.json").read_text())
    assert report["drawn"] == ["lakes"]
    assert report["second"]["steps"] == 3
    first = torch.load(tmp_path / "both" / "checkpoint.pt", weights_only=True)
    second = torch.load(tmp_path / "both" / "second" / "checkpoint.pt", weights_only=True)
    assert (first["done"]["step"], second["done"]["step"]) == (2, 3)
    start = tmp_path / "both" / "water-small.safetensors"
    main([*given, "--from", str(start), "--out", str(tmp_path / "second")])
    assert not (tmp_path / "second" / "checkpoint.pt").exists()
    before, after = load_file(start), load_file(tmp_path / "second" / "water-small.safetensors")
    assert any(not torch.equal(before[name], after[name]) for name in before)


def test_a_network_to_go_on_from_needs_scenes_to_go_on_with(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["water-small", "--from", "x.safetensors", "--out", str(tmp_path / "out")])
    assert stopped.value.code == 2
    assert "--drawn" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
