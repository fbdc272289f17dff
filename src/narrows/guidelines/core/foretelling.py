"""Judging an experiment for another machine: from its profile, with nothing run."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from narrows.costing.eager import eager_peak
from narrows.costing.machine import Profile
from narrows.costing.report import Peak
from narrows.errors import CaptureError
from narrows.guidelines.core.copies import call, check_same, images
from narrows.guidelines.core.counting import SAVED, Counted, counted
from narrows.guidelines.core.finding import Outcome, Status, with_operations
from narrows.guidelines.core.guideline import Experiment, NotTriable, Undecidable
from narrows.guidelines.core.noise import LEAST_EFFECT, Ratio
from narrows.guidelines.core.ratios import Forecast, Foretold
from narrows.guidelines.core.subject import Subject
from narrows.guidelines.core.surgery import changed
from narrows.guidelines.core.trying import CHEAP
from narrows.units import format_bytes

__all__ = ["Foretelling", "machine_name"]

_CROP = 64
# Printed with two decimals, this is 1.00.
_ALIKE = 0.005


class Foretelling:
    """Judges experiments on one subject by the times that a machine's profile predicts, at the user's own size."""

    because = ""

    def __init__(self, subject: Subject, profile: Profile):
        self.subject = subject
        self.machine = machine_name(profile)
        self._forecast = Forecast(subject, profile)

    def run(self, experiment: Experiment) -> tuple[Status, Outcome]:
        """The verdict on one experiment.

        Raises:
            NotTriable: the change can't be made to this network, or what comes of it doesn't run.
            Undecidable: the profile can't tell.
        """
        assert self.subject.model is not None
        if experiment.size is not None:
            raise Undecidable("a profile doesn't tell what rows of one width or another cost")
        other = changed(self.subject.model, experiment.change)
        if experiment.same_result:
            self._check_same(other)
        beside = counted(self.subject, experiment, other)
        if experiment.judged_by == "memory":
            return self._memory(experiment, other, beside)
        try:
            told = self._forecast.of(other)
        except CaptureError as error:
            raise NotTriable(f"the changed network doesn't run ({error})") from error
        untold = ""
        if told.unmeasured:
            untold = f"the profile of {self.machine} holds no times of {', '.join(told.unmeasured)}"
        if untold and not beside.lines:
            raise Undecidable(untold)
        return self._time(experiment, told, beside, untold)

    def _time(self, experiment: Experiment, told: Foretold, beside: Counted, untold: str) -> tuple[Status, Outcome]:
        ratio = None if untold else Ratio(told.ratio, *told.interval)
        if ratio is None:
            status, words = beside.verdict, f"would take a time that can't be predicted ({untold})"
        else:
            status, words = _judged(experiment, ratio, self.machine)
        more = [experiment.counted] if experiment.counted else []
        more += beside.sentences()
        said = with_operations(f"{experiment.title} {words}", experiment.macs_ratio)
        gain = beside.gain or experiment.counted_gain or (ratio.middle if ratio else 1.0)
        if beside.lines:
            status = beside.verdict
        return status, self._outcome(experiment, "; ".join([said, *more]), gain, ratio, beside)

    def _memory(self, experiment: Experiment, other: nn.Module, beside: Counted) -> tuple[Status, Outcome]:
        assert self.subject.model is not None
        before, after = self._peak(self.subject.model), self._peak(other)
        gain = before / after if after else 1.0
        held = f"({format_bytes(after)} instead of {format_bytes(before)}; counted, nothing was run)"
        words = f"{experiment.title} would hold {after / max(before, 1):.2f} x the memory {held}"
        said = with_operations(words, experiment.macs_ratio)
        status: Status = "stands" if gain >= SAVED else "withdrawn"
        sentence = "; ".join([said, *beside.sentences()])
        return status, self._outcome(experiment, sentence, gain, None, beside, (before, after))

    def _outcome(
        self,
        experiment: Experiment,
        sentence: str,
        gain: float,
        ratio: Ratio | None,
        beside: Counted,
        held: tuple[int, int] | None = None,
    ) -> Outcome:
        return Outcome(
            sentence,
            gain,
            ratio,
            held,
            (self.subject.height, self.subject.width),
            experiment.macs_ratio,
            predicted_for=self.machine,
            lines=beside.lines,
            delay=beside.delay,
            streamed=beside.streamed,
        )

    def _peak(self, model: nn.Module) -> int:
        """Most bytes that the user's Python holds at once, beyond the images that it is given."""
        shapes, dtype = self.subject.inputs, self.subject.dtype
        named = dict(shapes) if isinstance(shapes, Mapping) else {}
        listed = [] if isinstance(shapes, Mapping) else list(shapes)
        blank = [torch.empty(shape, dtype=dtype, device="meta") for shape in listed]
        blank_named: dict[str, Any] = {k: torch.empty(s, dtype=dtype, device="meta") for k, s in named.items()}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = eager_peak(model, blank, blank_named)
        if not isinstance(found, Peak):
            raise NotTriable(found)
        return found.bytes - sum(t.numel() * t.element_size() for t in (*blank, *blank_named.values()))

    def _check_same(self, other: nn.Module) -> None:
        """Run both here on a small image: that they do the same holds on every machine."""
        size = (min(self.subject.height, _CROP), min(self.subject.width, _CROP))
        inputs = images(self.subject, size)
        with torch.inference_mode():
            try:
                call(other, inputs)
            except Exception as error:
                raise NotTriable(f"that it leaves the result as it is can't be checked ({error})") from error
            check_same(self.subject, other, inputs)


def machine_name(profile: Profile) -> str:
    """What to call the machine of a profile: ``"AMD EPYC, 1 thread"``."""
    processor = profile.machine.get("processor") or "an unnamed processor"
    return f"{processor}, {profile.threads} thread{'s' * (profile.threads != 1)}"


def _judged(experiment: Experiment, ratio: Ratio, machine: str) -> tuple[Status, str]:
    """The verdict, and the words for the prediction."""
    spread, slow = f"{ratio.low:.2f} to {ratio.high:.2f}", f"{1 / ratio.high:.2f} to {1 / ratio.low:.2f}"
    if experiment.judged_by == "lines":
        return (
            "stands",
            f"would take {1 / ratio.middle:.2f} x the time of a full frame on {machine} (predicted; {slow})",
        )
    if experiment.judged_by == "cost":
        words = f"would take {1 / ratio.middle:.2f} x the time on {machine} (predicted; {slow}"
        status: Status = "stands" if 1 / ratio.low <= CHEAP else "withdrawn" if 1 / ratio.high > CHEAP else "undecided"
        return status, _closed(words, status)
    if abs(ratio.middle - 1) < _ALIKE:
        words = f"would take the same time on {machine} (predicted; {spread} x faster"
    elif ratio.middle > 1:
        words = f"would run {ratio.middle:.2f} x faster on {machine} (predicted; {spread}"
    else:
        words = f"would run {1 / ratio.middle:.2f} x slower on {machine} (predicted; {slow}"
    # What fewer operations alone would bring is not the guideline's doing.
    owed = max(1.0, 1 / experiment.macs_ratio) + LEAST_EFFECT
    status = "stands" if ratio.low > owed else "withdrawn" if ratio.high <= owed else "undecided"
    return status, _closed(words, status)


def _closed(words: str, status: Status) -> str:
    return f"{words}, too wide to decide)" if status == "undecided" else f"{words})"
