"""The training loop learns, and goes on where it was interrupted."""

from __future__ import annotations

import json

import pytest
import torch

from narrows.imaging.dead_leaves import LeafPool
from narrows.imaging.recipes import curve, task
from narrows.imaging.tasks import TASKS, grey
from narrows.imaging.training import Settings, leaf_pool, train

SMALL = {"widths": [4, 4], "blocks": [1, 1], "horizontal": 3, "expand": 1}


@pytest.fixture(scope="module")
def pool():
    return LeafPool(2, 48, seed=0)


def settings(**more):
    return Settings(**{"steps": 12, "batch": 2, "rows": 16, "columns": 16, "warm": 2, "save_every": 5, **more})


def trained(folder, pool, how):
    torch.manual_seed(0)
    core = curve.core_of(SMALL)
    train(core, pool, curve.noisy, folder, how)
    return core.state_dict()


def test_learns(tmp_path, pool):
    torch.manual_seed(0)
    core = curve.core_of(SMALL)
    clean = pool.draw(4, 32, 32, torch.Generator().manual_seed(9))
    inputs, target = curve.noisy(clean, torch.Generator().manual_seed(1))
    before = float((core(inputs) - target).detach().square().mean())
    train(core, pool, curve.noisy, tmp_path, settings(steps=60))
    assert float((core(inputs) - target).detach().square().mean()) < 0.7 * before and not core.training


def test_goes_on_from_its_checkpoint(tmp_path, pool, monkeypatch):
    whole = trained(tmp_path / "whole", pool, settings())
    drawn = []

    def interrupted(clean, generator):
        drawn.append(1)
        if len(drawn) == 8:
            raise KeyboardInterrupt
        return curve.noisy(clean, generator)

    torch.manual_seed(0)
    with pytest.raises(KeyboardInterrupt):
        train(curve.core_of(SMALL), pool, interrupted, tmp_path / "again", settings())
    again = trained(tmp_path / "again", pool, settings())
    for name, tensor in whole.items():
        torch.testing.assert_close(again[name], tensor, rtol=0, atol=0)


def test_the_pool_is_kept_in_its_file(tmp_path):
    first = leaf_pool(tmp_path / "leaves.pt", plates=1, seed=3)
    assert torch.equal(leaf_pool(tmp_path / "leaves.pt").plates, first.plates)


@pytest.mark.parametrize("recipe", ["curve", "task"])
def test_one_command_writes_weights_and_scores(recipe, tmp_path, monkeypatch, pool):
    module = {"curve": curve, "task": task}[recipe]
    monkeypatch.setattr(module, "leaf_pool", lambda file: pool)
    arguments = ["--out", str(tmp_path / "made"), "--core", json.dumps({**SMALL, "stem": 0, "states": [4, 4]})]
    arguments += ["--steps", "2", "--batch", "1", "--rows", "16", "--columns", "16"]
    module.main(arguments if recipe == "curve" else ["demosaic", *arguments])
    result = json.loads((tmp_path / "made" / "result.json").read_text())
    assert {score["photograph"] for score in result["scores"]} >= {"astronaut", "china"}
    assert all(score["psnr"] > 5 for score in result["scores"])
    assert list((tmp_path / "made").glob("*.safetensors"))


def test_colours_are_made_paler_or_stronger_and_nothing_else():
    clean = torch.rand(64, 3, 5, 4, generator=torch.Generator().manual_seed(1)) * 0.2 + 0.4
    made = task.vivid(clean, torch.Generator().manual_seed(2))
    torch.testing.assert_close(grey(made), grey(clean))
    spread = (made - grey(made)).std((1, 2, 3)) / (clean - grey(clean)).std((1, 2, 3))
    assert spread.min() < 0.5 and spread.max() > 2.5
    # Colours that are to be guessed are left as they are, and a grey result has none.
    for name, changed in {"demosaic": True, "denoise-sensor": True, "colourise": False, "denoise": False}.items():
        draws = (task.drawing(TASKS[name]), TASKS[name].degrade)
        drawn = [draw(clean, torch.Generator().manual_seed(3))[1] for draw in draws]
        assert torch.equal(*drawn) != changed
