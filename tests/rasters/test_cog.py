"""Cloud Optimized GeoTIFF by rows."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS
from rio_cogeo.cogeo import cog_validate

from narrows.errors import OutputError
from narrows.rasters import CogSink, raster_environment
from narrows.rasters import cog as cog_module

PLACE = Affine(30, 0, 390015, 0, -30, 5000025)
COLOURS = {0: (200, 200, 200, 255), 1: (10, 60, 200, 255), 254: (240, 180, 100, 255), 255: (0, 0, 0, 0)}


def mask(height: int, width: int) -> NDArray[np.uint8]:
    row, column = np.indices((height, width))
    values = ((row // 37 + column // 53) % 2).astype(np.uint8)
    values[: height // 9] = 255
    values[-height // 7 :, : width // 3] = 254
    return values


def write_all(path: Path, values: NDArray, strip: int = 100, **options) -> None:
    bands = values[None] if values.ndim == 2 else values
    count, height, width = bands.shape
    with CogSink(path, width=width, height=height, count=count, dtype=values.dtype, **options) as sink:
        for start in range(0, height, strip):
            sink.write(start, bands[:, start : start + strip])


@pytest.mark.parametrize("shape", [(1, 1), (300, 400), (512, 512), (513, 1500), (1700, 1100)])
@pytest.mark.parametrize("strip", [1, 100, 5000])
def test_it_is_a_valid_cog_that_keeps_everything(tmp_path: Path, shape: tuple[int, int], strip: int) -> None:
    values = mask(*shape)
    path = tmp_path / "out.tif"
    write_all(
        path, values, strip, crs=CRS.from_epsg(32630), transform=PLACE, nodata=255, colormap=COLOURS,
        tags={"SENSOR": "Landsat 8-9 OLI", "SCALE": "2.75e-05"}, descriptions=["water"],
    )  # fmt: skip
    valid, errors, warnings = cog_validate(path, strict=True)
    assert valid, (errors, warnings)
    assert not errors
    with rasterio.open(path) as dataset:
        np.testing.assert_array_equal(dataset.read(1), values)
        assert dataset.crs == CRS.from_epsg(32630)
        assert dataset.transform == PLACE
        assert dataset.nodata == 255
        assert dataset.tags()["SENSOR"] == "Landsat 8-9 OLI"
        assert dataset.descriptions == ("water",)
        assert {key: dataset.colormap(1)[key] for key in COLOURS} == COLOURS
        assert dataset.compression.name == "deflate"
        for factor in dataset.overviews(1):
            small = dataset.read(1, out_shape=(-(-shape[0] // factor), -(-shape[1] // factor)))
            assert set(np.unique(small)) <= {0, 1, 254, 255}
        assert bool(dataset.overviews(1)) == (max(shape) > 512)
    assert os.listdir(tmp_path) == ["out.tif"]


def test_amounts_average_in_overviews_without_no_data(tmp_path: Path) -> None:
    values = np.full((1024, 1024), 40, dtype=np.uint8)
    values[:, ::2] = 60
    values[512:, ::2] = 255
    write_all(tmp_path / "p.tif", values, nodata=255, overviews="average")
    with rasterio.open(tmp_path / "p.tif", OVERVIEW_LEVEL=0) as dataset:
        small = dataset.read(1)
    assert set(np.unique(small[:256])) == {50}
    assert set(np.unique(small[256:])) == {40}


def test_floats_and_several_bands(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(3, 700, 600)).astype(np.float32)
    write_all(tmp_path / "f.tif", values, nodata=float("nan"), descriptions=["a", "b", "c"])
    assert cog_validate(tmp_path / "f.tif", strict=True)[0]
    with rasterio.open(tmp_path / "f.tif") as dataset:
        np.testing.assert_array_equal(dataset.read(), values)
        assert dataset.descriptions == ("a", "b", "c")
        assert dataset.crs is None


def test_an_existing_output_is_kept_unless_overwrite_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "out.tif"
    path.write_text("precious")
    with pytest.raises(OutputError, match="exists; pass --overwrite"):
        CogSink(path, width=10, height=10)
    assert path.read_text() == "precious"

    def give_up() -> None:
        with CogSink(path, width=10, height=10, overwrite=True) as sink:
            sink.write(0, np.zeros((1, 5, 10), dtype=np.uint8))
            raise RuntimeError("half-way")

    with pytest.raises(RuntimeError, match="half-way"):
        give_up()
    assert path.read_text() == "precious"
    write_all(path, mask(10, 10), overwrite=True)
    assert cog_validate(path)[0]
    assert os.listdir(tmp_path) == ["out.tif"]


def test_a_folder_that_is_not_there_or_no_folder(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"the folder .*nowhere doesn't exist"):
        CogSink(tmp_path / "nowhere" / "out.tif", width=10, height=10)
    with pytest.raises(OutputError, match="is a folder; name a file"):
        CogSink(tmp_path, width=10, height=10, overwrite=True)


def test_a_folder_that_cannot_be_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's refusal, whoever runs the test (root may write anywhere, so /proc stands in)."""
    del monkeypatch, tmp_path
    with pytest.raises(OutputError, match="can't be written to"):
        CogSink("/proc/out.tif", width=10, height=10)


def test_too_little_room_is_refused_before_the_start(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"the disk is too full: writing may take .* GB, "):
        CogSink(tmp_path / "out.tif", width=10_000_000, height=10_000_000)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, OutputError])
def test_nothing_is_left_after_an_interrupt_while_copying(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    original = cog_module.rasterio.shutil.copy

    def interrupted(*args, **options) -> None:
        original(*args, **options)
        raise error("stop")

    monkeypatch.setattr(cog_module.rasterio.shutil, "copy", interrupted)
    with pytest.raises(error):
        write_all(tmp_path / "out.tif", mask(600, 600))
    assert os.listdir(tmp_path) == []


def test_rows_that_are_missing_or_out_of_order_are_errors(tmp_path: Path) -> None:
    with (
        pytest.raises(OutputError, match="only 50 of 60 rows"),
        CogSink(tmp_path / "o.tif", width=9, height=60) as sink,
    ):
        sink.write(0, np.zeros((1, 50, 9), dtype=np.uint8))
    for start, shape in ((1, (1, 5, 9)), (0, (2, 5, 9)), (0, (1, 5, 8)), (0, (1, 61, 9))):
        with (
            pytest.raises(ValueError, match="don't follow row 0"),
            CogSink(tmp_path / "o.tif", width=9, height=60) as sink,
        ):
            sink.write(start, np.zeros(shape, dtype=np.uint8))
    assert os.listdir(tmp_path) == []


FULL_DISK = """
import resource, sys
import numpy as np
from narrows.errors import OutputError
from narrows.rasters import CogSink, RasterSink, raster_environment

limit, path, kind = int(sys.argv[1]), sys.argv[2], sys.argv[3]
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
rng = np.random.default_rng(0)
make = {"cog": CogSink, "raster": RasterSink}[kind]
try:
    with raster_environment(2_000_000), make(path, width=1000, height=1400, count=1, dtype="uint8") as sink:
        for start in range(0, 1400, 100):
            sink.write(start, rng.integers(0, 255, (1, 100, 1000), dtype=np.uint8))
except OutputError as error:
    print(error)
    sys.exit(7)
"""


@pytest.mark.parametrize("kind", ["cog", "raster"])
@pytest.mark.parametrize("share", [0.02, 0.6, 0.97, 0.9999])
def test_a_disk_that_fills_up_in_the_middle_leaves_nothing(tmp_path: Path, share: float, kind: str) -> None:
    """A limit on the size of files stands for the disk: writing fails in the same way."""

    def run(limit: int) -> tuple[int, str]:
        command = [sys.executable, "-c", FULL_DISK, str(limit), str(tmp_path / "out.tif"), kind]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout

    assert run(10**8)[0] == 0
    size = (tmp_path / "out.tif").stat().st_size
    (tmp_path / "out.tif").unlink()
    status, said = run(int(size * share))
    assert status == 7, said
    assert "can't be written; is the disk full?" in said
    assert said.count("\n") == 1
    assert os.listdir(tmp_path) == []


def test_the_folder_it_is_asked_for_may_be_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with raster_environment():
        write_all(Path("out.tif"), mask(40, 50))
    assert cog_validate(tmp_path / "out.tif")[0]
