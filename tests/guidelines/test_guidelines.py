"""Each guideline finds its planted fault, says nothing of the clean twin, and can try what it found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import nn

import narrows
from narrows.guidelines.catalogue import GUIDELINES
from narrows.guidelines.core.finding import Finding
from tests.guidelines import faults
from tests.guidelines.measurers import Told

Factory = Callable[[], nn.Module]


@dataclass(frozen=True)
class Case:
    """A fault with its twin; `size` is where it shows, `module` the place named, `fact` a part of what is said.

    `certain`: its verdict isn't one of time.
    """

    faulty: Factory
    clean: Factory
    module: str
    fact: str
    size: tuple[int, int] = (64, 64)
    certain: bool = False
    measurer: Callable[[], Told] = lambda: Told(gain=1.5)


CASES = {
    "G1": Case(faults.unequal, faults.equal, "body.0", "16 to 128 channels"),
    "G2": Case(faults.grouped, faults.ungrouped, "body.0", "32 to 32 channels in 4 groups"),
    "G3": Case(faults.fragmented, faults.whole, "body.0", "5 convolutions in up to 5 parallel branches"),
    "G4": Case(faults.passes, faults.few_passes, "", "move"),
    "G5": Case(faults.changing, faults.steady, "body.0", "6 of 6 convolutions"),
    "G6": Case(faults.narrow_relu, faults.narrow_linear, "body.0", "ReLU on 8 channels", certain=True),
    "G7": Case(faults.separable_first, faults.dense_first, "stem.0", "first layer on 3 channels"),
    "G8": Case(faults.split, faults.unsplit, "body.0", "3 x 3 split into 3 x 1 and 1 x 3"),
    "G9": Case(
        faults.doubling, faults.quadrupling, "stem", "holds 256.0 MB", (2000, 2000), measurer=lambda: Told(bytes_gain=2)
    ),
    "G10": Case(
        faults.without_attention, faults.with_attention, "body.7", "no attention", measurer=lambda: Told(gain=0.99)
    ),
    "G11": Case(faults.gated, faults.not_gated, "body.1", "channel attention with"),
    "G12": Case(faults.long_skip, faults.short_skip, "entry", "1 skip holds", certain=True),
    "G13": Case(faults.tall, faults.flat, "body.0", "6 convolutions of 5 rows and more", (96, 64), certain=True),
    "G14": Case(faults.barred, faults.unbarred, "body.1", "instance norm", certain=True),
    "G15": Case(faults.odd_widths, faults.even_widths, "body.0", "1 convolution to 20 channels"),
}
ALL = pytest.mark.parametrize("key", CASES)
# A frame of 268 MB must not be run in a test.
LITTLE = 60_000_000


def found(key: str, model: nn.Module, case: Case, measurer: Told | None = None) -> list[Finding]:
    report = narrows.check(
        model.eval(), *case.size, only=[key], measurer=measurer or case.measurer(), memory=LITTLE, seconds=1.0
    )
    return list(report.findings)


def test_every_guideline_has_a_case() -> None:
    assert list(CASES) == [guideline.key for guideline in GUIDELINES]


@ALL
def test_the_planted_fault_is_found_and_tried(key: str) -> None:
    case = CASES[key]
    (finding,) = found(key, case.faulty(), case)
    assert finding.module == case.module and case.fact in finding.fact
    assert finding.source is not None and finding.source.startswith("faults.py:")
    assert finding.status == "stands" and finding.outcome is not None, str(finding)
    assert "here" in finding.outcome.sentence


@ALL
def test_the_clean_twin_is_left_alone(key: str) -> None:
    """By its own guideline with its experiments, and by all the others."""
    case = CASES[key]
    assert found(key, case.clean(), case) == []
    assert not narrows.check(case.clean().eval(), *case.size, experiments=False).findings


@pytest.mark.parametrize("key", [key for key, case in CASES.items() if not case.certain])
def test_what_brings_nothing_is_withdrawn(key: str) -> None:
    case = CASES[key]
    gain = 0.5 if key == "G10" else 1.0
    (finding,) = found(key, case.faulty(), case, Told(gain))
    assert finding.status == "withdrawn" and finding.severity == "none"
    assert "not on this machine" in str(finding)


# G9 is judged by bytes, which have no noise.
@pytest.mark.parametrize("key", [key for key, case in CASES.items() if not case.certain and key != "G9"])
def test_nothing_is_said_inside_the_noise(key: str) -> None:
    case = CASES[key]
    (finding,) = found(key, case.faulty(), case, Told(gain=1.2, noise=0.3))
    assert finding.status == ("undecided" if key != "G10" else "stands")


@ALL
def test_the_network_is_left_as_it_was(key: str) -> None:
    case = CASES[key]
    model = case.faulty().eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    kinds = [type(part) for part in model.modules()]
    settings = [{k: v for k, v in vars(part).items() if not k.startswith("_")} for part in model.modules()]
    found(key, model, case)
    after = model.state_dict()
    assert list(after) == list(before) and all(torch.equal(after[name], before[name]) for name in before)
    assert [type(part) for part in model.modules()] == kinds
    assert [{k: v for k, v in vars(part).items() if not k.startswith("_")} for part in model.modules()] == settings


def test_equal_widths_keep_the_operations() -> None:
    (finding,) = found("G1", faults.unequal(), CASES["G1"])
    assert finding.outcome is not None
    assert finding.outcome.macs_ratio == pytest.approx(1, abs=0.05)
    assert "equal width (" in finding.outcome.sentence and "ran 1.50 x faster here (1.50 to 1.50)" in str(finding)


def test_folding_that_changed_the_result_would_be_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Folding is checked against the network: with no room for rounding, nothing is claimed."""
    from narrows.guidelines.core import copies

    case = CASES["G4"]
    monkeypatch.setattr(copies, "_SAME_WITHIN", 0.0)
    (finding,) = found("G4", case.faulty(), case)
    assert finding.status == "not tried" and "same result" in finding.why


def test_padding_does_not_hide_a_depth() -> None:
    """At 1098 rows the default water network has 138 at an eighth of the resolution, not 137.25."""
    from narrows.networks.rowwise_water import rowwise_water

    for height in (96, 98):
        (finding,) = narrows.check(rowwise_water().eval(), height, 64, only=["G10"], experiments=False).findings
        assert "at 1/8 of the resolution" in finding.fact


def test_an_excess_counts_only_beyond_the_operations_saved() -> None:
    """Channel attention that holds half of the operations may hold half of the time."""
    model = nn.Sequential(nn.Conv2d(3, 64, 1), faults.Gate(64), nn.Conv2d(64, 1, 1)).eval()
    for gain, status in ((1.2, "withdrawn"), (3.0, "stands")):
        report = narrows.check(model, 2, 2, only=["G11"], measurer=Told(gain), seconds=1.0)
        assert [finding.status for finding in report.findings] == [status]


def test_functional_code_is_seen_and_said_not_to_be_triable() -> None:
    class Functional(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.weight = nn.Conv2d(3, 16, 3, padding=1), nn.Parameter(torch.zeros(16, 4, 3, 3))
            self.head = nn.Conv2d(16, 1, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(nn.functional.conv2d(self.stem(x), self.weight, padding=1, groups=4))

    (finding,) = narrows.check(Functional().eval(), 32, 32, only=["G2"], measurer=Told(2.0)).findings
    assert finding.status == "not tried" and "called as a function, not as a module" in finding.why


def test_an_exported_program_is_looked_at_and_not_tried() -> None:
    program = torch.export.export(faults.grouped().eval(), (torch.zeros(1, 3, 32, 32),))
    (finding,) = narrows.check(program, 32, 32, only=["G2"]).findings
    assert finding.status == "not tried" and "exported program" in finding.why


def test_the_weightiest_places_are_tried_and_the_others_counted() -> None:
    pairs = [(128, 16), (16, 96), (96, 12), (12, 72), (72, 8), (8, 64)]
    model = faults.Chain(128, *(faults.conv(a, b) for a, b in pairs), last=64)
    report = narrows.check(model.eval(), 32, 32, only=["G1"], measurer=Told(1.5), seconds=1.0)
    assert [finding.status for finding in report.findings] == ["stands"] * 3 + ["not tried"]
    assert "2 more places (body." in report.findings[-1].fact and "weightiest" in report.findings[-1].why
