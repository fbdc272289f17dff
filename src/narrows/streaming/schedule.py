"""The order in which a row graph is run: which rows of which node, tick by tick.

Plain integers; no tensors. The plan and the executor follow the same schedule, so that what one predicts is what the
other does.

A tick moves the outputs on by one strip. Going back through the graph, each node makes only the rows that its readers
need for that: nothing is made early, so nothing is held longer than it must be. Only what codes a line
(`narrows.layers.line_coding`) makes its rows as soon as it can, so that the code waits and not what it was made of.
Before the first output row can leave, ticks count up from below zero, so that the layers fill by one strip at a time as
well.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from narrows.rowgraph.graph import Node, RowGraph
from narrows.rowgraph.rows import RowNeed, extend_last

__all__ = ["Schedule", "Step", "coders"]


@dataclass(frozen=True)
class Step:
    """Node `node` makes its rows [start, stop)."""

    node: int
    start: int
    stop: int


class Schedule:
    """The ticks of one pass over a row graph with strips of `strip` rows of the tallest input or output.

    Attributes:
        rowed: the nodes with rows, in order.
        height: rows of the tallest input or output.
        ticks: how many there are.
        delay: rows of the first input that must arrive before the first output row can leave.
    """

    def __init__(self, graph: RowGraph, strip: int):
        self.graph = graph
        self.strip = strip
        self.rowed = [node for node in graph.nodes if node.rows is not None]
        consumers = graph.consumers()
        # Of each node: (reader, its need, its height).
        self._readers = [
            [
                (c, need, graph.nodes[c].height)
                for c, p in consumers[node.index]
                if (need := graph.nodes[c].needs[p]) is not None
            ]
            for node in graph.nodes
        ]
        self._lingers = {
            (graph.nodes[reader].inputs[position], reader): rows for (reader, position), rows in graph.lingers.items()
        }
        self._outputs = frozenset(graph.outputs)
        self._early = frozenset(coders(graph))
        ends = [graph.nodes[i] for i in (*graph.inputs, *graph.outputs) if graph.nodes[i].rows]
        self.height = max((node.height for node in ends), default=0)
        first_output = self._targets_for(self._outputs_at(1, at_least=1))
        rowed_inputs = [graph.nodes[i] for i in graph.inputs if graph.nodes[i].rows]
        self.delay = first_output.get(rowed_inputs[0].index, 0) if rowed_inputs else 0
        lead = 0
        for node in rowed_inputs:
            # An input that no output depends on is never read.
            reached = self._virtual(self._outputs_at(1)).get(node.index, 0)
            lead = max(lead, -(-reached * self.height // max(node.height, 1)) - 1)
        self.lead = min(lead, self.height)
        self.ticks = max(1, -(-(self.height + self.lead) // strip)) if self.height else 1

    def _outputs_at(self, progress: int, at_least: int | None = None) -> dict[int, int]:
        """How many rows of each output stand when `progress` rows of the reference height do (both may be below 0)."""
        nodes = self.graph.nodes
        rows = {
            i: progress * nodes[i].height // self.height for i in self.graph.outputs if nodes[i].rows and self.height
        }
        return {i: max(r, at_least) for i, r in rows.items()} if at_least is not None else rows

    def _virtual(self, outputs: dict[int, int]) -> dict[int, int]:
        """How many rows each node must have made; below 1 it is the straight continuation of the row needs."""
        made: dict[int, int] = {}
        for node in reversed(self.rowed):
            most = outputs.get(node.index)
            for reader, need, height in self._readers[node.index]:
                rows = made.get(reader)
                if rows is not None:
                    last = need.last(rows) if rows >= 1 else extend_last(need, rows, height)
                    if most is None or last > most:
                        most = last
            if most is not None:
                made[node.index] = min(most, node.height)
        return made

    def _targets_for(self, outputs: dict[int, int]) -> dict[int, int]:
        return {index: max(rows, 0) for index, rows in self._virtual(outputs).items()}

    def steps(self, done: Sequence[int] | None = None, after: int = 0) -> Iterator[list[Step]]:
        """The steps of each tick, in an order in which inputs come first. Each row of each node comes exactly once.

        Args:
            done: rows that each node has made already; none if None.
            after: the first tick is the one after this.
        """
        done = list(done) if done is not None else [0] * len(self.graph.nodes)
        for tick in range(after + 1, self.ticks + 1):
            progress = min(tick * self.strip - self.lead, self.height)
            targets = self._targets_for(self._outputs_at(progress))
            steps = []
            for node in self.rowed:
                target = (
                    node.height if tick == self.ticks and node.index in self._outputs else targets.get(node.index, 0)
                )
                if node.index in self._early:
                    needs = zip(node.inputs, node.needs, strict=True)
                    target = max(target, min(done[source] for source, need in needs if need is not None))
                if target > done[node.index]:
                    steps.append(Step(node.index, done[node.index], target))
                    done[node.index] = target
            yield steps

    def kept_from(self, node: Node, done: Sequence[int]) -> int:
        """The first row of `node` that a reader still needs when each node has made its `done` rows."""
        keep = done[node.index]
        for reader, need, height in self._readers[node.index]:
            rows = done[reader]
            if rows < height:
                keep = min(keep, max(need.first(rows) - self._lingers.get((node.index, reader), 0), 0))
        return keep


def coders(graph: RowGraph) -> list[int]:
    """Coders of lines, and what makes their inputs row by row for them alone; in order."""
    consumers = graph.consumers()
    found: set[int] = set()
    for coder in graph.nodes:
        node, alone = coder, coder.coded_bits is not None
        while alone and node.rows is not None:
            needs = [(source, need) for source, need in zip(node.inputs, node.needs, strict=True) if need is not None]
            if len(needs) != 1 or not _row_for_row(needs[0][1], node.height):
                break
            found.add(node.index)
            node = graph.nodes[needs[0][0]]
            alone = len(consumers[node.index]) == 1
    return sorted(found)


def _row_for_row(need: RowNeed, rows: int) -> bool:
    """Whether row r needs row r alone, as also a 1 x 1 convolution does."""
    return need.height == rows and all(
        need.first(r) == r and need.last(r + 1) == r + 1 for r in {0, rows // 2, rows - 1}
    )
