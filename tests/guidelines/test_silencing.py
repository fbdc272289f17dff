"""Silences: by call, by file, by comment; each with a reason, none for what doesn't exist."""

from __future__ import annotations

import importlib.util
import textwrap
from pathlib import Path

import pytest
from torch import nn

import narrows
from narrows.errors import InputError
from narrows.guidelines.checking import KEYS
from narrows.guidelines.core.silencing import parse_silences, read_silences
from tests.guidelines import faults
from tests.guidelines.measurers import Told


def statuses(model: nn.Module, **options: object) -> list[str]:
    report = narrows.check(model.eval(), 32, 32, only=["G2"], measurer=Told(2.0), **options)  # type: ignore[arg-type]
    return [finding.status for finding in report.findings]


def test_a_guideline_can_be_silenced_with_a_reason() -> None:
    report = narrows.check(faults.grouped().eval(), 32, 32, only=["g2"], silence={"G2": "the board wants groups"})
    assert [finding.status for finding in report.findings] == ["silenced"]
    assert "the board wants groups" in " ".join(str(report).split()) and not report.standing


@pytest.mark.parametrize(("pattern", "status"), [("body.*", "silenced"), ("head*", "stands"), ("body.0", "stands")])
def test_a_silence_for_modules_covers_a_finding_if_it_covers_all_of_it(pattern: str, status: str) -> None:
    assert statuses(faults.grouped(), silence={f"G2:{pattern}": "known"}) == [status]


@pytest.mark.parametrize("given", [{"G2": ""}, {"G2": "  "}, {"G99": "reason"}, {"X": "reason"}])
def test_no_reason_or_no_such_guideline_is_refused(given: dict[str, str]) -> None:
    with pytest.raises(InputError):
        parse_silences(given, KEYS, "silence")


def test_silences_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "pyproject.toml"
    path.write_text('[tool.narrows.silence]\nG2 = "grouped"\n"G4:encoder.*" = "small"\n')
    assert [(s.key, s.pattern, s.reason) for s in read_silences(path, KEYS)] == [
        ("G2", "*", "grouped"),
        ("G4", "encoder.*", "small"),
    ]
    path.write_text("[tool.other]\n")
    assert read_silences(path, KEYS) == []


@pytest.mark.parametrize(
    "text", ["[tool.narrows\n", "[tool.narrows]\nsilence = 3\n", "[tool.narrows.silence]\nG1 = 3\n"]
)
def test_a_bad_file_is_one_clear_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "silence.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=r"silence\.toml"):
        read_silences(path, KEYS)


def from_source(path: Path, comment: str, above: bool) -> nn.Module:
    """A network with a grouped convolution whose call carries a comment."""
    line = f"{comment}\n        x = self.grouped(x)" if above else f"x = self.grouped(x)  {comment}"
    path.write_text(
        textwrap.dedent(
            """
            from torch import nn

            class Net(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.stem = nn.Conv2d(3, 32, 3)
                    self.grouped = nn.Conv2d(32, 32, 3, groups=4)
                    self.head = nn.Conv2d(32, 1, 1)

                def forward(self, x):
                    x = self.stem(x)
                    LINE
                    return self.head(x)
            """
        ).replace("LINE", line)
    )
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    import sys

    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    net: nn.Module = module.Net()
    return net


@pytest.mark.parametrize("above", [False, True])
def test_a_comment_at_the_call_silences_it(tmp_path: Path, above: bool) -> None:
    model = from_source(tmp_path / f"net_{above}.py", "# narrows: ignore[G1, G2] as published", above)
    report = narrows.check(model.eval(), 32, 32, only=["G2"], measurer=Told(2.0))
    assert [(f.status, f.why) for f in report.findings] == [("silenced", "as published")]


def test_a_comment_for_another_guideline_does_not(tmp_path: Path) -> None:
    assert statuses(from_source(tmp_path / "other.py", "# narrows: ignore[G4] as published", False)) == ["stands"]


@pytest.mark.parametrize("comment", ["# narrows: ignore[G2]", "# narrows: ignore[G77] reason"])
def test_a_comment_without_reason_or_guideline_is_refused(tmp_path: Path, comment: str) -> None:
    model = from_source(tmp_path / f"bad{len(comment)}.py", comment, False)
    with pytest.raises(InputError, match="bad"):
        statuses(model)
