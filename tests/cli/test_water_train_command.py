from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
from affine import Affine
from click.testing import CliRunner, Result

from conftest import pond, write_scene
from narrows.cli import narrows
from narrows.networks.water_net import WaterNet
from narrows.water.model_files import WaterModel, save_model_file
from narrows.water.simulation import write_scene as simulate

QUICK = ("--steps", 2, "--batch", 1, "--crop", 32, "--threads", 1)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(narrows, ["water", *[str(argument) for argument in arguments]])


def refused(result: Result, *words: str) -> None:
    """One line that says `words`, exit code 2."""
    assert result.exit_code == 2, (result.output, result.exception)
    lines = [line for line in result.stderr.splitlines() if line.startswith("Error:")]
    assert len(lines) == 1
    assert result.stderr.rstrip().endswith(lines[0])
    for word in words:
        assert word in lines[0]


def write_mask(scene: Path, classes: np.ndarray, **more: Any) -> Path:
    with rasterio.open(scene) as given:
        profile = {"driver": "GTiff", "height": classes.shape[0], "width": classes.shape[1], "count": 1}
        profile |= {"dtype": classes.dtype, "crs": given.crs, "transform": given.transform} | more
    path = scene.with_name(f"{scene.stem}_mask.tif")
    with rasterio.open(path, "w", **profile) as out:
        out.write(classes, 1)
    return path


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    """A folder with one scene and its mask."""
    folder = tmp_path / "labelled"
    folder.mkdir()
    write_mask(write_scene(folder / "pond.tif", pond(96, 128)), pond(96, 128).astype(np.uint8))
    return folder


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A very small network to begin with."""
    torch.manual_seed(5)
    path = tmp_path / "small.safetensors"
    save_model_file(WaterModel("small", WaterNet((6, 4, 6, 8), (1, 1)).eval()), path)
    return path


def test_simulated_scenes_teach_and_the_file_is_a_model(tmp_path: Path, small: Path) -> None:
    folder, output = tmp_path / "scenes", tmp_path / "mine.safetensors"
    folder.mkdir()
    for seed in (3, 4):
        simulate(folder / f"s{seed}.tif", 96, 128, seed, truth=folder / f"s{seed}_mask.tif", borders=False)
    given = ("train", folder, "-o", output, "--from", small, *QUICK)
    made = run(*given)
    assert made.exit_code == 0, made.output
    assert "pixels, as the scenes are too few to keep one apart" in made.stderr
    assert "validation F1" in made.stderr
    assert "before: small" in made.stdout
    assert "2 steps in" in made.stdout
    assert (
        (tmp_path / "mine.training" / "log.csv")
        .read_text()
        .startswith("step,loss,validation_f1,validation_iou,seconds")
    )
    refused(run(*given), "mine.safetensors exists", "--overwrite")
    again = run(*given, "--overwrite", "--json")
    said = json.loads(again.stdout)
    assert said["steps"] == 2
    assert said["data"]["training"]["scenes"] == 2
    assert set(said["validation"]) == {"before: small", "trained"}
    refused(run(*given, "--overwrite", "--seed", 1), "another training: there seed is 0, here 1", "--run-folder")
    mapped = run(folder / "s3.tif", "-o", tmp_path / "map.tif", "--model", output, "--json")
    assert mapped.exit_code == 0, mapped.output
    with rasterio.open(tmp_path / "map.tif") as opened:
        assert opened.tags()["NARROWS_MODEL"].startswith("mine ")
        assert set(np.unique(opened.read(1))) <= {0, 1, 254, 255}
    hiding = run(folder / "s3.tif", "-o", tmp_path / "hiding.tif", "--model", output, "--mask-clouds")
    assert hiding.exit_code == 0, hiding.output
    refused(run(folder / "s3.tif", "-o", tmp_path / "x.tif", "--model", output, "--arg", "a=1"), "leave out")


def test_a_mask_that_is_not_its_scene_s(labelled: Path, small: Path, tmp_path: Path) -> None:
    scene, output = labelled / "pond.tif", tmp_path / "m.safetensors"
    right = pond(96, 128).astype(np.uint8)
    for classes, more, words in (
        (right[:90], {}, ["90 x 128 pixels", "96 x 128"]),
        (right, {"crs": "EPSG:32631"}, ["EPSG:32631", "EPSG:32630"]),
        (right, {"transform": Affine(30, 0, 300_015, 0, -30, 6_000_000)}, ["bring both to one grid"]),
        (right * 7, {}, ["holds 7", "classes of a mask"]),
        (right.astype(np.float32), {}, ["float32", "holds classes"]),
        (right * 0, {}, ["labelled water"]),
        (right * 0 + 1, {}, ["labelled land"]),
        (right * 0 + 2, {}, ["no pixel to score"]),
    ):
        write_mask(scene, classes, **more)
        refused(run("train", labelled, "-o", output, "--from", small, "--validation", 0, *QUICK), *words)
    (labelled / "pond_mask.tif").unlink()
    refused(run("train", labelled, "-o", output, *QUICK), "holds no NAME_mask.tif")
    write_mask(scene, right).rename(labelled / "lake_mask.tif")
    refused(run("train", labelled, "-o", output, *QUICK), "no scene called lake")
    assert not (tmp_path / "m.training").exists()


def test_a_scene_that_cannot_teach(tmp_path: Path, small: Path) -> None:
    def trained(water: np.ndarray, *more: object, **scene: Any) -> Result:
        write_mask(write_scene(tmp_path / "s.tif", water, **scene), water.astype(np.uint8))
        return run("train", tmp_path, "-o", tmp_path / "m.safetensors", "--from", small, *QUICK, *more)

    refused(trained(pond(96, 128), count=3), "nir")
    refused(trained(pond(20, 30), "--validation", 0), "too few pixels", "at least 1,000")
    empty = np.ones((96, 128), bool)
    refused(trained(pond(96, 128), "--validation", 0, missing=empty), "where the scene has data")
    few = np.zeros((96, 128), bool)
    few[40:48, 40:48] = True
    refused(trained(few), "can't both teach and validate", "--validation-folder")


def test_options_that_make_no_sense(labelled: Path, small: Path, tmp_path: Path) -> None:
    output = tmp_path / "m.safetensors"
    for options, words in (
        (("--from", "ocean"), ["--from ocean", "scratch"]),
        (("--from", tmp_path / "no.safetensors"), ["no such file"]),
        (("--size", "water"), ["--size", "scratch"]),
        (("--from", "scratch", "--size", "huge"), ["water-small"]),
        (("--crop", 16), ["--crop 16", "at least 32"]),
        (("--steps", 0), ["--steps 0"]),
        (("--rate", 0), ["--rate 0"]),
        (("--rate", "nan"), ["--rate nan"]),
        (("--validation", 1), ["--validation 1"]),
        (("--simulated", 0.9, "--batch", 2), ["no crop of yours"]),
        (("--validation", 0.1, "--validation-folder", labelled), ["contradict"]),
        (("--validation-folder", labelled), ["pond.tif is among the scenes to train on"]),
        (("--run-folder", labelled), ["holds other files"]),
        (("--memory", "lots"), ["lots"]),
    ):
        refused(run("train", labelled, "-o", output, *options), *words)
    refused(run("train", labelled, "-o", tmp_path / "m.pt"), "ending .safetensors")
    refused(run("train", labelled, "-o", tmp_path / "no" / "m.safetensors"), "doesn't exist")
    refused(run("train", labelled / "pond.tif", "-o", output), "folder of scenes and masks")
    if not torch.cuda.is_available():
        refused(run("train", labelled, "-o", output, "--device", "cuda"), "--device cuda")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["labelled", "small.safetensors"]


def test_an_interrupt_leaves_a_checkpoint_and_says_how_to_go_on(labelled: Path, small: Path, tmp_path: Path) -> None:
    output = tmp_path / "m.safetensors"
    options = [
        "--steps",
        "200",
        "--batch",
        "1",
        "--crop",
        "32",
        "--threads",
        "1",
        "--from",
        str(small),
        "--patience",
        "0",
    ]
    command = [sys.executable, "-m", "narrows", "water", "train", str(labelled), "-o", str(output), *options]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=dict(os.environ))
    checkpoint = tmp_path / "m.training" / "checkpoint.pt"
    while not checkpoint.exists() and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate()
    assert process.returncode == 130, said
    assert said.rstrip().splitlines()[-1] == (
        f"Interrupted; the same command goes on from the checkpoint in {checkpoint.parent}."
    )
    assert not output.exists()
    result = run(*command[4:], "-q")
    assert result.exit_code == 0, result.output
    assert result.output == ""
    steps = [line.split(",")[0] for line in (checkpoint.parent / "log.csv").read_text().splitlines()]
    assert steps == ["step", *(str(step) for step in range(10, 201, 10))]
