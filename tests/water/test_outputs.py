from __future__ import annotations

import os
import shutil
from collections import namedtuple

import pytest

from narrows.errors import OutputError
from narrows.water.outputs import StagedOutputs, check_output, check_space

Usage = namedtuple("Usage", "total used free")


def test_outputs_appear_together_at_the_end(tmp_path):
    with StagedOutputs() as outputs:
        first, second = outputs.add(tmp_path / "a.tif"), outputs.add(tmp_path / "b.shp")
        first.write_text("a")
        second.write_text("b")
        second.with_suffix(".dbf").write_text("d")
        assert not (tmp_path / "a.tif").exists()
    assert sorted(os.listdir(tmp_path)) == ["a.tif", "b.dbf", "b.shp"]
    assert (tmp_path / "b.dbf").read_text() == "d"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_nothing_is_left_after_an_error(tmp_path, error):
    def fail() -> None:
        with StagedOutputs() as outputs:
            outputs.add(tmp_path / "a.tif").write_text("half")
            raise error

    with pytest.raises(error):
        fail()
    assert os.listdir(tmp_path) == []


def test_an_existing_file_is_kept_unless_asked(tmp_path):
    path = tmp_path / "a.tif"
    path.write_text("old")
    with pytest.raises(OutputError, match="--overwrite"):
        check_output(path, overwrite=False)

    def fail() -> None:
        with StagedOutputs(overwrite=True) as outputs:
            outputs.add(path).write_text("new")
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        fail()
    assert path.read_text() == "old"
    with StagedOutputs(overwrite=True) as outputs:
        outputs.add(path).write_text("new")
    assert path.read_text() == "new"


def test_places_that_can_not_be_written(tmp_path):
    with pytest.raises(OutputError, match="doesn't exist"):
        check_output(tmp_path / "no" / "a.tif", overwrite=False)
    with pytest.raises(OutputError, match="is a folder"):
        check_output(tmp_path, overwrite=True)
    outputs = StagedOutputs()
    outputs.add(tmp_path / "a.tif")
    with pytest.raises(OutputError, match="two outputs"):
        outputs.add(tmp_path / "." / "a.tif")
    with pytest.raises(OutputError, match="can't be written to"):
        check_output(type(tmp_path)("/proc/self/a.tif"), overwrite=False)


def test_a_full_disk_is_seen_before_the_start(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10_000_000, 9_000_000, 1_000_000))
    check_space({tmp_path / "a.tif": 400_000, tmp_path / "b.tif": 500_000})
    with pytest.raises(OutputError, match=r"too full.*1\.2 MB.*1\.0 MB are free"):
        check_space({tmp_path / "a.tif": 600_000, tmp_path / "b.tif": 600_000})
