from __future__ import annotations

import json
import os
import textwrap

import numpy as np
import pytest
import rasterio
import torch
from click.testing import CliRunner

from conftest import pond, write_scene
from narrows.cli import narrows
from narrows.cli.model_argument import read_model


@pytest.fixture
def nets(tmp_path):
    path = tmp_path / "nets.py"
    path.write_text(
        textwrap.dedent(
            """
            import torch
            from torch import nn

            class Pyramid(nn.Module):
                def __init__(self):
                    super().__init__()
                    torch.manual_seed(3)
                    self.fine = nn.Conv2d(6, 2, 3, padding=1)
                    self.coarse = nn.Conv2d(2, 3, 2, stride=2)

                def forward(self, x):
                    fine = torch.relu(self.fine(x))
                    return {"fine": fine, "coarse": self.coarse(fine)}

            def same(width=4):
                torch.manual_seed(0)
                return nn.Sequential(nn.Conv2d(6, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, 1, 3, padding=1))

            def pooled():
                return nn.InstanceNorm2d(6)
            """
        )
    )
    return str(path)


def call(*arguments):
    return CliRunner().invoke(narrows, [str(argument) for argument in arguments])


def expected(model: str, path) -> object:
    with rasterio.open(path) as given:
        bands = given.read().astype(np.float32)
    with torch.no_grad():
        return read_model(model)(torch.from_numpy(bands)[None])


def test_a_network_over_a_raster(tmp_path, scene, nets):
    result = call("run", f"{nets}:same", scene, "-o", tmp_path / "o.tif", "--memory", "2GB", "--strip", "16")
    assert result.exit_code == 0, result.output
    whole = expected(f"{nets}:same", scene)[0].numpy()
    with rasterio.open(tmp_path / "o.tif") as out, rasterio.open(scene) as given:
        np.testing.assert_allclose(out.read(), whole, atol=1e-5 * np.abs(whole).max())
        assert out.transform == given.transform
        assert out.crs == given.crs


def test_each_output_has_its_own_grid(tmp_path, scene, nets):
    result = call("run", f"{nets}:Pyramid", scene, "-o", tmp_path / "o.tif", "--json")
    assert result.exit_code == 0, result.output
    assert {os.path.basename(name): shape for name, shape in json.loads(result.stdout)["outputs"].items()} == {
        "o_fine.tif": [2, 60, 80], "o_coarse.tif": [3, 30, 40],
    }  # fmt: skip
    whole = expected(f"{nets}:Pyramid", scene)
    for name in ("fine", "coarse"):
        with rasterio.open(tmp_path / f"o_{name}.tif") as out, rasterio.open(scene) as given:
            reference = whole[name][0].numpy()
            np.testing.assert_allclose(out.read(), reference, atol=1e-5 * np.abs(reference).max())
            assert out.bounds == given.bounds
            assert out.res == ((30, 30) if name == "fine" else (60, 60))


def test_what_run_refuses(tmp_path, scene, nets):
    small = write_scene(tmp_path / "three.tif", pond(), count=3)
    (tmp_path / "there.tif").touch()
    cases = [
        ((f"{nets}:same", small, "-o", tmp_path / "o.tif"), "has 3 bands, but the network"),
        ((f"{nets}:same", tmp_path / "no.tif", "-o", tmp_path / "o.tif"), "no such file"),
        ((f"{nets}:pooled", scene, "-o", tmp_path / "o.tif"), "every row"),
        ((f"{nets}:same", scene, "-o", tmp_path / "there.tif"), "--overwrite"),
        ((f"{nets}:same", scene, "-o", tmp_path / "no" / "o.tif"), "doesn't exist"),
        ((f"{nets}:same", scene, "-o", tmp_path / "o.tif", "--memory", "1MB"), "smallest"),
        ((f"{nets}:same", scene, "-o", tmp_path / "o.tif", "--memory", "lots"), "amount of memory"),
        ((f"{nets}:Pyramid", scene, "-o", tmp_path / "a.tif", "-o", tmp_path / "b.tif", "-o", "c.tif"), "2 outputs"),
    ]
    before = sorted(os.listdir(tmp_path))
    for arguments, words in cases:
        result = call("run", *arguments)
        assert result.exit_code == 2, (arguments, result.output, result.exception)
        assert words in result.stderr
        assert len(result.stderr.splitlines()) == 1
    assert sorted(os.listdir(tmp_path)) == before


def test_a_plan(nets):
    result = call("plan", f"{nets}:same", "--size", "500x300", "--memory", "3GB")
    assert result.exit_code == 0, result.output
    assert "500 x 300" in result.output
    plan = json.loads(call("plan", f"{nets}:same", "--size", "500x300", "--arg", "width=8", "--json").stdout)
    assert plan["height"] == 500
    assert plan["ledger"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--size", "500"), "--size"),
        (("--size", "500x300", "--memory", "lots"), "amount of memory"),
        (("--size", "500x300", "--memory", "1MB"), "smallest"),
        (("--size", "500x300", "--arg", "depth=3"), "depth"),
        (("--size", "0x300"), "at least one row"),
    ],
)
def test_plans_refused(nets, arguments, words):
    result = call("plan", f"{nets}:same", *arguments)
    assert result.exit_code == 2
    assert words in result.stderr
    assert len(result.stderr.splitlines()) == 1
