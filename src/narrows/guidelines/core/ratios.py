"""How much faster a change is on a machine that was measured once: from times predicted, nothing is run.

Predicted times are off by some factor, and off for both networks in the same way: it leaves their ratio alone. What the
two have in common cancels as well, so that an error remains for the calls in which they differ, in proportion to the
share of the time that these take. How large it is was measured: benchmarks/prediction_ratios.py. What fresh pages cost
is left out: which are fresh hangs on all that the heap did before, so that it would cancel nowhere.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass
from math import exp, hypot

from torch import nn
from torch.export import ExportedProgram

from narrows.costing.kinds import describe
from narrows.costing.layouts import placed_calls
from narrows.costing.machine import Profile
from narrows.costing.prediction import Predictor
from narrows.guidelines.core.noise import LEAST_EFFECT
from narrows.guidelines.core.subject import Subject
from narrows.streaming.capturing import exported

__all__ = ["CALL_ERROR", "Forecast", "Foretold"]

CALL_ERROR = 0.27
"""Ratios lie within exp(± this x the shares of time in which the networks differ): more than nine of ten, both where
these share nothing and where one is a changed copy of the other (measured on one machine)."""


@dataclass(frozen=True)
class Foretold:
    """The predicted times of a network and of its changed twin.

    Attributes:
        before, after: seconds of the two.
        own_before, own_after: of these, what calls take that the other doesn't have as well.
        unmeasured: operators of either that the machine was not measured on.
    """

    before: float
    after: float
    own_before: float
    own_after: float
    unmeasured: tuple[str, ...]

    @property
    def ratio(self) -> float:
        return self.before / self.after

    @property
    def differing(self) -> float:
        """The shares of time in which they differ, taken together as independent errors are."""
        return hypot(self.own_before / self.before, self.own_after / self.after)

    @property
    def interval(self) -> tuple[float, float]:
        """Where the measured ratio lies in nine of ten cases or more."""
        factor = max(exp(CALL_ERROR * self.differing), 1 + LEAST_EFFECT)
        return self.ratio / factor, self.ratio * factor


class Forecast:
    """Predicts for one subject, at the user's size, what a changed network takes on the machine of a profile."""

    def __init__(self, subject: Subject, profile: Profile):
        self.subject = subject
        self.profile = profile
        self._predictor = Predictor(profile)
        self._base: _Timed | None = None

    def of(self, other: nn.Module) -> Foretold:
        """The two times.

        Raises:
            CaptureError: the changed network can't be exported at this size.
        """
        if self._base is None:
            self._base = self._timed(self.subject.captured_from)
        base, changed = self._base, self._timed(other)
        return Foretold(
            base.seconds,
            changed.seconds,
            base.beyond(changed),
            changed.beyond(base),
            tuple(sorted({*base.unmeasured, *changed.unmeasured})),
        )

    def _timed(self, model: nn.Module | ExportedProgram) -> _Timed:
        program = exported(model, self.subject.inputs, self.subject.dtype)
        prediction = self._predictor.predict(program)
        calls: Counter[Hashable] = Counter()
        each: dict[Hashable, float] = {}
        unmeasured = set()
        for placed, operator in zip(placed_calls(program), prediction.operators, strict=True):
            described = None if placed.view else describe(placed.call, self.profile.threads)
            # What a table can't tell apart it predicts alike, and wrong alike.
            known = (described.kind, described.features) if described else repr(placed.call)
            calls[known] += 1
            each[known] = operator.seconds - operator.fresh_seconds
            if operator.kind is None:
                unmeasured.add(f"{operator.target} ({described.kind})" if described else operator.target)
        seconds = sum(operator.seconds - operator.fresh_seconds for operator in prediction.operators)
        return _Timed(seconds, calls, each, tuple(sorted(unmeasured)))


@dataclass(frozen=True)
class _Timed:
    seconds: float
    calls: Counter[Hashable]
    each: dict[Hashable, float]
    unmeasured: tuple[str, ...]

    def beyond(self, other: _Timed) -> float:
        """Seconds of the calls that the other doesn't make as often."""
        return sum(count * self.each[known] for known, count in (self.calls - other.calls).items())
