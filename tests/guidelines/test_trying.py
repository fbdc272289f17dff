"""Experiments: real runs, the size they run at, what they refuse, and how measuring takes turns."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import narrows
from narrows.errors import CaptureError, InputError
from narrows.guidelines.core.guideline import Experiment, NotTriable
from narrows.guidelines.core.measuring import ThisMachine, kept_lively
from narrows.guidelines.core.subject import Subject
from narrows.guidelines.core.trying import Bench, frame_bytes
from narrows.guidelines.core.widths import Widths
from narrows.networks.dilated import dilated
from narrows.networks.unet import unet
from tests.guidelines import faults
from tests.guidelines.measurers import Told


def subject(model: nn.Module, height: int = 64, width: int = 64, channels: int = 3) -> Subject:
    return Subject(model.eval(), [(1, channels, height, width)], torch.float32)


def test_a_real_check_measures_and_says_so() -> None:
    """No direction of time is asserted: only that what was measured is complete and consistent."""
    report = narrows.check(faults.passes().eval(), 64, 64, only=["G4", "G15"], seconds=0.1)
    (finding,) = report.findings
    assert finding.outcome is not None and finding.outcome.ratio is not None
    ratio = finding.outcome.ratio
    assert ratio.low <= ratio.middle <= ratio.high and ratio.noise > 0
    assert finding.status in ("stands", "withdrawn", "undecided")
    assert finding.outcome.size == (64, 64) == report.tried_at
    told = json.loads(report.to_json())
    assert told["findings"][0]["outcome"]["ratio"]["middle"] == ratio.middle
    assert finding.outcome.sentence in " ".join(str(report).split())


def test_memory_is_measured_as_it_is_allocated() -> None:
    """Two values of 4 MB at once: the convolution's input and its output."""
    model = nn.Sequential(nn.Conv2d(1, 16, 1), nn.ReLU(), nn.ReLU()).eval()
    x = torch.rand(1, 1, 256, 256)
    with torch.inference_mode():
        peak = ThisMachine().peak(lambda: model(x))
    assert 2 * 4_194_304 <= peak < 2.3 * 4_194_304


def test_turns_are_shuffled_and_every_round_has_each() -> None:
    ticks = iter(range(10_000))
    calls: list[str] = []
    machine = ThisMachine(clock=lambda: float(next(ticks)))

    def run(name: str) -> Callable[[], Any]:
        return lambda: calls.append(name)

    taken = machine.seconds({name: run(name) for name in "abc"}, limit=0.0)
    assert {name: len(values) for name, values in taken.items()} == {"a": 7, "b": 7, "c": 7}
    rounds = [calls[-21:][i : i + 3] for i in range(0, 21, 3)]
    assert all(sorted(names) == ["a", "b", "c"] for names in rounds)
    assert len({tuple(names) for names in rounds}) > 1


def test_the_size_is_the_largest_that_memory_allows() -> None:
    seen = subject(faults.passes(), 512, 256)
    need = frame_bytes(seen)
    assert Bench(seen, Told(), 10 * need, 1.0).size == (512, 256)
    bench = Bench(seen, Told(), need, 1.0)
    assert bench.size[1] == 256 and 256 <= bench.size[0] < 512 and bench.size[0] % 32 == 0
    assert "the largest that fits" in bench.because


def test_the_report_says_at_which_size_it_tried() -> None:
    report = narrows.check(faults.passes().eval(), 512, 256, only=["G4"], measurer=Told(1.5), memory=8_000_000)
    assert report.tried_at is not None and report.tried_at < (512, 256)
    assert f"Tried at {report.tried_at[0]} x {report.tried_at[1]}, the largest that fits in 8.0 MB" in str(report)


def test_frame_bytes_are_freed_at_last_use() -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 1), nn.Conv2d(8, 1, 1))
    assert frame_bytes(subject(model)) == 2 * 8 * 64 * 64 * 4


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda model: nn.Conv2d(3, 1, 3), "another shape"),
        (lambda model: nn.Conv2d(4, 1, 1), "doesn't run"),
    ],
)
def test_a_change_that_breaks_the_network_is_not_tried(change: Callable[[nn.Module], nn.Module], why: str) -> None:
    bench = Bench(subject(faults.equal()), Told(), 10**9, 1.0)
    with pytest.raises(NotTriable, match=why):
        bench.run(Experiment("it", change))


def test_weights_that_fade_are_kept_from_denormal_numbers() -> None:
    model = nn.Sequential(*(nn.Conv2d(4, 4, 1) for _ in range(30)))
    with torch.no_grad():
        for part in model:
            part.weight.mul_(1e-3)
            part.bias.zero_()
    x = torch.rand(1, 4, 8, 8)
    with torch.no_grad():
        assert float(model(x).abs().max()) < 1e-38
        kept_lively(model, lambda m: m(x))
        assert float(model(x).abs().max()) > 1e-8
    assert not any(part._forward_hooks for part in model.modules())


@pytest.mark.parametrize("model", [unet(depth=2), dilated()], ids=["unet", "dilated"])
def test_widths_count_what_a_network_of_these_widths_costs(model: nn.Module) -> None:
    """The operations foretold are those of the changed network, captured anew."""
    from narrows.guidelines.core.surgery import changed

    seen = subject(model, channels=6)
    widths = Widths(seen)
    free = widths.free_groups()
    assert free
    chosen = {group: widths.count(group) + 3 + place for place, group in enumerate(free)}
    other = changed(model, widths.change(chosen))
    assert subject(other, channels=6).macs == pytest.approx(widths.macs(chosen), rel=1e-6)
    assert widths.macs({}) == seen.macs


def test_widths_that_are_fixed_say_why() -> None:
    class Fixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.scale = nn.Conv2d(3, 8, 1), nn.Parameter(torch.ones(1, 8, 1, 1))
            self.head = nn.Conv2d(8, 1, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.stem(x) * self.scale)

    seen = subject(Fixed())
    widths = Widths(seen)
    first, last = seen.convs
    assert "the width of the image" in widths.why_fixed([widths.group(first.x)])
    assert "entry for each channel" in widths.why_fixed([widths.group(first.node)])
    assert "the width of the output" in widths.why_fixed([widths.group(last.node)])


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"only": ["G99"]}, "no guideline 'G99'"),
        ({"seconds": 0.0}, "takes some time"),
        ({"memory": "lots"}, "not an amount of memory"),
        ({"silence": {"G1": ""}}, "say why"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], match: str) -> None:
    with pytest.raises(InputError, match=match):
        narrows.check(faults.equal().eval(), 32, 32, **options)


def test_a_size_that_the_network_rejects_is_one_line() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 7), nn.Conv2d(4, 1, 7)).eval()
    with pytest.raises(CaptureError, match="can't be captured at this size") as caught:
        narrows.check(model, 8, 8)
    assert "\n" not in str(caught.value)
