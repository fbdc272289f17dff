from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from click.testing import CliRunner, Result

from conftest import pond, write_scene
from narrows.cli import narrows


def run(*arguments: object) -> Result:
    return CliRunner().invoke(narrows, ["water", "evaluate", *[str(argument) for argument in arguments]])


@pytest.fixture
def mask(tmp_path: Path, scene: Path) -> Path:
    classes = pond().astype(np.uint8)
    classes[40:45, 60:70] = 2
    with rasterio.open(scene) as given:
        profile = {"driver": "GTiff", "height": 60, "width": 80, "count": 1, "dtype": "uint8"}
        place = {"crs": given.crs, "transform": given.transform}
    path = tmp_path / "truth.tif"
    with rasterio.open(path, "w", **profile, **place) as out:
        out.write(classes, 1)
    return path


def test_scores_of_one_scene(tmp_path: Path, scene: Path, mask: Path, index_network: str) -> None:
    plots = tmp_path / "plots"
    plots.mkdir()
    arguments = (
        scene, "--mask", mask, "--model", index_network, "--gives", "logits", "--no-peers", "--no-curves",
        "--stats", tmp_path / "s.json", "--plots", plots, "--json",
    )  # fmt: skip
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert said == json.loads((tmp_path / "s.json").read_text())
    total = said["total"]["MNDWI > 0"]
    assert total["iou"] == 1
    assert total["pixels"] == 60 * 80 - 50
    assert said["total"]["index.py:awei ≥ 0.5"]["recall_by_size"][1] == {
        "size": "4 to 15 px", "bodies": 1, "bodies_found": 1, "pixels": 4, "recall": 1.0,
    }  # fmt: skip
    assert (plots / "scores.png").exists()
    assert not (plots / "curves.png").exists()
    again = run(*arguments)
    assert again.exit_code == 2
    assert "overwrite" in again.output


def test_tables_are_for_people(scene: Path, mask: Path, index_network: str) -> None:
    result = run(scene, "--mask", mask, "--model", index_network, "--gives", "logits", "--no-peers", "--no-curves")
    assert result.exit_code == 0, result.output
    assert "DSWE, 2 of 5 tests" in result.stdout
    assert "Unobserved pixels count as wrong" in result.stdout


def test_a_mask_of_another_scene_is_one_line(tmp_path: Path, scene: Path, mask: Path) -> None:
    other = write_scene(tmp_path / "other.tif", pond(50, 80))
    result = run(other, "--mask", mask)
    assert result.exit_code == 2
    assert result.output.splitlines()[-1].startswith("Error: truth.tif: has 60 x 80 pixels")
    for given, said in (((scene,), "--mask"), ((scene, "--mask", tmp_path / "no.tif"), "no such file")):
        result = run(*given)
        assert result.exit_code == 2
        assert said in result.output
