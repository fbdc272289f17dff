"""What is counted beside a time: lines, delays and bytes of a run in strips, of the network and of the changed one."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from narrows.guidelines.core.finding import Status
from narrows.guidelines.core.guideline import Experiment, NotTriable
from narrows.guidelines.core.lines import STRIP, ByLines, by_lines, graph_of, streamed_bytes
from narrows.guidelines.core.subject import Subject
from narrows.units import format_bytes

__all__ = ["SAVED", "Counted", "counted"]

# Bytes are counted without noise, but a difference of a few hundredths is of no use to anyone.
SAVED = 1.05


@dataclass(frozen=True)
class Counted:
    """Figures of the user's network and of the changed one, in this order.

    Attributes:
        lines: bytes kept line by line; `delay` rows waited for. None where they weren't asked for.
        streamed: most bytes that a run in strips holds; None for one that has no such run.
    """

    lines: tuple[int, int] | None = None
    delay: tuple[int, int] | None = None
    streamed: tuple[int | None, int | None] | None = None

    @property
    def gain(self) -> float | None:
        """How many times fewer bytes of lines are kept; None where they weren't counted."""
        return self.lines[0] / max(self.lines[1], 1) if self.lines else None

    @property
    def verdict(self) -> Status:
        """What lines say: they stand where fewer are kept, or fewer rows are waited for."""
        assert self.lines is not None and self.delay is not None
        fewer = self.lines[0] >= SAVED * self.lines[1] and self.delay[1] <= self.delay[0]
        return "stands" if fewer else "withdrawn"

    def sentences(self) -> list[str]:
        """One for lines, one for strips, as far as they were counted."""
        said = []
        if self.lines and self.delay:
            said.append(
                f"kept lines fall from {format_bytes(self.lines[0])} to {format_bytes(self.lines[1])}, and the first "
                f"row waits for {self.delay[1]} rows instead of {self.delay[0]} (counted)"
            )
        if self.streamed and self.streamed[1] is not None:
            instead = (
                ", and the network as it is can't be"
                if self.streamed[0] is None
                else f" instead of {format_bytes(self.streamed[0])}"
            )
            held = format_bytes(self.streamed[1])
            said.append(f"streamed in strips of {STRIP} rows it holds {held}{instead} (counted, weights left out)")
        return said


def counted(subject: Subject, experiment: Experiment, other: nn.Module) -> Counted:
    """Count what the experiment asks for, at the user's own size.

    Raises:
        NotTriable: it is judged by lines, and one of the two can't be run by lines.
    """
    if experiment.judged_by != "lines" and not experiment.streams:
        return Counted()
    graph = graph_of(subject, other)
    lines: tuple[ByLines, ByLines] | None = None
    if experiment.judged_by == "lines":
        before, after = by_lines(subject.folded), by_lines(graph) if graph is not None else None
        if before is None or after is None:
            raise NotTriable("the changed network can't be run line by line")
        lines = (before, after)
    streamed = None
    if experiment.streams and graph is not None:
        streamed = (streamed_bytes(subject.folded), streamed_bytes(graph))
    return Counted(
        (lines[0].bytes, lines[1].bytes) if lines else None,
        (lines[0].delay, lines[1].delay) if lines else None,
        streamed,
    )
