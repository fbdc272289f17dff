"""Lines, strips and further passes, counted and measured beside a time."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import narrows
from narrows.guidelines.core.lines import STRIP
from narrows.guidelines.core.measuring import ThisMachine
from narrows.guidelines.core.subject import Subject
from narrows.guidelines.core.sweeping import UpTo, further_passes
from narrows.layers.squeeze_excitation import SqueezeExcitation
from narrows.streaming.capturing import captured
from tests.guidelines import faults
from tests.guidelines.measurers import Told

ROW = 16 * 64 * 4  # bytes of a row of 16 channels


def test_recursive_filters_keep_one_line_each_and_wait_for_none() -> None:
    """Six kernels of 13 rows keep 12 lines each; what waits besides are the two rows of the first 3 x 3."""
    (finding,) = narrows.check(faults.tall().eval(), 96, 64, only=["G13"], measurer=Told(0.5), seconds=1.0).findings
    outcome = finding.outcome
    assert outcome is not None and outcome.lines is not None and outcome.delay is not None
    assert finding.status == "stands" and finding.severity == "high"
    before, after = outcome.lines
    stem = 2 * 3 * 64 * 4
    assert before == 6 * 12 * ROW + stem and after == 6 * ROW + stem
    assert outcome.gain == pytest.approx(before / after)
    assert outcome.delay == (38, 2)
    assert outcome.streamed is not None and None not in outcome.streamed and outcome.streamed[1] < outcome.streamed[0]
    assert outcome.ratio is not None and outcome.ratio.middle == pytest.approx(0.5)
    assert "took 2.00 x the time of a full frame here" in outcome.sentence
    assert "the first row waits for 2 rows instead of 38 (counted)" in outcome.sentence


def test_the_filters_tried_are_those_of_the_layers() -> None:
    from narrows.guidelines.core.surgery import changed
    from narrows.layers.conversion import RecursiveConv2d

    model = faults.tall().eval()
    subject = Subject(model, [(1, 3, 96, 64)], torch.float32)
    from narrows.guidelines.vertical_reach import find

    (seen,) = find(subject)
    assert seen.experiment is not None
    other = changed(model, seen.experiment.change)
    filters = [part for part in other.modules() if isinstance(part, RecursiveConv2d)]
    assert len(filters) == 6 and all(part.order == 1 and part.delay == 0 for part in filters)
    captured = Subject(other, [(1, 3, 96, 64)], torch.float32)
    assert captured.macs / subject.macs == pytest.approx(seen.experiment.macs_ratio, rel=1e-6)


def test_what_has_no_recursive_filter_says_why() -> None:
    model = faults.Chain(16, *(nn.Conv2d(16, 16, (13, 1), padding=(6, 0), padding_mode="reflect") for _ in range(6)))
    (finding,) = narrows.check(model.eval(), 96, 64, only=["G13"], measurer=Told()).findings
    assert finding.status == "not tried" and "padded with mode 'reflect'" in finding.why


def test_memory_is_said_streamed_as_well() -> None:
    (finding,) = narrows.check(
        faults.doubling().eval(), 2000, 2000, only=["G9"], measurer=Told(bytes_gain=2), memory=60_000_000, seconds=1.0
    ).findings
    outcome = finding.outcome
    assert outcome is not None and outcome.streamed is not None
    before, after = outcome.streamed
    assert before is not None and after is not None and after < before < 60_000_000
    assert f"streamed in strips of {STRIP} rows it holds" in outcome.sentence


def test_a_barrier_says_what_its_pass_takes_and_what_strips_would_hold() -> None:
    (finding,) = narrows.check(
        faults.barred().eval(), 64, 64, only=["G14"], measurer=Told(again=0.5), seconds=1.0
    ).findings
    outcome = finding.outcome
    assert outcome is not None and outcome.streamed is not None and outcome.again is not None
    assert outcome.streamed[0] is None and outcome.streamed[1] is not None
    assert outcome.again.middle == pytest.approx(0.5)
    assert "the further pass takes 0.50 x the time of a run without it here" in outcome.sentence
    assert "the network as it is can't be" in outcome.sentence


def test_every_barrier_that_waits_for_another_is_a_pass() -> None:
    gates = [SqueezeExcitation(16) for _ in range(3)]
    model = faults.Chain(16, *(part for gate in gates for part in (faults.conv(16, 16), gate))).eval()
    (finding,) = narrows.check(model, 64, 64, only=["G14"], measurer=Told(again=1.5), seconds=1.0).findings
    assert finding.outcome is not None
    assert "3 further passes over all rows" in finding.fact
    assert "the 3 further passes take 1.50 x the time of a run without them" in finding.outcome.sentence


def test_a_sweep_goes_as_far_as_the_barrier() -> None:
    gate = SqueezeExcitation(16)
    model = faults.Chain(16, faults.conv(16, 16), gate, faults.conv(16, 16)).eval()
    graph = captured(UpTo(model, ["body.1"]).eval(), [(1, 3, 64, 64)], torch.float32)
    assert not graph.refusals and sum(node.operator == "conv2d" for node in graph.nodes) == 2
    image = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        (found,) = narrows.stream(UpTo(model, ["body.1"]).eval(), image)
        expected = model.body[0](model.stem(image))
    assert torch.allclose(found, expected, atol=1e-5)
    assert not gate._forward_pre_hooks


def test_the_further_pass_is_measured_by_running_it() -> None:
    """No direction of time is asserted: only that what was measured is complete."""
    subject = Subject(faults.barred().eval(), [(1, 3, 64, 64)], torch.float32)
    levels = [{"body.1": lambda old: nn.BatchNorm2d(16)}]
    ratio = further_passes(subject, levels, (64, 64), ThisMachine(), 0.1)
    assert ratio is not None and 0 < ratio.low <= ratio.middle <= ratio.high


class Classifier(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(faults.conv(3, 16), SqueezeExcitation(16), faults.conv(16, 16))
        self.classes = nn.Linear(16, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classes(self.features(x).mean((2, 3)))


def test_a_classifier_is_streamed_as_far_as_its_pooling() -> None:
    model = Classifier().eval()
    subject = Subject(model, [(1, 3, 64, 64)], torch.float32)
    levels = [{"features.1": lambda old: nn.Identity()}]
    assert further_passes(subject, levels, (64, 64), ThisMachine(), 0.1) is not None
    (finding,) = narrows.check(model, 64, 64, only=["G14"], measurer=Told(again=0.4), seconds=1.0).findings
    assert "the further pass takes 0.40 x" in str(finding) and finding.severity == "high"
