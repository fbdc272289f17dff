"""Rasters as row sources and sinks."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine

from narrows.errors import InputError, OutputError
from narrows.rasters import RasterSink, RasterSource, scaled_transform
from narrows.streaming.protocols import RowSink, RowSource


def test_a_source_reads_rows_as_stored(tmp_path: Path, write, numbers) -> None:
    path = write(tmp_path / "six.tif", numbers, nodata=0)
    with RasterSource(path) as source:
        assert isinstance(source, RowSource)
        assert source.shape == (6, 61, 47)
        assert source.dtype == np.uint16
        assert source.nodata == 0
        assert source.transform is not None
        np.testing.assert_array_equal(source.read(7, 20), numbers[:, 7:20])
    with RasterSource(path, bands=[3, 1], dtype="float32") as source:
        assert source.shape == (2, 61, 47)
        rows = source.read(0, 61)
        assert rows.dtype == np.float32
        np.testing.assert_array_equal(rows, numbers[[2, 0]])


def test_a_source_that_cannot_be_read_is_refused(tmp_path: Path, write, numbers) -> None:
    with pytest.raises(InputError, match="no such file"):
        RasterSource(tmp_path / "none.tif")
    path = write(tmp_path / "six.tif", numbers)
    with pytest.raises(InputError, match="no band 7; it has 6"):
        RasterSource(path, bands=[7])


def test_a_sink_writes_what_it_is_given(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(5, 600, 70)).astype(np.float32)
    place = Affine(30, 0, 0, 0, -30, 0)
    sink = RasterSink(tmp_path / "out.tif", width=70, height=600, count=5, dtype="float32", transform=place)
    assert isinstance(sink, RowSink)
    with sink:
        for start in range(0, 600, 64):
            sink.write(start, values[:, start : start + 64])
        assert not (tmp_path / "out.tif").exists()
    with rasterio.open(tmp_path / "out.tif") as dataset:
        np.testing.assert_array_equal(dataset.read(), values)
        assert dataset.transform == place
    with pytest.raises(OutputError, match="exists"):
        RasterSink(tmp_path / "out.tif", width=70, height=600, count=5, dtype="float32")


def test_nothing_is_left_of_a_sink_given_up(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), RasterSink(tmp_path / "o.tif", width=7, height=6, count=1, dtype="uint8"):
        raise KeyboardInterrupt
    RasterSink(tmp_path / "o.tif", width=7, height=6, count=1, dtype="uint8").abort()
    assert os.listdir(tmp_path) == []


def test_an_output_of_another_size_covers_the_same_ground() -> None:
    place = Affine(30, 0, 100, 0, -30, 900)
    half = scaled_transform(place, (61, 47), (31, 24))
    assert half is not None
    assert half @ (24, 31) == pytest.approx(place @ (47, 61))
    assert half @ (0, 0) == place @ (0, 0)
    assert scaled_transform(None, (61, 47), (31, 24)) is None
