"""`narrows water compare` and `narrows water series`, beside the command that maps."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from click.testing import CliRunner, Result

from conftest import pond, write_scene
from narrows.cli import narrows


@pytest.fixture
def scenes(tmp_path: Path) -> list[Path]:
    later = pond()
    later[3:5, -6:-4] = False
    later[50:55, 60:70] = True
    return [
        write_scene(tmp_path / "pond_20190114.tif", pond()),
        write_scene(tmp_path / "pond_20190130.tif", later),
    ]


def run(command: str, *arguments: object, network: str | None = None) -> Result:
    given = [str(argument) for argument in arguments]
    if network:
        given += ["--model", network, "--gives", "logits"]
    return CliRunner().invoke(narrows, ["water", command, *given])


def test_compare_maps_scenes_first(tmp_path: Path, scenes: list[Path], index_network: str) -> None:
    result = run("compare", *scenes, "-o", tmp_path / "c.tif", "--json", network=index_network)
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert said["classes"]["gain"] == {"pixels": 50, "km2": pytest.approx(50 * 900e-6)}
    assert said["classes"]["loss"] == {"pixels": 4, "km2": pytest.approx(4 * 900e-6)}
    assert said["before"] == "pond_20190114"
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".py", ".tif", ".tif", ".tif"]


def test_series_maps_scenes_once(tmp_path: Path, scenes: list[Path], index_network: str) -> None:
    out = tmp_path / "out"
    assert "no such folder" in run("series", *scenes, "-o", out).output
    out.mkdir()
    result = run("series", *scenes, "-o", out, "-q", network=index_network)
    assert result.exit_code == 0, result.output
    with rasterio.open(out / "occurrence.tif") as percent:
        values, counts = np.unique(percent.read(1), return_counts=True)
    assert dict(zip(values.tolist(), counts.tolist(), strict=True))[50] == 54
    made = (out / "pond_20190114_water.tif").stat().st_mtime_ns
    again = run("series", *scenes, "-o", out, "--overwrite", "--json", network=index_network)
    assert again.exit_code == 0, again.output
    assert (out / "pond_20190114_water.tif").stat().st_mtime_ns == made
    assert [entry["date"] for entry in json.loads(again.stdout)["dates"]] == ["2019-01-14", "2019-01-30"]


def test_a_map_knows_the_day_of_its_scene(tmp_path: Path, scenes: list[Path], narrows_water: object) -> None:
    result = narrows_water(scenes[0], "-o", tmp_path / "plain.tif")  # type: ignore[operator]
    assert result.exit_code == 0, result.output
    with rasterio.open(tmp_path / "plain.tif") as made:
        assert made.tags()["NARROWS_ACQUIRED"] == "2019-01-14"


def test_a_scene_called_like_a_command(tmp_path: Path, index_network: str, monkeypatch: pytest.MonkeyPatch) -> None:
    write_scene(tmp_path / "compare", pond())
    monkeypatch.chdir(tmp_path)
    for given in (["./compare", "-o", "m.tif"], ["-o", "n.tif", "compare"]):
        result = CliRunner().invoke(narrows, ["water", *given, "--model", index_network, "--gives", "logits", "-q"])
        assert result.exit_code == 0, result.output
    assert (tmp_path / "m.tif").read_bytes()
    assert (tmp_path / "n.tif").exists()


def test_help_names_the_commands_beside_the_map(tmp_path: Path) -> None:
    said = CliRunner().invoke(narrows, ["water", "--help"]).output
    assert "narrows water compare" in said
    assert "--quicklook" in said
    assert "Usage: narrows water [OPTIONS] SCENE..." in said
    below = CliRunner().invoke(narrows, ["water", "series", "--help"]).output
    assert "Usage: narrows water series [OPTIONS] SCENE..." in below


@pytest.mark.parametrize("command", ["compare", "series"])
def test_bad_input_is_one_line(tmp_path: Path, command: str) -> None:
    missing = [tmp_path / "a_20190101.tif", tmp_path / "b_20200101.tif"]
    out = tmp_path / "c.tif" if command == "compare" else tmp_path
    result = run(command, *missing, "-o", out)
    assert result.exit_code == 2
    assert result.output.startswith("Error: ") and result.output.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
