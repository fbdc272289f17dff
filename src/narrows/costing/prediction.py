"""How long a network will take on a machine, before it runs: from its exported graph and the machine's profile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from torch.export import ExportedProgram

from narrows.costing.heap import Heap
from narrows.costing.interpolation import Table
from narrows.costing.kinds import Described, Scratch, describe
from narrows.costing.layouts import Call, PlacedCall, placed_calls
from narrows.costing.machine import Profile

__all__ = ["OperatorTime", "Prediction", "Predictor", "predict"]

_FEWEST_POINTS = 6
# Passes until the simulated heap does the same each time.
_PASSES = 4


class _Named(Protocol):
    @property
    def name(self) -> str: ...


@dataclass(frozen=True)
class OperatorTime:
    """The predicted time of one call.

    Attributes:
        name: of its value in the exported program.
        target, module: as in the program.
        kind: the table that told; ``"view"``; or None where the machine was not measured on such an operator, and only
            the bytes that it moves were counted.
        seconds: altogether; of these `fresh_seconds` for pages that the kernel has to find.
    """

    name: str
    target: str
    module: str
    kind: str | None
    seconds: float
    fresh_seconds: float


@dataclass(frozen=True)
class Prediction:
    """The predicted time of a network: of each call in order, and of the whole."""

    operators: tuple[OperatorTime, ...]
    threads: int

    @property
    def seconds(self) -> float:
        """Of one run after the first."""
        return sum(operator.seconds for operator in self.operators)

    @property
    def unmeasured(self) -> tuple[str, ...]:
        """ATen names of operators that the machine was not measured on."""
        return tuple(sorted({operator.target for operator in self.operators if operator.kind is None}))

    def predict(self, operator: _Named) -> float:
        """Seconds of the call that makes the value of this name; 0 where the program has none."""
        return self._by_name.get(operator.name, 0.0)

    @property
    def _by_name(self) -> Mapping[str, float]:
        return {operator.name: operator.seconds for operator in self.operators}


class Predictor:
    """Reads a machine's tables; these are fitted when they are first needed."""

    def __init__(self, profile: Profile):
        self.profile = profile
        self._points: dict[str, list[tuple[Described, float]]] = {}
        for point in profile.points:
            described = describe(point.call, profile.threads)
            if described is not None:
                self._points.setdefault(described.kind, []).append((described, point.seconds))
        self._tables: dict[str, Table | None] = {}

    @property
    def kinds(self) -> list[str]:
        """Every kind that was measured, and often enough."""
        return sorted(kind for kind, points in self._points.items() if len(points) >= _FEWEST_POINTS)

    def table(self, kind: str) -> Table | None:
        """The table of `kind`; None where too little was measured."""
        if kind not in self._tables:
            points = self._points.get(kind, [])
            self._tables[kind] = None
            if len(points) >= _FEWEST_POINTS:
                features = np.array([described.features for described, _ in points])
                work = np.array([described.work for described, _ in points])
                seconds = np.array([seconds for _, seconds in points])
                self._tables[kind] = Table.fit(features, work, seconds)
        return self._tables[kind]

    def predict(self, program: ExportedProgram) -> Prediction:
        """The time of one run of `program`, as exported (not made functional), after a first one."""
        calls = placed_calls(program)
        described = [None if each.view else describe(each.call, self.profile.threads) for each in calls]
        kinds = [self._known(each) for each in described]
        warm = self._warm(calls, described, kinds)
        fresh = _fresh_bytes(calls, described)
        far = self._far(calls)
        a_byte = self.profile.fresh_seconds_per_byte or 0.0
        found = []
        for place, each in enumerate(calls):
            cold = fresh[place] * a_byte
            seconds = warm[place] + cold + far[place] + (0.0 if each.view else self.profile.between_seconds)
            kind = "view" if each.view else kinds[place]
            found.append(OperatorTime(each.name, each.call.target, each.module, kind, seconds, cold))
        return Prediction(tuple(found), self.profile.threads)

    def _known(self, described: Described | None) -> str | None:
        """The kind if it was measured, else the nearest that was."""
        if described is None:
            return None
        kind = described.kind
        for name in (kind, kind.removesuffix("_"), kind.replace("channels_last", "contiguous")):
            if len(self._points.get(name, [])) >= _FEWEST_POINTS:
                return name
        return None

    def _warm(
        self, calls: Sequence[PlacedCall], described: Sequence[Described | None], kinds: Sequence[str | None]
    ) -> list[float]:
        seconds = [0.0] * len(calls)
        places: dict[str, list[int]] = {}
        for place, kind in enumerate(kinds):
            if kind is not None:
                places.setdefault(kind, []).append(place)
            elif calls[place].view:
                seconds[place] = self.profile.view_seconds
            else:
                seconds[place] = self._by_bytes(calls[place].call)
        for kind, here in places.items():
            table = self.table(kind)
            assert table is not None
            wanted: list[Any] = [described[place] for place in here]
            told = table.seconds(np.array([w.features for w in wanted]), np.array([w.work for w in wanted]))
            for place, value in zip(here, told, strict=True):
                seconds[place] = float(value)
        return seconds

    def _far(self, calls: Sequence[PlacedCall]) -> list[float]:
        """Seconds for weights that come from main memory, because a run touches more than the caches hold."""
        rates = [rate for _, rate in self.profile.bandwidth]
        cache = max(size for size, rate in self.profile.bandwidth if rate >= max(rates) / 2)
        weights = [0 if each.view else _weight_bytes(each.call) for each in calls]
        touched = sum(weights) + sum(sorted((size for each in calls for _, size in each.makes), reverse=True)[:2])
        share = max(0.0, 1 - cache / max(touched, 1))
        return [share * count * (self.profile.cold_seconds_per_byte or 0.0) for count in weights]

    def _by_bytes(self, call: Call) -> float:
        moved = sum(t.count * t.itemsize for t in (*call.tensors, *call.outputs))
        levels = self.profile.bandwidth
        rate = np.interp(np.log(max(moved, 1)), [np.log(b) for b, _ in levels], [r for _, r in levels])
        return self.profile.operator_seconds + moved / float(rate)


def predict(program: ExportedProgram, profile: Profile) -> Prediction:
    """The time that `program` takes on the machine of `profile`."""
    return Predictor(profile).predict(program)


def _weight_bytes(call: Call) -> int:
    return sum(t.count * t.itemsize for t in call.tensors if t.constant)


def _fresh_bytes(calls: Sequence[PlacedCall], described: Sequence[Described | None]) -> list[int]:
    """For each call the bytes on fresh pages that it writes, once the heap has come to do the same each run."""
    heap = Heap()
    fresh = [0] * len(calls)
    for _ in range(_PASSES):
        for place, each in enumerate(calls):
            of_call = described[place]
            scratch = of_call.scratch if of_call is not None else Scratch()
            before, through, after = (
                {(when, number): size for number, size in enumerate(sizes)}
                for when, sizes in zip(scratch._fields, scratch, strict=True)
            )
            fresh[place] = sum(heap.allocate(key, size) for key, size in (before | through).items())
            for key in before:
                heap.free(key)
            fresh[place] += sum(heap.allocate(key, size) for key, size in (*each.makes, *after.items()))
            for key in (*through, *after):
                heap.free(key)
            for number in each.frees:
                heap.free(number)
    return fresh
