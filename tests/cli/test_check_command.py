"""`narrows check` on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests.costing.profiles import write

from narrows.cli import narrows

GROUPED = "tests.guidelines.faults:grouped"
LOOK = ("--size", "32x32", "--no-experiments", "--only", "G2")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(narrows, ["check", *arguments])


def test_it_looks_without_experiments() -> None:
    result = run(GROUPED, *LOOK)
    assert result.exit_code == 0
    assert "G2, body.0 (faults.py:" in result.output and "switched off" in result.output


def test_it_tries() -> None:
    result = run(GROUPED, "--size", "32x32", "--only", "G2", "--seconds", "0.1")
    assert result.exit_code == 0
    assert "Tried at 32 x 32" in result.output and " here" in result.output


def test_json_is_json() -> None:
    report = json.loads(run(GROUPED, *LOOK, "--json").output)
    assert [finding["guideline"] for finding in report["findings"]] == ["G2"]


def test_another_machine_is_predicted(tmp_path: Path) -> None:
    place = write(tmp_path / "board.json")
    arguments = ("tests.guidelines.faults:unequal", "--size", "128x128", "--only", "G1", "--machine", str(place))
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    text = " ".join(result.output.split())
    assert "Predicted for none, 1 thread" in text and "on none, 1 thread (predicted;" in text
    report = json.loads(run(*arguments, "--json").output)
    assert report["predicted_for"] == "none, 1 thread" and report["tried_at"] is None


def test_strict_exits_with_1_for_ci() -> None:
    assert run(GROUPED, *LOOK, "--strict").exit_code == 1
    assert run(GROUPED, *LOOK, "--strict", "--silence", "G2=the board wants groups").exit_code == 0
    assert run("tests.guidelines.faults:ungrouped", *LOOK, "--strict").exit_code == 0


def test_the_nearest_pyproject_silences(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.narrows.silence]\nG2 = "as published"\n')
    inner = tmp_path / "inner"
    inner.mkdir()
    monkeypatch.chdir(inner)
    assert "silenced: as published" in " ".join(run(GROUPED, *LOOK).output.split())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nowhere:build", "--size", "32x32"), "nowhere: can't be imported"),
        ((GROUPED, "--size", "32"), "--size 32: write rows x columns"),
        ((GROUPED, "--size", "0x32"), "at least one row"),
        ((GROUPED, "--size", "32x32", "--memory", "much"), "not an amount of memory"),
        ((GROUPED, "--size", "32x32", "--silence", "G2"), "write it as G1=reason"),
        ((GROUPED, "--size", "32x32", "--silence", "G2="), "say why G2 is silenced"),
        ((GROUPED, "--size", "32x32", "--silence", "G0=x"), "no guideline 'G0'"),
        ((GROUPED, "--size", "32x32", "--silence-file", "gone.toml"), "gone.toml: no such file"),
        ((GROUPED, "--size", "32x32", "--only", "G77"), "no guideline 'G77'"),
        (("tests.guidelines.faults:conv", "--size", "32x32"), "give it with --arg"),
        ((GROUPED, *LOOK, "--machine", "gone.json"), "leave out --no-experiments"),
        ((GROUPED, "--size", "32x32", "--machine", "gone.json"), "there is no machine profile gone.json"),
        ((GROUPED, "--size", "32x32", "--channels", "5"), "can't be captured at this size"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(arguments: tuple[str, ...], said: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert said in result.output and len(result.output.strip().splitlines()) == 1
