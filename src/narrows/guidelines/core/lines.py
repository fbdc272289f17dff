"""Rows that a run by lines or strips keeps: which values, how many rows, how many bytes."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from narrows.costing.lines import line_costs
from narrows.costing.report import Lines
from narrows.errors import CaptureError, NotStreamableError
from narrows.guidelines.core.subject import Subject
from narrows.rowgraph.graph import Node, RowGraph
from narrows.streaming.capturing import captured
from narrows.streaming.plan import make_plan
from narrows.streaming.residency import Residency
from narrows.streaming.schedule import Schedule

__all__ = ["STRIP", "ByLines", "Kept", "by_lines", "delay_of", "graph_of", "kept_lines", "streamed_bytes"]

STRIP = 8


@dataclass(frozen=True)
class Kept:
    """The line buffer of one value: `skip` where it waits for a reader longer than its nearest reader needs it."""

    node: Node
    rows: int
    bytes: int
    skip: bool


def kept_lines(subject: Subject) -> list[Kept]:
    """The line buffers of a run in strips of `STRIP` rows; none where the network can't be streamed."""
    graph = subject.folded
    if graph.refusals:
        return []
    capacity = Residency(graph, Schedule(graph, STRIP)).capacity
    consumers = graph.consumers()
    found = []
    for index, rows in capacity.items():
        node = graph.nodes[index]
        readers = {reader for reader, _ in consumers[index]}
        windows = [_span(graph.nodes[reader], index) for reader in readers]
        # What the widest window and the step itself hold is no waiting.
        step = -(-STRIP * node.height // max(graph.nodes[graph.inputs[0]].height, 1))
        found.append(Kept(node, rows, rows * node.row_bytes, len(readers) > 1 and rows > max(windows) + 2 * step + 2))
    return found


def _span(reader: Node, index: int) -> int:
    needs = [need for need, source in zip(reader.needs, reader.inputs, strict=False) if source == index and need]
    middle = reader.height // 2
    return max((need.last(middle + 1) - need.first(middle) for need in needs), default=1)


def delay_of(subject: Subject) -> int | None:
    """Rows of the image that arrive before the first row of the output leaves; None where it can't be streamed."""
    return None if subject.folded.refusals else Schedule(subject.folded, 1).delay


@dataclass(frozen=True)
class ByLines:
    """What hardware that takes the image line by line keeps, in bytes, and the rows that it waits for."""

    bytes: int
    delay: int


def graph_of(subject: Subject, other: nn.Module) -> RowGraph | None:
    """The graph of a changed network at the user's size, as it is streamed; None where it can't be captured."""
    try:
        return captured(other, subject.inputs, subject.dtype)
    except CaptureError:
        return None


def by_lines(graph: RowGraph) -> ByLines | None:
    """The lines of a graph, each value as wide as it is in memory; None where it can't be run by lines."""
    found = None if graph.refusals else line_costs(graph, 8 * graph.nodes[graph.inputs[0]].itemsize)
    return ByLines(found.bytes, found.delay) if isinstance(found, Lines) else None


def streamed_bytes(graph: RowGraph) -> int | None:
    """Most bytes that a run in strips of `STRIP` rows holds, weights left out; None where there is no such run."""
    try:
        plan = make_plan(graph, process=0, strip=STRIP)
    except NotStreamableError:
        return None
    return plan.buffers_peak - sum(entry.bytes for entry in plan.ledger if entry.kind == "weights")
