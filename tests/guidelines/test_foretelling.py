"""Verdicts for another machine: from a profile of a law that is known exactly, with nothing run."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from math import exp
from pathlib import Path

import pytest
import torch
from torch import nn

import narrows
from narrows.costing.machine import Profile
from narrows.errors import InputError
from narrows.guidelines.core.foretelling import Foretelling
from narrows.guidelines.core.guideline import Experiment
from narrows.guidelines.core.noise import LEAST_EFFECT
from narrows.guidelines.core.ratios import CALL_ERROR, Forecast
from narrows.guidelines.core.subject import Subject
from tests.costing.profiles import conv_seconds, profile
from tests.guidelines import faults

SIDE = 128


@pytest.fixture(scope="module")
def machine() -> Profile:
    return Profile.from_json(json.dumps(profile()))


def plain(*widths: int) -> nn.Sequential:
    layers = [nn.Conv2d(a, b, 3, padding=1, bias=False) for a, b in pairwise(widths)]
    return nn.Sequential(*layers).eval()


def law(*widths: int) -> float:
    return sum(conv_seconds(a, b, SIDE, 3) for a, b in pairwise(widths))


def subject(model: nn.Module, channels: int) -> Subject:
    return Subject(model, [(1, channels, SIDE, SIDE)], torch.float32)


def test_a_ratio_follows_the_law(machine: Profile) -> None:
    forecast = Forecast(subject(plain(16, 32, 32, 16), 16), machine)
    told = forecast.of(plain(16, 32, 16))
    assert told.ratio == pytest.approx(law(16, 32, 32, 16) / law(16, 32, 16), rel=0.03)
    assert told.own_before == pytest.approx(conv_seconds(32, 32, SIDE, 3), rel=0.03) and told.own_after == 0
    low, high = told.interval
    share = told.own_before / told.before
    assert (low, high) == pytest.approx((told.ratio / exp(CALL_ERROR * share), told.ratio * exp(CALL_ERROR * share)))


def test_what_is_the_same_has_no_error_but_the_least_effect(machine: Profile) -> None:
    told = Forecast(subject(plain(16, 32, 16), 16), machine).of(plain(16, 32, 16))
    assert told.ratio == pytest.approx(1) and told.differing == 0
    assert told.interval == pytest.approx((1 / (1 + LEAST_EFFECT), 1 + LEAST_EFFECT))


@pytest.mark.parametrize(
    ("change", "macs_ratio", "status"),
    [
        ((16, 8, 16), 1.0, "stands"),  # far faster than any error
        ((16, 8, 16), 1 / 60, "withdrawn"),  # and no more than the operations that it saves
        ((16, 64, 64, 64, 16), 1.0, "withdrawn"),
        ((16, 60, 60, 16), 1.0, "undecided"),  # a little faster: within the error
    ],
)
def test_the_verdict(machine: Profile, change: tuple[int, ...], macs_ratio: float, status: str) -> None:
    judge = Foretelling(subject(plain(16, 64, 64, 16), 16), machine)
    found, outcome = judge.run(Experiment("it", lambda model: plain(*change), macs_ratio=macs_ratio))
    assert found == status
    assert outcome.ratio is not None and outcome.ratio.low <= outcome.ratio.middle <= outcome.ratio.high
    assert outcome.predicted_for == "none, 1 thread"
    assert f"on {outcome.predicted_for} (predicted;" in outcome.sentence


@pytest.mark.parametrize(("added", "status"), [((16, 16), "stands"), ((16, 64, 64, 64, 16), "withdrawn")])
def test_an_addition_is_judged_by_its_time(machine: Profile, added: tuple[int, ...], status: str) -> None:
    judge = Foretelling(subject(plain(16, 64, 64, 64, 64, 16), 16), machine)
    found, outcome = judge.run(Experiment("it", lambda model: nn.Sequential(model, plain(*added)), "cost"))
    assert found == status and "would take" in outcome.sentence


def test_a_report_says_predicted_and_for_which_machine(machine: Profile) -> None:
    report = narrows.check(faults.unequal().eval(), SIDE, SIDE, only=["G1"], machine=machine)
    (finding,) = report.findings
    assert finding.outcome is not None and finding.outcome.predicted_for == report.predicted_for == "none, 1 thread"
    assert finding.outcome.size == (SIDE, SIDE) and report.tried_at is None
    text = " ".join(str(report).split())
    assert "Predicted for none, 1 thread, float32, PyTorch 2.13.0, measured 2026-01-01; nothing was run" in text
    assert " here" not in text and "Tried at" not in text
    told = json.loads(report.to_json())
    assert told["predicted_for"] == "none, 1 thread" and told["machine"]["processor"] == "none"
    assert told["findings"][0]["outcome"]["predicted_for"] == "none, 1 thread"


def test_an_operator_that_was_not_measured_is_undecided(machine: Profile) -> None:
    (finding,) = narrows.check(faults.grouped().eval(), 64, 64, only=["G2"], machine=machine).findings
    assert finding.status == "undecided" and finding.severity == "unmeasured"
    assert re.search(r"undecided: the profile of none, 1 thread holds no times of aten\.conv2d\.default", str(finding))


def test_bytes_are_counted_and_nothing_is_run(machine: Profile) -> None:
    """2000 x 2000: run, it would take 256 MB for each value of its first level."""
    (finding,) = narrows.check(faults.doubling().eval(), 2000, 2000, only=["G9"], machine=machine).findings
    assert finding.status == "stands" and finding.outcome is not None and finding.outcome.bytes is not None
    before, after = finding.outcome.bytes
    assert before >= 256_000_000 and after < before
    assert "counted, nothing was run" in finding.outcome.sentence


def test_a_fact_stands_whatever_is_predicted(machine: Profile) -> None:
    (finding,) = narrows.check(faults.barred().eval(), 64, 64, only=["G14"], machine=machine).findings
    assert finding.status == "stands" and "holds no times of" in str(finding)


def test_lines_are_counted_where_the_time_is_not_known(machine: Profile) -> None:
    """The profile knows no recursive filter."""
    (finding,) = narrows.check(faults.tall().eval(), 96, 64, only=["G13"], machine=machine).findings
    assert finding.status == "stands" and finding.outcome is not None and finding.outcome.ratio is None
    assert (
        finding.outcome.lines is not None
        and finding.outcome.gain == finding.outcome.lines[0] / finding.outcome.lines[1]
    )
    assert "a time that can't be predicted (the profile of none, 1 thread holds no times of" in finding.outcome.sentence
    assert "narrows.vertical_iir" in finding.outcome.sentence


def test_no_size_of_the_image_is_judged(machine: Profile) -> None:
    (finding,) = narrows.check(faults.equal().eval(), 8, 1024, only=["G15"], machine=machine).findings
    assert finding.status == "undecided" and "rows of one width or another" in finding.why


def test_what_cannot_go_with_a_profile_is_refused(machine: Profile, tmp_path: Path) -> None:
    for options in ({"experiments": False}, {"memory": "1GB"}):
        with pytest.raises(InputError, match="nothing is run"):
            narrows.check(faults.equal().eval(), 32, 32, machine=machine, **options)
    with pytest.raises(InputError, match="float32 only"):
        narrows.check(faults.equal().double().eval(), 32, 32, machine=machine)
    with pytest.raises(InputError, match="there is no machine profile"):
        narrows.check(faults.equal().eval(), 32, 32, machine=tmp_path / "gone.json")
