from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import repeat
from pathlib import Path

import pytest
import torch

import narrows.costing.calibration as calibration
from narrows.costing.calibration import Load, draw_cases, timed
from narrows.costing.kinds import describe
from narrows.costing.machine import read_profile


class Clock:
    """Wall and processor time that pass as told: `work` of both for each run, and pauses in which others run."""

    def __init__(self, work: float, pauses: Iterator[float] | None = None):
        self.now = self.used = 0.0
        self.work, self.pauses = work, pauses or repeat(0.0)
        self.load = Load(lambda: self.now, lambda: self.used)

    def run(self) -> None:
        self.now += self.work + next(self.pauses, 0.0)
        self.used += self.work


def test_undisturbed_work_is_timed_exactly() -> None:
    clock = Clock(0.01)
    reading = timed(clock.run, clock.load)
    assert reading is not None
    assert reading.seconds == pytest.approx(0.01)
    assert reading.spread == pytest.approx(0.0, abs=1e-9)
    assert clock.load.discarded == 0


def test_a_sample_in_which_the_process_was_put_aside_is_discarded_and_counted() -> None:
    clock = Clock(0.01, iter([0.0, 0.0, 0.004, 0.0, 0.02]))
    reading = timed(clock.run, clock.load)
    assert reading is not None
    assert reading.seconds == pytest.approx(0.01)
    assert clock.load.discarded == 2


def test_work_that_is_always_disturbed_has_no_time() -> None:
    clock = Clock(0.01, repeat(0.005))
    assert timed(clock.run, clock.load) is None
    assert clock.load.discarded >= 3


def test_a_reference_that_slows_down_tells_of_load() -> None:
    load = Load()
    assert all(load.steady(seconds) for seconds in (1.0, 1.02, 0.98, 1.01))
    assert not load.steady(1.3)
    assert load.steady(1.03)


def test_cases_are_the_same_each_time_and_cover_every_family_early() -> None:
    first = draw_cases()
    assert first == draw_cases()
    assert {case.kind for case in first[:400]} >= {case.kind for case in first} - {"view"}
    layouts = {case.args[0].stride[1] == 1 for case in first if case.kind == "conv dense" and case.args[0].shape[1] > 1}
    assert layouts == {True, False}


def test_what_is_measured_finds_its_table(
    alone: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    """One file measures a machine alone; each of its points has a kind, features and work that are sound."""
    done = alone("--export", "board.json", "--seconds", "4", "--threads", "1")
    assert done.returncode == 0, done.stderr
    found = read_profile(tmp_path / "board.json")
    assert found.threads == 1
    assert not list(tmp_path.glob("*.part"))
    held = json.loads((tmp_path / "board.json").read_text())
    if not held["load"]["samples_discarded"]:  # under load some of it may be missing
        assert found.operator_seconds > 0
        assert len(found.bandwidth) > 5
    assert {"samples_discarded", "operators_repeated", "operators_given_up"} <= held["load"].keys()
    for point in found.points:
        described = describe(point.call)
        assert described is not None, point
        assert all(torch.isfinite(torch.tensor([*described.features, *described.work])))
        assert min(described.work) >= 0


def test_one_file_refuses_what_it_cannot_write(alone: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    done = alone("--export", "nowhere/board.json", "--seconds", "1")
    assert done.returncode == 2
    assert done.stderr.strip() == "Error: nowhere/board.json can't be written: no such folder, or no permission"


@pytest.fixture
def alone(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs the measuring file by itself, copied away, as on a board that has PyTorch and nothing else of ours."""
    script = shutil.copy(calibration.__file__, tmp_path / "calibration.py")
    code = f"""
import runpy, sys
class Bare:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("narrows", "scipy", "click", "rich", "platformdirs", "psutil"):
            raise ImportError("not on the board: " + name)
sys.meta_path.insert(0, Bare())
runpy.run_path({str(script)!r}, run_name="__main__")
"""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", code, *arguments]
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)

    return run
