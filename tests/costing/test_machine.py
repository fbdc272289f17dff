from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.costing.profiles import profile, write

from narrows.costing.machine import cached_profile, default_path, read_profile
from narrows.errors import InputError


def test_a_profile_is_read_as_it_was_written(tmp_path: Path) -> None:
    held = profile()
    found = read_profile(write(tmp_path / "p.json"))
    assert found.threads == 1
    assert [point.seconds for point in found.points] == [point["seconds"] for point in held["points"]]
    image = found.points[0].call.args[0]
    assert list(image.shape) == held["points"][0]["args"][0]["shape"]
    assert image.contiguous


def test_strides_that_are_not_row_major_are_kept(tmp_path: Path) -> None:
    held = profile()
    held["points"][0]["args"][0] = {"shape": [1, 4, 3, 2], "stride": [24, 1, 8, 4]}
    (tmp_path / "p.json").write_text(json.dumps(held))
    assert read_profile(tmp_path / "p.json").points[0].call.args[0].channels_last


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "no JSON"),
        ("[]", "not a machine profile"),
        ('{"version": 1}', "not a machine profile"),
        (json.dumps(profile(version=0)), "version 0, and this narrows reads version 1"),
        (json.dumps(profile(version=99)), "version 99"),
        (json.dumps(profile(points=[{"target": "aten.relu.default"}])), "damaged"),
        (json.dumps(profile(overheads={})), "damaged"),
        (json.dumps({key: value for key, value in profile().items() if key != "bandwidth"}), "damaged"),
    ],
)
def test_what_is_no_profile_is_refused_in_one_line(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "p.json"
    path.write_text(text)
    with pytest.raises(InputError, match=said) as error:
        read_profile(path)
    assert "\n" not in str(error.value)
    assert "p.json" in str(error.value)


def test_a_missing_profile_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="narrows calibrate"):
        read_profile(tmp_path / "none.json")


def test_the_cache_is_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(InputError, match="no profile for 3 threads yet"):
        cached_profile(3)
    path = default_path(3)
    assert path.is_relative_to(tmp_path)
    assert path != default_path(4)
    path.parent.mkdir(parents=True)
    write(path, threads=3)
    assert cached_profile(3).threads == 3
