from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from tests.costing.profiles import profile, write

import narrows.cli.calibrate as command
from narrows.cli import narrows
from narrows.costing.calibration import VERSION
from narrows.costing.machine import cached_profile, default_path, read_profile

NETWORK = "from torch import nn\ndef build():\n    return nn.Sequential(nn.Conv2d(16, 16, 3, padding=1), nn.ReLU())\n"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """In place of measuring for minutes: the commands that would have run."""
    asked: list[list[str]] = []

    def run(arguments: list[str], quiet: bool) -> None:
        asked.append(arguments)
        Path(arguments[arguments.index("--export") + 1]).write_text(json.dumps(profile()))

    monkeypatch.setattr(command, "_run", run)
    return asked


def run(*arguments: Any) -> Result:
    return CliRunner().invoke(narrows, [str(argument) for argument in arguments])


def test_the_profile_is_kept_exported_and_told(measured: list[list[str]], tmp_path: Path) -> None:
    result = run("calibrate", "--quick", "--threads", 1, "--export", tmp_path / "mine.json", "--json")
    assert result.exit_code == 0, result.output
    assert "--quick" in measured[0]
    told = json.loads(result.output)
    assert told["operators"] == len(profile()["points"])
    assert told["gmacs_per_second"]["dense"] == pytest.approx(50, rel=0.2)  # the law's 2e-11 s a multiply-accumulate
    assert cached_profile(1).points
    assert json.loads((tmp_path / "mine.json").read_text()) == profile()
    assert str(default_path(1)) in run("calibrate").output


@pytest.mark.parametrize("place", ["there.json", "nowhere/new.json", "."])
def test_what_cannot_be_written_is_refused_before_measuring(
    measured: list[list[str]], tmp_path: Path, place: str
) -> None:
    (tmp_path / "there.json").write_text("mine")
    result = run("calibrate", "--export", tmp_path / place)
    assert result.exit_code == 2
    assert result.output.startswith("Error: ")
    assert result.output.count("\n") == 1
    assert not measured
    assert (tmp_path / "there.json").read_text() == "mine"


def test_the_measuring_program_is_one_file(tmp_path: Path) -> None:
    assert run("calibrate", "--one-file", tmp_path / "board.py").exit_code == 0
    done = subprocess.run([sys.executable, tmp_path / "board.py", "--help"], capture_output=True, text=True, check=True)
    assert "--export" in done.stdout
    assert run("calibrate", "--one-file", tmp_path / "board.py").exit_code == 2


def test_cost_predicts_on_a_machine_and_keeps_a_budget(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(NETWORK)
    path = write(tmp_path / "p.json")
    model = f"{tmp_path / 'net.py'}:build"
    result = run("cost", model, "--size", "128x128", "--machine", path, "--json")
    assert result.exit_code == 0, result.output
    seconds = json.loads(result.output)["totals"]["seconds"]
    assert seconds > 0
    enough, short = f"latency={2000 * seconds:.3f}ms", f"latency={500 * seconds:.3f}ms"
    assert run("cost", model, "--size", "128x128", "--machine", path, "--budget", enough).exit_code == 0
    assert run("cost", model, "--size", "128x128", "--machine", path, "--budget", short).exit_code == 1


def test_page_shows_where_the_machine_turns_from_memory_to_arithmetic(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(NETWORK)
    path = write(tmp_path / "p.json")
    page, model = tmp_path / "page.html", f"{tmp_path / 'net.py'}:build"
    assert run("cost", model, "--size", "128x128", "--machine", path, "--html", page).exit_code == 0
    assert '<line stroke="var(--b)"' in page.read_text()
    assert run("cost", model, "--size", "128x128", "--html", page, "--overwrite").exit_code == 0
    assert '<line stroke="var(--b)"' not in page.read_text()
    ridge = read_profile(path).ridge()
    assert ridge is not None and 0 < ridge["bytes_per_second"] < ridge["macs_per_second"]


def test_design_asks_for_times_on_a_machine(tmp_path: Path) -> None:
    path = write(tmp_path / "p.json")
    asked = ("design", "--task", "restoration", "--bands", "1", "--size", "64x64", "--machine", path, "--json")
    result = CliRunner().invoke(narrows, [*map(str, asked), "--latency", "60s"])
    found = json.loads(result.stdout)
    assert all(each["costs"]["seconds"] > 0 for each in found if each["costs"])
    assert any(each["fits"] for each in found)
    result = CliRunner().invoke(narrows, [*map(str, asked), "--latency", "1us"])
    assert not any(each["fits"] for each in json.loads(result.stdout))


@pytest.mark.parametrize("command", ["cost", "design"])
def test_a_machine_that_cannot_be_used_is_one_line(tmp_path: Path, command: str) -> None:
    (tmp_path / "net.py").write_text(NETWORK)
    asked = {
        "cost": (f"{tmp_path / 'net.py'}:build",),
        "design": ("--task", "restoration", "--bands", "1", "--latency", "60s"),
    }[command]
    old = write(tmp_path / "old.json", version=VERSION + 1)
    torn = tmp_path / "torn.json"
    torn.write_text(old.read_text()[:200])
    for machine, said in (
        (old, "version"),
        (torn, "not a machine profile"),
        (tmp_path / "none.json", "no machine profile"),
        ("this", "no profile for"),
    ):
        result = run(command, *asked, "--size", "64x64", "--machine", machine)
        assert result.exit_code == 2
        assert said in result.output
        assert result.output.count("\n") == 1
