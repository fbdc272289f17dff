from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image

from narrows.cli import narrows
from narrows.imaging import weights
from narrows.imaging.noise_level import NoiseLevel
from narrows.imaging.tasks import TASKS
from narrows.networks.imaging_core import imaging_core

SMALL: dict[str, Any] = {"widths": [4, 6], "blocks": [1, 1]}
TOLD = {
    "denoise": {"sigma": 20.0},
    "denoise-colour": {"sigma": 20.0},
    "denoise-sensor": {"gain": 0.01, "read": 3.0},
    "deblur-gaussian": {"sigma": 1.5},
    "deblur-motion": {"length": 7.0, "angle": 30.0},
    "colourise": {},
    "demosaic": {},
}


@pytest.fixture
def weights_for(tmp_path: Path) -> Callable[[str], Path]:
    """A file of random weights of a small core for a task."""

    def made(task: str) -> Path:
        arguments = {**SMALL, "out_channels": TASKS[task].gives}
        torch.manual_seed(1)
        path = tmp_path / f"{task}.safetensors"
        weights.save(imaging_core(**arguments), path, task, arguments)
        return path

    return made


def call(*arguments: object) -> Result:
    return CliRunner().invoke(narrows, ["enhance", *map(str, arguments)])


def options(condition: dict[str, float]) -> list[str]:
    return [text for name, value in condition.items() for text in (f"--{name}", str(value))]


def picture(path: Path, channels: int, height: int = 61, width: int = 47) -> np.ndarray:
    random = np.random.default_rng(channels)
    stored = random.integers(0, 255, (height, width, channels), np.uint8).squeeze()
    Image.fromarray(stored).save(path)
    return stored


def full_frame(task: str, file: Path, values: np.ndarray, condition: dict[str, float]) -> np.ndarray:
    """The repair of an image (channels, H, W), 0 to 1, in one piece, rounded to 8 bits."""
    fault, core = TASKS[task], weights.load(task, file)
    observed = torch.from_numpy(values)[None].expand(1, fault.takes, -1, -1)
    with torch.no_grad():
        made = core(fault.planes(observed, condition))[0, : fault.gives]
    return made.clamp(0, 1).numpy() * 255


@pytest.mark.parametrize("task", TASKS)
def test_each_task_is_the_full_frames_repair(tmp_path: Path, weights_for: Callable[[str], Path], task: str) -> None:
    stored = picture(tmp_path / "in.png", TASKS[task].takes)
    file = weights_for(task)
    result = call(
        tmp_path / "in.png", "-o", tmp_path / "out.png", "--task", task, "--weights", file, *options(TOLD[task]),
        "--strip", 7,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    values = np.atleast_3d(stored).transpose(2, 0, 1).astype(np.float32) / 255
    expected = full_frame(task, file, values, TOLD[task])
    with Image.open(tmp_path / "out.png") as image:
        made = np.atleast_3d(np.asarray(image)).transpose(2, 0, 1)
    assert made.shape == expected.shape == (TASKS[task].gives, 61, 47)
    assert np.abs(made - expected).max() <= 0.51
    assert made.std() > 5


def test_alpha_and_depth_stay_and_json_tells(tmp_path: Path, weights_for: Callable[[str], Path]) -> None:
    stored = picture(tmp_path / "in.png", 4)
    file = weights_for("deblur-gaussian")
    result = call(
        tmp_path / "in.png", "-o", tmp_path / "out.tif", "--task", "deblur-gaussian", "--sigma", 1, "--weights", file,
        "--json", "--memory", "2GB",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told.pop("seconds") > 0
    assert told == {
        "output": str(tmp_path / "out.tif"), "task": "deblur-gaussian", "height": 61, "width": 47, "channels": 3,
        "alpha": True, "depth": 8, "condition": {"sigma": 1.0}, "estimated": [], "orientation": 1,
    }  # fmt: skip
    with Image.open(tmp_path / "out.tif") as image:
        assert image.mode == "RGBA"
        np.testing.assert_array_equal(np.asarray(image)[..., 3], stored[..., 3])


def test_a_grey_image_is_sharpened_as_grey(tmp_path: Path, weights_for: Callable[[str], Path]) -> None:
    Image.fromarray((np.random.default_rng(0).random((40, 30)) * 65535).astype(np.uint16)).save(tmp_path / "in.png")
    file = weights_for("deblur-motion")
    result = call(
        tmp_path / "in.png", "-o", tmp_path / "out.png", "--task", "deblur-motion", "--length", 5, "--angle", 0,
        "--weights", file,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "grey, 40 x 30, 16 bits, length 5, angle 0" in result.output
    with Image.open(tmp_path / "out.png") as image:
        assert image.mode == "I;16"
        assert len(np.unique(np.asarray(image))) > 256


def test_sigma_is_estimated_where_it_is_not_told(tmp_path: Path, weights_for: Callable[[str], Path]) -> None:
    smooth = np.linspace(60, 190, 200)[None] * np.ones((180, 1))
    noisy = smooth + np.random.default_rng(0).normal(0, 12, smooth.shape)
    Image.fromarray(np.rint(noisy).astype(np.uint8)).save(tmp_path / "in.png")
    result = call(
        tmp_path / "in.png", "-o", tmp_path / "out.png", "--task", "denoise", "--weights", weights_for("denoise"),
        "--json",
    )  # fmt: skip
    told = json.loads(result.stdout)
    assert told["estimated"] == ["sigma"]
    assert told["condition"]["sigma"] == pytest.approx(12, rel=0.03)


def test_an_estimate_hangs_on_no_cutting_into_blocks() -> None:
    from skimage.restoration import estimate_sigma

    noisy = np.random.default_rng(1).normal(0.5, 0.1, (2, 151, 90)).astype(np.float32)
    sigmas = []
    for step in (151, 7, 1):
        level = NoiseLevel()
        for start in range(0, 151, step):
            level.add(noisy[:, start : start + step])
        sigmas.append(level.sigma)
    assert sigmas[0] == sigmas[1] == sigmas[2]
    assert sigmas[0] == pytest.approx(float(np.mean(estimate_sigma(noisy, channel_axis=0))), rel=0.03)
    empty = NoiseLevel()
    empty.add(np.ones((1, 1, 5), np.float32))
    assert empty.sigma == 0
    empty.add(np.ones((1, 3, 5), np.float32))
    assert empty.sigma == 0


def test_what_is_refused_leaves_nothing(tmp_path: Path, weights_for: Callable[[str], Path]) -> None:
    picture(tmp_path / "grey.png", 1)
    picture(tmp_path / "colour.png", 3)
    picture(tmp_path / "alpha.png", 4)
    good = (tmp_path / "colour.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(good[: len(good) // 2])
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (300, 200, 3), np.uint8)).save(tmp_path / "whole.jpg")
    cut = (tmp_path / "whole.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(cut[: len(cut) // 2])
    (tmp_path / "text.png").write_text("words")
    (tmp_path / "there.png").touch()
    file = {task: weights_for(task) for task in TASKS}
    (tmp_path / "bare.safetensors").write_bytes(b"no")
    base = {"denoise": "grey.png", "denoise-colour": "colour.png", "deblur-motion": "colour.png"}
    cases: list[tuple[str, str, list[object], str]] = [
        ("none.png", "denoise", ["--sigma", 5], "there is no such file"),
        ("text.png", "denoise", ["--sigma", 5], "not a PNG, TIFF or JPEG"),
        ("cut.png", "denoise-colour", ["--sigma", 5], "damaged or cut short"),
        ("cut.jpg", "denoise-colour", ["--sigma", 5], "damaged or cut short"),
        ("colour.png", "denoise", ["--sigma", 5], "takes a grey one; use denoise-colour"),
        ("grey.png", "denoise-colour", ["--sigma", 5], "takes a colour one; use denoise"),
        ("colour.png", "colourise", [], "is a colour image"),
        ("colour.png", "demosaic", [], "is a colour image"),
        ("grey.png", "sharpen", [], "no task called sharpen; there are denoise, denoise-colour"),
        ("grey.png", "denoise", ["--sigma", 200], "trained for 2 to 60"),
        ("grey.png", "denoise", ["--sigma", "nan"], "trained for 2 to 60"),
        ("grey.png", "denoise", ["--gain", 1], "denoise has no gain; it takes sigma"),
        (base["deblur-motion"], "deblur-motion", ["--length", 5], "angle is missing"),
        ("grey.png", "denoise", ["--sigma", 5, "--memory", "1MB"], "smallest"),
        ("grey.png", "denoise", ["--sigma", 5, "--memory", "much"], "amount of memory"),
        ("grey.png", "denoise", ["--weights", file["demosaic"]], "weights for the task demosaic, not for denoise"),
        ("grey.png", "denoise", ["--weights", tmp_path / "bare.safetensors"], "not a safetensors file"),
        ("grey.png", "denoise", ["--weights", tmp_path / "no.safetensors"], "no such file"),
        ("grey.png", "denoise", ["-o", tmp_path / "there.png"], "--overwrite"),
        ("grey.png", "denoise", ["-o", tmp_path / "o.gif"], "the output's ending says its format"),
        ("alpha.png", "denoise-colour", ["-o", tmp_path / "o.jpg"], "JPEG has no alpha"),
    ]
    before = sorted(os.listdir(tmp_path))
    for image, task, more, words in cases:
        arguments = [tmp_path / image, "-o", tmp_path / "out.png", "--task", task, *more]
        if "--weights" not in more and task in file:
            arguments += ["--weights", file[task]]
        result = call(*arguments)
        assert result.exit_code == 2, (arguments, result.output, result.exception)
        assert words in result.stderr, (arguments, result.stderr)
        assert len(result.stderr.splitlines()) == 1
    assert sorted(os.listdir(tmp_path)) == before


def test_weights_tell_what_they_are_for(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    picture(tmp_path / "grey.png", 1)
    save_file({"a": torch.zeros(1)}, tmp_path / "plain.safetensors")
    save_file({"a": torch.zeros(1)}, tmp_path / "odd.safetensors", {"task": "denoise", "configuration": '{"depth": 3}'})
    for name, words in (("plain", "doesn't say for which task"), ("odd", "can't be made")):
        file = tmp_path / f"{name}.safetensors"
        result = call(tmp_path / "grey.png", "-o", tmp_path / "o.png", "--task", "denoise", "--weights", file)
        assert result.exit_code == 2
        assert words in result.stderr
    missing = [task for task in TASKS if task not in weights.available()]
    picture(tmp_path / "colour.png", 3)
    for task in missing[:1]:
        image = tmp_path / ("grey.png" if TASKS[task].takes == 1 else "colour.png")
        result = call(image, "-o", tmp_path / "o.png", "--task", task, *options(TOLD[task]))
        assert result.exit_code == 2
        assert f"no weights for {task} come with narrows" in result.stderr


def test_help_names_every_task() -> None:
    shown = call("--help").output
    for task, condition in TOLD.items():
        assert task in shown
        assert all(f"--{name}" in shown for name in condition)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 33), (40, 1), (2, 3)])
def test_any_size(tmp_path: Path, weights_for: Callable[[str], Path], height: int, width: int) -> None:
    Image.fromarray(np.full((height, width), 120, np.uint8)).save(tmp_path / "in.png")
    result = call(
        tmp_path / "in.png", "-o", tmp_path / "out.jpg", "--task", "denoise", "--weights", weights_for("denoise")
    )
    assert result.exit_code == 0, result.output
    with Image.open(tmp_path / "out.jpg") as image:
        assert (image.height, image.width) == (height, width)


def test_a_turned_photograph_is_told_of(tmp_path: Path, weights_for: Callable[[str], Path]) -> None:
    exif = Image.Exif()
    exif[0x0112] = 8
    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(tmp_path / "in.jpg", exif=exif)
    result = call(
        tmp_path / "in.jpg", "-o", tmp_path / "out.png", "--task", "denoise-colour", "--sigma", 5,
        "--weights", weights_for("denoise-colour"),
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "stored turned (EXIF orientation 8)" in result.stderr
    assert len(result.stderr.splitlines()) == 1
