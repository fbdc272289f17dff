"""What is held while a schedule is followed: which values are kept between strips, which only pass.

Plain integers; no tensors. `walk` yields, for each tick, what to make and what may be dropped after it. The plan adds
up the bytes of these events; the executor carries them out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import inf

from narrows.rowgraph.graph import Node, RowGraph
from narrows.streaming.schedule import Schedule

__all__ = ["Exceeded", "Make", "Residency"]


class Exceeded(Exception):
    """A dry run holds more than it was to; it is not followed to its end."""


@dataclass(frozen=True)
class Make:
    """Make rows [start, stop) of a node from rows [first, last) of its inputs (None for inputs used whole).

    `keep`: the rows go into the node's line buffer, of which rows before `keep_from` may be forgotten first.
    `overwrite`: the memory of the input that `Node.overwrites` names may be reused.
    `drop`: nodes whose passing strips nobody needs after this.
    """

    node: Node
    start: int
    stop: int
    spans: tuple[tuple[int, int] | None, ...]
    keep: bool
    keep_from: int
    overwrite: bool
    drop: tuple[int, ...]


class Residency:
    """Where each value of a row graph lives while a schedule runs.

    Args:
        done: rows that each node has made when the run begins; none if None.

    Attributes:
        capacity: for each node whose rows are kept between ticks, the rows its line buffer must hold.
        owner: for each other node with rows, the node whose memory its strips use: itself, or the input that it views
            or overwrites.
        members: for each of these owners, the nodes whose strips use its memory.

    Raises:
        Exceeded: the line buffers alone take more than `most` bytes.
    """

    def __init__(self, graph: RowGraph, schedule: Schedule, most: float = inf, done: Sequence[int] | None = None):
        self.graph = graph
        self.schedule = schedule
        self.start = tuple(done) if done is not None else (0,) * len(graph.nodes)
        self.capacity = self._line_buffers(most)
        self._consumers = graph.consumers()
        self.owner, self._overwrites = self._owners()
        self.members: dict[int, tuple[int, ...]] = {}
        for index in self.owner:
            root = self._root(index)
            self.members[root] = (*self.members.get(root, ()), index)

    def _line_buffers(self, most: float) -> dict[int, int]:
        """Rows are kept when some reader of a value has not used all of them by the end of a tick."""
        done = list(self.start)
        kept = self.kept(done)
        capacity = {index for index, made in enumerate(done) if kept[index] < made}
        held = {index: done[index] - kept[index] for index in capacity}
        for steps in self.schedule.steps(done):
            grown = False
            for step in steps:
                rows = step.stop - kept[step.node]
                if rows > held.get(step.node, 0):
                    held[step.node] = rows
                    grown = True
                done[step.node] = step.stop
            for node in self.schedule.rowed:
                if done[node.index]:
                    kept[node.index] = self.schedule.kept_from(node, done)
                    if kept[node.index] < done[node.index]:
                        capacity.add(node.index)
            if grown and sum(held[index] * self.graph.nodes[index].row_bytes for index in capacity) > most:
                raise Exceeded
        return {index: held[index] for index in sorted(capacity)}

    def _owners(self) -> tuple[dict[int, int], set[int]]:
        owner: dict[int, int] = {}
        overwrites: set[int] = set()
        outputs = set(self.graph.outputs)
        for node in self.schedule.rowed:
            if node.index in self.capacity:
                continue
            owner[node.index] = node.index
            if node.view_of is not None:
                viewed = node.inputs[node.view_of]
                owner[node.index] = viewed if viewed in self.capacity else owner.get(viewed, node.index)
            elif node.overwrites is not None:
                base = self.graph.nodes[node.inputs[node.overwrites]]
                sole = len(self._consumers[base.index]) == 1
                own = owner.get(base.index) == base.index and base.operator != "input"
                passes = own or base.index in overwrites
                alike = base.nbytes == node.nbytes and base.dtype == node.dtype
                if sole and passes and alike and base.index not in outputs:
                    owner[node.index] = base.index
                    overwrites.add(node.index)
        return owner, overwrites

    def consumers_of(self, index: int) -> list[tuple[int, int]]:
        """The (consumer, position) pairs that read a node."""
        return self._consumers[index]

    def _root(self, index: int) -> int:
        while index in self.owner and self.owner[index] != index:
            index = self.owner[index]
        return index

    def kept(self, done: Sequence[int]) -> list[int]:
        """For each node the first row that a reader still needs when each has made its `done` rows."""
        kept = [0] * len(self.graph.nodes)
        for node in self.schedule.rowed:
            if done[node.index]:
                kept[node.index] = self.schedule.kept_from(node, done)
        return kept

    def walk(self, done: Sequence[int] | None = None, after: int = 0) -> Iterator[list[Make]]:
        """The events of each tick, in order; `done` and `after` as `Schedule.steps` takes them."""
        done = list(done if done is not None else self.start)
        kept = self.kept(done)
        for steps in self.schedule.steps(done, after):
            made = {step.node for step in steps}
            last_this_tick: dict[int, int] = {}
            for step in steps:
                roots = {self._root(i) for i in self.graph.nodes[step.node].inputs if i in self.owner}
                if step.node in self.owner:
                    roots.add(self._root(step.node))
                for root in roots:
                    if root in made and root not in self.capacity:
                        last_this_tick[root] = step.node
            drops: dict[int, list[int]] = {}
            for root, reader in last_this_tick.items():
                drops.setdefault(reader, []).append(root)
            events = []
            for step in steps:
                node = self.graph.nodes[step.node]
                spans = tuple(
                    None
                    if need is None
                    else (need.first(step.start), max(need.last(step.stop), need.first(step.start)))
                    for need in node.needs
                )
                events.append(
                    Make(
                        node,
                        step.start,
                        step.stop,
                        spans,
                        keep=step.node in self.capacity,
                        keep_from=kept[step.node],
                        overwrite=step.node in self._overwrites,
                        drop=tuple(sorted(drops.get(step.node, ()))),
                    )
                )
                done[step.node] = step.stop
            yield events
            for node in self.schedule.rowed:
                if done[node.index]:
                    kept[node.index] = self.schedule.kept_from(node, done)
