"""GDAL's cache, as set for a run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from narrows.rasters import BANDS, open_scene, raster_environment

MEASURE = """
import sys
from narrows.rasters import open_scene, raster_environment

def peak():
    return int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]) * 1024

path, cache = sys.argv[1], int(sys.argv[2])
with raster_environment(cache), open_scene(path, scale=1e-5) as scene:
    scene.read(0, 16)
    before = peak()
    for start in range(16, scene.height, 16):
        scene.read(start, start + 16)
    print(before, peak(), scene.cache_bytes)
"""


@pytest.mark.parametrize("layout", [{"tiled": True, "blockxsize": 256, "blockysize": 256}, {"blockysize": 8}])
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak resident size is read from /proc")
def test_reading_by_rows_grows_by_the_cache_alone(tmp_path: Path, write, layout: dict[str, object]) -> None:
    band = np.random.default_rng(0).integers(7300, 12000, (6, 2048, 2048)).astype(np.uint16)
    path = write(tmp_path / "six.tif", band, list(BANDS), compress="deflate", interleave="band", **layout)
    cache = 12 * 2**20
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(path), str(cache)], capture_output=True, text=True, check=True
    )
    before, after, needed = map(int, done.stdout.split())
    assert needed <= cache
    assert after - before < cache + 4 * 2**20


WRITE = """
import sys
import numpy as np
from narrows.rasters import CogSink, raster_environment

def peak():
    return int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]) * 1024

path, height = sys.argv[1], int(sys.argv[2])
rows = np.random.default_rng(0).integers(0, 2, (1, 16, 250)).astype(np.uint8).repeat(8, axis=1).repeat(8, axis=2)
with raster_environment(4 * 2**20):
    before = peak()
    with CogSink(path, width=2000, height=height) as sink:
        for start in range(0, height, 128):
            sink.write(start, rows[:, : height - start])
print(peak() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak resident size is read from /proc")
def test_writing_holds_a_small_part_of_the_raster(tmp_path: Path) -> None:
    def grown(height: int) -> int:
        command = [sys.executable, "-c", WRITE, str(tmp_path / f"{height}.tif"), str(height)]
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    short, tall = grown(8192), grown(40960)
    assert tall < 64 * 2**20
    assert tall - short < 0.3 * 2000 * (40960 - 8192)


def test_an_impossible_cache_is_refused() -> None:
    with pytest.raises(ValueError, match="cache_bytes"), raster_environment(0):
        pass


def test_a_tiny_cache_changes_nothing_but_time(tmp_path: Path, write, numbers) -> None:
    path = write(tmp_path / "six.tif", numbers, list(BANDS), tiled=True, blockxsize=16, blockysize=16)
    with raster_environment(1), open_scene(path, scale=1e-5) as scene:
        rows = np.concatenate([scene.read(at, at + 1).reflectance for at in range(61)], axis=1)
    np.testing.assert_allclose(rows, numbers * 1e-5, atol=1e-6)
