"""What a guideline is: a statement with its source, a finder, and the experiments that its finder proposes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from torch import nn

if TYPE_CHECKING:
    from narrows.guidelines.core.subject import Subject

__all__ = ["Experiment", "Guideline", "NotTriable", "Suspicion", "Undecidable"]

Change = Callable[[nn.Module], nn.Module | None]


class NotTriable(Exception):
    """Raised where a change can't be made to the user's network; its text says why."""


class Undecidable(Exception):
    """Raised where a machine's profile doesn't hold what a verdict needs; its text says what."""


@dataclass(frozen=True)
class Experiment:
    """The user's network with one place changed.

    Attributes:
        title: what was changed, as the subject of a sentence: ``"equal width (64 to 64)"``.
        change: edits a deep copy of the user's network in place, or returns what stands in for it; raises `NotTriable`.
        judged_by: ``"time"``, where being faster must go beyond the operations saved; ``"memory"``, the peak of what
            PyTorch allocates for one image; ``"cost"``, the time that an addition takes, which passes while small;
            ``"lines"``, the lines that hardware keeps and waits for, with the time beside them.
        macs_ratio: multiply-accumulates of the changed network over those of the user's.
        same_result: the changed network must give the same numbers, and this is checked.
        size: rows and columns for the changed network where it is the image's size that changes.
        counted: figures counted at the user's own size rather than measured, said after the measured ones.
        counted_gain: what these say in one ratio (smaller is better by so many times), which then tells the severity.
        streams: whether to count what a run in strips holds as well, of the network and of the changed one.
        again: the further passes that operators with a look at all rows cost, for each the modules that it is for and
            what applies their known results: what these passes take is measured, streamed, and said.
    """

    title: str
    change: Change
    judged_by: Literal["time", "memory", "cost", "lines"] = "time"
    macs_ratio: float = 1.0
    same_result: bool = False
    size: Callable[[int, int], tuple[int, int]] | None = None
    counted: str = ""
    counted_gain: float | None = None
    streams: bool = False
    again: tuple[Mapping[str, Callable[[nn.Module], nn.Module]], ...] = ()


@dataclass(frozen=True)
class Suspicion:
    """What a finder saw at one place.

    Attributes:
        module: path of the module, empty for the network itself.
        source: the line of the call, ``"net.py:12"``.
        fact: what is there: ``"32 to 128 channels"``.
        change: what to do about it.
        weight: share of the network that it touches, 0 to 1; the heaviest are tried first.
        experiment: what tries it, or None with `untried` saying why there is none.
        certain: the fact itself needs no measuring (a barrier is a pass; what ReLU loses is one of quality); measuring
            only adds what the change costs or brings.
        places: how many places this stands for.
        modules: every module path that this stands for, for silencing.
        quality: what the source says of quality where that differs from what the guideline quotes.
    """

    module: str
    source: str | None
    fact: str
    change: str
    weight: float = 0.0
    experiment: Experiment | None = None
    untried: str = ""
    certain: bool = False
    places: int = 1
    modules: tuple[str, ...] = field(default=())
    quality: str | None = None


@dataclass(frozen=True)
class Guideline:
    """One piece of advice.

    Attributes:
        key: ``"G1"``; what findings and silences call it.
        name: a few words.
        statement: the advice, as its source gives it.
        source: who says so.
        figures: what the source measured, in its own figures; empty where it gives none.
        finds: what the finder looks for, with its thresholds.
        tries: what the experiment changes.
        quality: what the source says of quality, which is not measured here.
        find: looks at a network.
    """

    key: str
    name: str
    statement: str
    source: str
    finds: str
    tries: str
    find: Callable[[Subject], Iterable[Suspicion]] = field(repr=False)
    figures: str = ""
    quality: str = ""
