"""What can be wrong with the input, the options and the disk: one line each, exit code 2, nothing left behind."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
import rasterio

from conftest import pond, write_scene

Usage = namedtuple("Usage", "total used free")


def refused(result, *words: str) -> None:
    """One line on standard error that says `words`, exit code 2."""
    assert result.exit_code == 2, (result.output, result.exception)
    lines = [line for line in result.stderr.splitlines() if line.startswith("Error:")]
    assert len(lines) == 1, result.stderr
    assert result.stderr.rstrip().endswith(lines[0])
    assert "Traceback" not in result.output
    for word in words:
        assert word.lower() in lines[0].lower()


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def nothing_in(folder: Path) -> bool:
    return os.listdir(folder) == []


def test_no_such_scene(out, narrows_water):
    refused(narrows_water("nowhere.tif", "-o", out / "m.tif"), "nowhere.tif", "no such file")
    assert nothing_in(out)


def test_a_missing_band(tmp_path, out, narrows_water):
    path = write_scene(tmp_path / "five.tif", pond(), count=5)
    refused(narrows_water(path, "-o", out / "m.tif"), "swir2")
    assert nothing_in(out)


def test_a_wrong_band(scene, out, narrows_water):
    refused(narrows_water(scene, "-o", out / "m.tif", "--bands", "1,2,3,4,5,9"), "band 9")
    refused(narrows_water(scene, "-o", out / "m.tif", "--bands", "blue,green"), "--bands", "red")
    assert nothing_in(out)


def test_bands_of_different_sizes(tmp_path, out, shared_data, narrows_water):
    given = shared_data / "scenes" / "brumadinho_l8_before"
    folder = tmp_path / given.name
    shutil.copytree(given, folder)
    band = next(folder.glob("*_SR_B6.TIF"))
    band.chmod(0o644)
    with rasterio.open(band) as whole:
        profile, values = whole.profile, whole.read(window=((0, 100), (0, 90)))
    profile.update(height=100, width=90)
    band.unlink()
    with rasterio.open(band, "w", **profile) as cut:
        cut.write(values)
    refused(narrows_water(folder, "-o", out / "m.tif"), "size")
    assert nothing_in(out)


def test_a_folder_without_metadata(tmp_path, out, shared_data, narrows_water):
    (tmp_path / "empty").mkdir()
    refused(narrows_water(tmp_path / "empty", "-o", out / "m.tif"), "MTL")
    folder = tmp_path / "no_mtl"
    folder.mkdir()
    for band in (shared_data / "scenes" / "brumadinho_l8_before").glob("*.TIF"):
        (folder / band.name).symlink_to(band)
    refused(narrows_water(folder, "-o", out / "m.tif"), "MTL")
    assert nothing_in(out)


def test_an_empty_file(tmp_path, out, narrows_water):
    (tmp_path / "empty.tif").touch()
    refused(narrows_water(tmp_path / "empty.tif", "-o", out / "m.tif"), "empty.tif")
    assert nothing_in(out)


def test_all_no_data(tmp_path, out, narrows_water):
    path = write_scene(tmp_path / "blank.tif", pond(), missing=np.ones((60, 80), bool))
    refused(narrows_water(path, "-o", out / "m.tif", "--quicklook", out / "q.png"), "no data")
    assert nothing_in(out)


def test_a_truncated_file(tmp_path, out, narrows_water):
    generator = np.random.default_rng(0)
    path = write_scene(tmp_path / "cut.tif", pond(300, 200), compress="deflate", interleave="band")
    with rasterio.open(path, "r+") as noisy:
        noisy.write(generator.integers(1, 9000, (6, 300, 200)).astype(np.uint16))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 2 // 3])
    refused(narrows_water(path, "-o", out / "m.tif", "--probability", out / "p.tif"), "cut")
    assert nothing_in(out)


def test_output_places(tmp_path, scene, out, narrows_water):
    refused(narrows_water(scene, "-o", tmp_path / "no" / "m.tif"), "doesn't exist")
    refused(narrows_water(scene, "-o", "/proc/self/m.tif"), "can't be written")
    refused(narrows_water(scene, "-o", out / "m.jpg"), ".tif")
    refused(narrows_water(scene, "-o", out / "m.tif", "--polygons", out / "w.dxf"), ".gpkg")
    refused(narrows_water(scene, "-o", out / "m.tif", "--quicklook", out / "q.bmp"), ".png")
    refused(narrows_water(scene, "-o", out / "m.tif", "--stats", out / "s.xlsx"), ".csv")
    refused(narrows_water(scene, "-o", out / "m.tif", "--probability", out / "m.tif"), "both write")
    assert nothing_in(out)


@pytest.mark.parametrize("which", ["m.tif", "p.tif", "w.gpkg", "q.png", "s.json"])
def test_an_existing_output_is_kept(scene, out, narrows_water, which):
    (out / which).write_text("mine")
    arguments = (
        scene, "-o", out / "m.tif", "--probability", out / "p.tif", "--polygons", out / "w.gpkg",
        "--quicklook", out / "q.png", "--stats", out / "s.json",
    )  # fmt: skip
    refused(narrows_water(*arguments), which, "--overwrite")
    assert os.listdir(out) == [which]
    assert (out / which).read_text() == "mine"
    result = narrows_water(*arguments, "--overwrite")
    assert result.exit_code == 0, result.output
    assert len(os.listdir(out)) == 5
    assert (out / which).read_bytes()[:4] != b"mine"


def test_a_full_disk_before_the_start(scene, out, narrows_water, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**9, 10**9 - 500, 500))
    refused(narrows_water(scene, "-o", out / "m.tif"), "disk is too full", "500 B")
    assert nothing_in(out)


def test_a_disk_that_fills_up(tmp_path, out, index_network):
    """A process that may write no more than 40 kB to a file meets what a full disk does: writes that fail."""
    generator = np.random.default_rng(0)
    water = generator.random((700, 700)) < 0.5
    path = write_scene(tmp_path / "noise.tif", water)

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))

    command = ["-m", "narrows", "water", path, "-o", out / "m.tif", "--gives", "logits", "--model", index_network]
    done = subprocess.run(
        [sys.executable, *command],
        preexec_fn=limit, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert done.stderr.splitlines()[-1].startswith("Error:")
    assert "Traceback" not in done.stderr
    assert ".partial" not in done.stderr.splitlines()[-1]
    assert nothing_in(out)


def test_a_disk_that_fills_up_under_the_picture(scene, out, narrows_water, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("narrows.water.products.save_quicklook", full)
    refused(narrows_water(scene, "-o", out / "m.tif", "--quicklook", out / "q.png"), "disk is full")
    assert nothing_in(out)


@pytest.mark.parametrize(("memory", "words"), [("1MB", ("too small", "smallest")), ("lots", ("lots", "600MB"))])
def test_budgets(scene, out, narrows_water, memory, words):
    refused(narrows_water(scene, "-o", out / "m.tif", "--memory", memory), *words)
    assert nothing_in(out)


def test_options_that_make_no_sense(scene, out, narrows_water):
    refused(narrows_water(scene, "-o", out / "m.tif", "--threshold", "50"), "between 0 and 1")
    refused(narrows_water(scene, "-o", out / "m.tif", "--min-area", "small"), "--min-area")
    refused(narrows_water(scene, "-o", out / "m.tif", "--aoi", "1,2,3,4"), "doesn't touch")
    refused(narrows_water(scene, "-o", out / "m.tif", "--mask-clouds"), "QA_PIXEL")
    refused(narrows_water(scene, "-o", out / "m.tif", "--scale", "0"), "--scale")
    refused(narrows_water(scene, "-o", out / "m.tif", "--scale", "1e-4,2e-4"), "--scale: 2 numbers")
    refused(narrows_water(scene, "-o", out / "m.tif", "--scale", "1e-4;2e-4"), "--scale", "commas")
    assert nothing_in(out)


@pytest.mark.parametrize(
    ("factory", "words"),
    [
        ("pooled", ("every row", "instance_norm")),
        ("shrinking", ("1 x 58 x 78", "image's size")),
        ("two_channels", ("2 x 60 x 80",)),
        ("nothing", ("has no 'nothing'",)),
    ],
)
def test_networks_that_do_not_fit(scene, out, narrows_water, index_network, factory, words):
    model = index_network.replace(":awei", f":{factory}")
    refused(narrows_water(scene, "-o", out / "m.tif", "--model", model), *words)
    assert nothing_in(out)


def test_logits_taken_for_probabilities(scene, out, narrows_water, index_network):
    refused(narrows_water(scene, "-o", out / "m.tif", "--model", index_network), "--gives logits")
    assert nothing_in(out)


def test_missing_weights_of_the_published_network(scene, out, narrows_water):
    refused(narrows_water(scene, "-o", out / "m.tif", "--model", "deepwatermap:none.safetensors"), "none.safetensors")
    assert nothing_in(out)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_half_way(tmp_path, out, number):
    """A network that takes its time, stopped once rows are being written."""
    path = write_scene(tmp_path / "long.tif", pond(1500, 900))
    net = tmp_path / "slow.py"
    net.write_text(
        "from torch import nn\n"
        "def build():\n"
        "    wide = [nn.Conv2d(6, 64, 3, padding=1)]\n"
        "    for _ in range(6):\n"
        "        wide += [nn.ReLU(), nn.Conv2d(64, 64, 3, padding=1)]\n"
        "    return nn.Sequential(*wide, nn.ReLU(), nn.Conv2d(64, 1, 1))\n"
    )
    command = [sys.executable, "-m", "narrows", "water", path, "-o", out / "m.tif", "--probability", out / "p.tif",
               "--model", f"{net}:build", "--gives", "logits", "--memory", "2GB"]  # fmt: skip
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        # Shells start what they run in the background with interrupts ignored, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        deadline = time.monotonic() + 120
        while not os.listdir(out) and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        assert os.listdir(out), process.communicate()[1]
        time.sleep(0.5)
        process.send_signal(number)
        said = process.communicate(timeout=60)[1]
    finally:
        process.kill()
    assert process.returncode == 130, said
    assert said.splitlines()[-1] == "Interrupted; nothing was left behind."
    assert "Traceback" not in said
    assert nothing_in(out)
