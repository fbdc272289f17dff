"""Running an experiment: the user's network and the changed one, at the user's size or the largest that fits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils import _pytree as pytree

from narrows.guidelines.core.copies import call, check_same, copied, images
from narrows.guidelines.core.counting import SAVED, Counted, counted
from narrows.guidelines.core.finding import Outcome, Status, memory_sentence, with_operations
from narrows.guidelines.core.guideline import Experiment, NotTriable
from narrows.guidelines.core.measuring import Measurer, kept_lively
from narrows.guidelines.core.noise import Ratio, compared
from narrows.guidelines.core.subject import Subject
from narrows.guidelines.core.surgery import changed
from narrows.guidelines.core.sweeping import further_passes, sentence
from narrows.units import format_bytes

__all__ = ["CHEAP", "Bench", "frame_bytes"]

# What an addition may cost in time and still be called cheap.
CHEAP = 1.05
# Contestants times rounds that an experiment needs at least, with two runs of each before.
_RUNS = 3 * (7 + 2)
_SMALLEST = 64
_STEP = 32
# Python holds on to some values longer than they are needed, and convolutions unfold into scratch.
_HELD_LONGER = 1.5


@dataclass(frozen=True)
class _Fit:
    size: tuple[int, int]
    because: str


class Bench:
    """Runs experiments on one subject.

    Attributes:
        memory: bytes that a full frame may take beside the process.
        seconds: about as long as one experiment may take.
    """

    def __init__(self, subject: Subject, measurer: Measurer, memory: int, seconds: float):
        self.subject = subject
        self.measurer = measurer
        self.memory = memory
        self.seconds = seconds
        self._fit: _Fit | None = None
        self._base: nn.Module | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns that experiments run at."""
        return self._fitted().size

    @property
    def because(self) -> str:
        """Why that is another size than the user's; empty where it isn't."""
        return self._fitted().because

    def run(self, experiment: Experiment) -> tuple[Status, Outcome]:
        """Try one experiment.

        Raises:
            NotTriable: the change can't be made to this network, or what comes of it doesn't run.
        """
        assert self.subject.model is not None
        fit = self._fitted()
        other = changed(self.subject.model, experiment.change)
        size = experiment.size(*fit.size) if experiment.size else fit.size
        inputs, resized = images(self.subject, fit.size), images(self.subject, size)
        with torch.inference_mode():
            try:
                expected = _shapes(call(self._baseline(), inputs))
            except Exception as error:
                raise NotTriable(f"the network itself doesn't run here ({_first_line(error)})") from error
            try:
                found = call(other, resized)
            except Exception as error:
                raise NotTriable(f"the changed network doesn't run ({_first_line(error)})") from error
            if experiment.size is None and _shapes(found) != expected:
                raise NotTriable("the changed network gives an output of another shape")
            if experiment.same_result:
                check_same(self.subject, other, inputs)
        beside = counted(self.subject, experiment, other)
        again = further_passes(self.subject, experiment.again, fit.size, self.measurer, self.seconds)
        with torch.inference_mode():
            kept_lively(other, lambda model: call(model, resized))
            if experiment.judged_by == "memory":
                return self._memory(experiment, other, inputs, fit, beside)
            ratio = self._time(other, inputs, resized, fit, size)
        status, words = _judged(experiment, ratio)
        said = with_operations(f"{experiment.title} {words}", experiment.macs_ratio)
        more = [experiment.counted] if experiment.counted else []
        if beside.lines:
            status = beside.verdict
        more += beside.sentences()
        if again is not None:
            more.append(sentence(len(experiment.again), again))
        return status, Outcome(
            "; ".join([said, *more]),
            _gain(experiment, ratio, beside, again),
            ratio,
            None,
            fit.size,
            experiment.macs_ratio,
            lines=beside.lines,
            delay=beside.delay,
            streamed=beside.streamed,
            again=again,
        )

    def _time(self, other: nn.Module, inputs: Any, resized: Any, fit: _Fit, size: tuple[int, int]) -> Ratio:
        base, twin = self._baseline(), copied(self.subject)
        kept_lively(twin, lambda model: call(model, inputs))
        taken = self.measurer.seconds(
            {
                "network": lambda: call(base, inputs),
                "twin": lambda: call(twin, inputs),
                "changed": lambda: call(other, resized),
            },
            self.seconds,
        )
        ratio = compared(taken["network"], taken["twin"], taken["changed"])
        # Another size is other work: what counts is the time for each pixel.
        pixels = (size[0] * size[1]) / (fit.size[0] * fit.size[1])
        return Ratio(ratio.middle * pixels, ratio.low * pixels, ratio.high * pixels, ratio.noise)

    def _memory(
        self, experiment: Experiment, other: nn.Module, inputs: Any, fit: _Fit, beside: Counted
    ) -> tuple[Status, Outcome]:
        base = self._baseline()
        before = self.measurer.peak(lambda: call(base, inputs))
        after = self.measurer.peak(lambda: call(other, inputs))
        gain = before / after if after else 1.0
        said = with_operations(memory_sentence(experiment.title, before, after), experiment.macs_ratio)
        sentences = "; ".join([said, *([experiment.counted] if experiment.counted else []), *beside.sentences()])
        status: Status = "stands" if gain >= SAVED else "withdrawn"
        return status, Outcome(
            sentences, gain, None, (before, after), fit.size, experiment.macs_ratio, streamed=beside.streamed
        )

    # -- what is run --------------------------------------------------------------------------------------------------

    def _baseline(self) -> nn.Module:
        if self._base is None:
            self._base = copied(self.subject)
            inputs = images(self.subject, self.size)
            kept_lively(self._base, lambda model: call(model, inputs))
        return self._base

    # -- the size -----------------------------------------------------------------------------------------------------

    def _fitted(self) -> _Fit:
        if self._fit is None:
            self._fit = self._largest()
        return self._fit

    def _largest(self) -> _Fit:
        height, width = self.subject.height, self.subject.width
        need = frame_bytes(self.subject) * _HELD_LONGER
        by_memory = self.memory / max(need, 1)
        room = min(1.0, by_memory)
        probe = self._shrunk(min(room, 256 * 256 / max(height * width, 1)))
        try:
            taken = self._probe(probe)
        except Exception:  # some networks take one size only
            if room < 1.0:
                raise NotTriable(
                    f"the network runs at no smaller size, and at this one needs about {format_bytes(need)}"
                ) from None
            return _Fit((height, width), "")
        per_pixel = taken / (probe[0] * probe[1])
        by_time = self.seconds / max(_RUNS * per_pixel * height * width, 1e-9)
        room = min(room, by_time)
        if room >= 1.0:
            return _Fit((height, width), "")
        limit = format_bytes(self.memory) if by_memory < by_time else f"{self.seconds:g} s for each experiment"
        size = self._shrunk(room)
        return _Fit(size, f", the largest that fits in {limit}" if size != (height, width) else "")

    def _shrunk(self, room: float) -> tuple[int, int]:
        """About `room` of the user's pixels: fewer rows first, for the width is what the machine feels; in steps "
        "of 32."""
        height, width = self.subject.height, self.subject.width
        if room >= 1.0:
            return height, width
        rows = int(height * room) // _STEP * _STEP
        if rows >= min(_SMALLEST, height):
            return rows, width
        rows = min(_SMALLEST, height)
        columns = int(height * width * room / rows) // _STEP * _STEP
        return rows, min(max(columns, _SMALLEST), width)

    def _probe(self, size: tuple[int, int]) -> float:
        model, inputs = copied(self.subject), images(self.subject, size)
        with torch.inference_mode():
            kept_lively(model, lambda m: call(m, inputs))
            return self.measurer.once(lambda: call(model, inputs))


def _gain(experiment: Experiment, ratio: Ratio, beside: Counted, again: Ratio | None) -> float:
    """What the severity goes by: lines where these count, all passes over one where there are further ones, or time."""
    passes = 1 + again.middle if again is not None else None
    return beside.gain or experiment.counted_gain or passes or ratio.middle


def frame_bytes(subject: Subject) -> int:
    """Most bytes that the full frame's values hold together, each freed after its last use; weights not counted."""
    nodes, last = subject.nodes, {}
    for node in nodes:
        for index in node.inputs:
            last[_root(subject, index)] = node.index
    for index in subject.graph.outputs:
        last[_root(subject, index)] = len(nodes)
    ending: dict[int, list[int]] = {}
    for index, end in last.items():
        ending.setdefault(end, []).append(index)
    held = most = 0
    for node in nodes:
        if node.operator != "constant" and _root(subject, node.index) == node.index:
            held += node.nbytes
        most = max(most, held)
        held -= sum(nodes[i].nbytes for i in ending.get(node.index, ()) if nodes[i].operator != "constant")
    return most


def _root(subject: Subject, index: int) -> int:
    node = subject.nodes[index]
    while node.view_of is not None:
        node = subject.nodes[node.inputs[node.view_of]]
    return node.index


def _judged(experiment: Experiment, ratio: Ratio) -> tuple[Status, str]:
    """The verdict, and the words for the measurement."""
    spread = f"({ratio.low:.2f} to {ratio.high:.2f})"
    slow = f"({1 / ratio.high:.2f} to {1 / ratio.low:.2f})"
    noise = f"two runs of the same differ by {100 * ratio.noise:.0f} %"
    if experiment.judged_by == "lines":
        return "stands", f"took {1 / ratio.middle:.2f} x the time of a full frame here {slow}"
    if experiment.judged_by == "cost":
        words = f"took {1 / ratio.middle:.2f} x the time here {slow}"
        if 1 / ratio.low <= CHEAP:
            return "stands", words
        if ratio.restless or 1 / ratio.high <= CHEAP:
            return "undecided", f"{words}; {noise}"
        return "withdrawn", words
    if ratio.faster:
        words = f"ran {ratio.middle:.2f} x faster here {spread}"
        # What fewer operations alone would bring is not the guideline's doing.
        owed = max(1.0, 1 / experiment.macs_ratio)
        return ("stands" if ratio.low > owed + ratio.noise else "withdrawn"), words
    if ratio.slower:
        return "withdrawn", f"ran {1 / ratio.middle:.2f} x slower here {slow}"
    measured = f"here ({ratio.low:.2f} to {ratio.high:.2f} x; {noise})"
    if ratio.restless:
        return "undecided", f"can't be told from the noise {measured}"
    return "withdrawn", f"made no difference beyond the noise {measured}"


def _shapes(value: Any) -> list[tuple[int, ...]]:
    return [tuple(leaf.shape) for leaf in pytree.tree_leaves(value) if isinstance(leaf, torch.Tensor)]


def _first_line(error: BaseException) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
