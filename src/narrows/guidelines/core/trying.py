"""Running an experiment: the user's network and the changed one, at the user's size or the largest that fits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils import _pytree as pytree

from narrows.guidelines.core.finding import Outcome, Status, memory_sentence
from narrows.guidelines.core.guideline import Experiment, NotTriable
from narrows.guidelines.core.measuring import Measurer, kept_lively
from narrows.guidelines.core.noise import Ratio, compared
from narrows.guidelines.core.subject import Subject
from narrows.guidelines.core.surgery import changed
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
_SAME_WITHIN = 1e-3


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
        inputs, resized = self._inputs(fit.size), self._inputs(size)
        with torch.inference_mode():
            try:
                expected = _shapes(self._call(self._baseline(), inputs))
            except Exception as error:
                raise NotTriable(f"the network itself doesn't run here ({_first_line(error)})") from error
            try:
                found = self._call(other, resized)
            except Exception as error:
                raise NotTriable(f"the changed network doesn't run ({_first_line(error)})") from error
            if experiment.size is None and _shapes(found) != expected:
                raise NotTriable("the changed network gives an output of another shape")
            if experiment.same_result:
                self._check_same(other, inputs)
            kept_lively(other, lambda model: self._call(model, resized))
            if experiment.judged_by == "memory":
                return self._memory(experiment, other, inputs, fit)
            return self._time(experiment, other, inputs, resized, fit, size)

    def _time(
        self, experiment: Experiment, other: nn.Module, inputs: Any, resized: Any, fit: _Fit, size: tuple[int, int]
    ) -> tuple[Status, Outcome]:
        base, twin = self._baseline(), self._copy()
        kept_lively(twin, lambda model: self._call(model, inputs))
        taken = self.measurer.seconds(
            {
                "network": lambda: self._call(base, inputs),
                "twin": lambda: self._call(twin, inputs),
                "changed": lambda: self._call(other, resized),
            },
            self.seconds,
        )
        ratio = compared(taken["network"], taken["twin"], taken["changed"])
        if experiment.size is not None:
            # Another size is other work: what counts is the time for each pixel.
            pixels = (size[0] * size[1]) / (fit.size[0] * fit.size[1])
            ratio = Ratio(ratio.middle * pixels, ratio.low * pixels, ratio.high * pixels, ratio.noise)
        status, words = _judged(experiment, ratio)
        sentence = _with_operations(f"{experiment.title} {words}", experiment.macs_ratio)
        sentence = f"{sentence}; {experiment.counted}" if experiment.counted else sentence
        gain = experiment.counted_gain or ratio.middle
        return status, Outcome(sentence, gain, ratio, None, fit.size, experiment.macs_ratio)

    def _memory(self, experiment: Experiment, other: nn.Module, inputs: Any, fit: _Fit) -> tuple[Status, Outcome]:
        base = self._baseline()
        before = self.measurer.peak(lambda: self._call(base, inputs))
        after = self.measurer.peak(lambda: self._call(other, inputs))
        gain = before / after if after else 1.0
        sentence = _with_operations(memory_sentence(experiment.title, before, after), experiment.macs_ratio)
        sentence = f"{sentence}; {experiment.counted}" if experiment.counted else sentence
        # Allocations are the same in each run: there is no noise, but a difference of a few hundredths is of no use.
        status: Status = "stands" if gain >= 1.05 else "withdrawn"
        return status, Outcome(sentence, gain, None, (before, after), fit.size, experiment.macs_ratio)

    def _check_same(self, other: nn.Module, inputs: Any) -> None:
        plain = self._copy()
        pairs = zip(
            pytree.tree_leaves(self._call(plain, inputs)), pytree.tree_leaves(self._call(other, inputs)), strict=True
        )
        for a, b in pairs:
            most = float(a.abs().max()) if a.numel() else 0.0
            if not torch.allclose(a, b, rtol=_SAME_WITHIN, atol=_SAME_WITHIN * most + 1e-12, equal_nan=True):
                raise NotTriable("the changed network, which should give the same result, doesn't")

    # -- what is run --------------------------------------------------------------------------------------------------

    def _baseline(self) -> nn.Module:
        if self._base is None:
            self._base = self._copy()
            inputs = self._inputs(self.size)
            kept_lively(self._base, lambda model: self._call(model, inputs))
        return self._base

    def _copy(self) -> nn.Module:
        assert self.subject.model is not None
        return changed(self.subject.model, lambda model: None)

    def _call(self, model: nn.Module, inputs: Any) -> Any:
        return model(**inputs) if isinstance(inputs, Mapping) else model(*inputs)

    def _inputs(self, size: tuple[int, int]) -> Any:
        """Random images with as many rows and columns for each of the user's as `size` has."""
        whole = (self.subject.height, self.subject.width)

        def made(shape: tuple[int, ...]) -> torch.Tensor:
            cut = list(shape)
            if len(shape) >= 3:
                cut[-2:] = [max(1, have * now // full) for have, now, full in zip(shape[-2:], size, whole, strict=True)]
            drawn = torch.rand(cut, generator=torch.Generator().manual_seed(0))
            like = next(iter(self.subject.model.parameters()), None) if self.subject.model is not None else None
            return drawn.to(dtype=self.subject.dtype, device=like.device if like is not None else None)

        shapes = self.subject.inputs
        if isinstance(shapes, Mapping):
            return {name: made(shape) for name, shape in shapes.items()}
        return [made(shape) for shape in shapes]

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
        model, inputs = self._copy(), self._inputs(size)
        with torch.inference_mode():
            kept_lively(model, lambda m: self._call(m, inputs))
            return self.measurer.once(lambda: self._call(model, inputs))


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
    words = f"made no difference beyond the noise here ({ratio.low:.2f} to {ratio.high:.2f} x; {noise})"
    return ("undecided" if ratio.restless else "withdrawn"), words


def _with_operations(sentence: str, macs_ratio: float) -> str:
    return sentence if abs(macs_ratio - 1) < 0.005 else f"{sentence}, with {macs_ratio:.2f} x the operations"


def _shapes(value: Any) -> list[tuple[int, ...]]:
    return [tuple(leaf.shape) for leaf in pytree.tree_leaves(value) if isinstance(leaf, torch.Tensor)]


def _first_line(error: BaseException) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
