"""Images without an end: a row graph run on as many rows as come, in memory and time that don't grow with them.

Away from its top and bottom a network does the same to every row. So a graph captured at a moderate height is run to
near its bottom and then moved back by a period: rows that were numbered r are numbered r - p from then on, and the
schedule goes on from the tick at which it stood so before. When the rows end, the graph is captured once more at the
height that is then known, and goes on from where the other one stands.

That this holds for a network is not taken for granted: row needs are compared at two heights, row for row, and a
rehearsal on random rows is compared with a plain run.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import gcd

import torch

from narrows.errors import CaptureError, NotStreamableError
from narrows.rowgraph.graph import Node, RowGraph
from narrows.rowgraph.rows import RowNeed
from narrows.streaming.executor import Executor
from narrows.streaming.memory import steady_heap
from narrows.streaming.plan import check_streamable
from narrows.streaming.schedule import Schedule

__all__ = ["Endless", "Loop", "find_loop"]

# Rows that a graph is moved back by. It has twice as many, and the reach of the network must fit in.
_PERIODS = (64, 128, 256, 512, 1024, 2048)
_FAR = "reaches over too many rows"
_SAME = "a network for an image without an end does the same to every row"
_WITH_ROWS = "; say how many rows come"
_TOLERANCE = {torch.float64: 1e-9}

Capture = Callable[[int], RowGraph]
Rows = Iterable[torch.Tensor]


@dataclass(frozen=True)
class Loop:
    """Where a graph is moved back.

    Attributes:
        graph: of an image of moderate height.
        last: the tick after which it is moved back.
        first: the tick after which it then stands.
        shift: for each node, the rows it is moved back by.
    """

    graph: RowGraph
    last: int
    first: int
    shift: tuple[int, ...]


def find_loop(capture: Capture, strip: int) -> Loop:
    """A loop for the network that `capture` captures at a number of rows.

    Raises:
        NotStreamableError: its rows depend on the height of the image, or reach too far.
    """
    why = _FAR
    for rows in _PERIODS:
        graph = capture(2 * rows)
        check_streamable(graph)
        period = _period(graph) * strip
        even = -(-rows // period) * period
        graph = graph if even == rows else capture(2 * even)
        found = _loop_at(graph, capture(3 * even), strip)
        if isinstance(found, Loop):
            return found
        why = found
        if why != _FAR:
            break
    raise NotStreamableError(f"{_SAME}; this one {why}{_WITH_ROWS}")


def _loop_at(graph: RowGraph, taller: RowGraph, strip: int) -> Loop | str:
    if not _alike(graph, taller):
        return "is another one at another height"
    graph = replace(graph, lingers=_lingers(graph, taller))
    shift = [below.height - node.height for node, below in zip(graph.nodes, taller.nodes, strict=True)]
    schedule = Schedule(graph, strip)
    stands = [(0,) * len(graph.nodes)]
    for steps in schedule.steps():
        done = list(stands[-1])
        for step in steps:
            done[step.node] = step.stop
        if any(done[node.index] >= node.height for node in schedule.rowed):
            break
        stands.append(tuple(done))
    last = len(stands) - 1
    wanted = tuple(stood - rows for stood, rows in zip(stands[last], shift, strict=True))
    if wanted not in stands or min(wanted[node.index] for node in schedule.rowed) < 1:
        return _FAR
    first = stands.index(wanted)
    if not (same_above(graph, taller, stands[last]) and _same_below(graph, taller, wanted)):
        return "places its rows by the height of the image"
    return Loop(graph, last, first, tuple(shift))


def _lingers(graph: RowGraph, taller: RowGraph) -> dict[tuple[int, int], int]:
    """By how many rows a need may lie higher than in the middle of an image because the image ends."""
    found = {}
    for node, position, need, there in _needs(graph, taller):
        rows = max((there.first(row) - need.first(row) for row in range(node.height)), default=0)
        if rows > 0:
            found[node.index, position] = rows
    return found


def _needs(graph: RowGraph, other: RowGraph) -> Iterator[tuple[Node, int, RowNeed, RowNeed]]:
    for node, twin in zip(graph.nodes, other.nodes, strict=True):
        for position, (need, there) in enumerate(zip(node.needs, twin.needs, strict=True)):
            if need is not None and there is not None and node.rows:
                yield node, position, need, there


def _same_below(graph: RowGraph, taller: RowGraph, done: Sequence[int]) -> bool:
    """Whether the rows after the first `done` of each node are made from rows that lie alike, seen from below."""
    shift = [below.height - node.height for node, below in zip(graph.nodes, taller.nodes, strict=True)]
    return all(
        (need.first(row) + shift[source], need.last(row + 1) + shift[source])
        == (there.first(row + shift[node.index]), there.last(row + shift[node.index] + 1))
        for node, position, need, there in _needs(graph, taller)
        for source in [node.inputs[position]]
        for row in range(done[node.index], node.height)
    )


def same_above(graph: RowGraph, other: RowGraph, done: Sequence[int]) -> bool:
    """Whether the first `done` rows of each node are made from the same rows in both, and all are held that `other`
    needs for those that follow."""
    return _alike(graph, other) and all(
        need.last(row) == there.last(row)
        and abs(need.first(row) - there.first(row)) <= graph.lingers.get((node.index, position), 0)
        for node, position, need, there in _needs(graph, other)
        for row in range(done[node.index] + 1)
        if row < node.height
    )


def _alike(graph: RowGraph, other: RowGraph) -> bool:
    """The same operators on the same values; what has no rows has one shape in both."""
    return len(graph.nodes) == len(other.nodes) and all(
        (a.operator, a.target, a.inputs, a.dtype, a.rows and a.rows.dim)
        == (b.operator, b.target, b.inputs, b.dtype, b.rows and b.rows.dim)
        and (a.rows is not None or a.shape == b.shape)
        for a, b in zip(graph.nodes, other.nodes, strict=True)
    )


def _period(graph: RowGraph) -> int:
    """Input rows after which every node has made whole rows: the least common multiple of rows for one row of each."""
    rows = graph.nodes[graph.inputs[0]].height
    period = 1
    for node in graph.nodes:
        if node.rows and node.height > 1:
            stride = max(1, round(rows / node.height))
            period = period * stride // gcd(period, stride)
    return period


class Endless:
    """Runs a network over one image after another, none of which says beforehand how many rows it has.

    Args:
        capture: the row graph at a number of rows.
        loop: of that network.
        executor: makes an executor of a graph that begins with these rows done, or None, and reads and emits by these
            functions.

    `run` yields (start, rows) of the only output.
    """

    def __init__(self, capture: Capture, loop: Loop, executor: Callable[..., Executor]):
        self.loop = loop
        self._capture = capture
        self._make = executor
        self._pending: deque[torch.Tensor] = deque()
        self._emitted: list[tuple[int, torch.Tensor]] = []
        self._input = loop.graph.inputs[0]
        self._moved = [0] * len(loop.graph.nodes)
        self._executor = executor(loop.graph, None, self._read, self._emit)

    def run(self, rows: Rows) -> Iterator[tuple[int, torch.Tensor]]:
        """Rows of the output as they are made, of an image whose rows, (1, C, 1, W) each, come one at a time.

        Raises:
            NotStreamableError: no row came, or the network does something else at the height that came.
            CaptureError: it can't be run at that height.
        """
        coming = iter(rows)
        self._moved = [0] * len(self._moved)
        self._pending.clear()
        executor = self._executor
        executor.begin()
        tick = 0
        with steady_heap():
            while True:
                for events in executor.residency.walk(executor.emitted, tick):
                    wanted = sum(e.stop - e.start for e in events if e.node.index == self._input)
                    while len(self._pending) < wanted and (row := next(coming, None)) is not None:
                        self._pending.append(row)
                    if len(self._pending) < wanted:
                        yield from self._end(executor)
                        return
                    executor.make(events)
                    yield from self._taken()
                    tick += 1
                    if tick == self.loop.last:
                        break
                executor.move_back(self.loop.shift)
                self._moved = [moved + shift for moved, shift in zip(self._moved, self.loop.shift, strict=True)]
                tick = self.loop.first

    def _end(self, executor: Executor) -> Iterator[tuple[int, torch.Tensor]]:
        height = executor.emitted[self._input] + len(self._pending)
        if not height:
            raise NotStreamableError("an image has at least one row, and none came")
        rows = height + self._moved[self._input]
        try:
            graph = self._capture(height)
        except CaptureError as error:
            raise CaptureError(f"the network can't be run on an image of {rows} rows: {error}") from error
        done = tuple(executor.emitted)
        if not same_above(self.loop.graph, graph, done):
            raise NotStreamableError(f"the network does something else to an image of {rows} rows{_WITH_ROWS}")
        last = self._make(graph, done, self._read, self._emit)
        executor.release()
        last.begin()
        last.take_over(executor)
        for events in last.residency.walk():
            last.make(events)
            yield from self._taken()

    def _read(self, index: int, start: int, stop: int) -> torch.Tensor:
        rows = [self._pending.popleft() for _ in range(stop - start)]
        return rows[0] if len(rows) == 1 else torch.cat(rows, 2)

    def _emit(self, index: int, start: int, rows: torch.Tensor) -> None:
        self._emitted.append((start + self._moved[index], rows))

    def _taken(self) -> Iterator[tuple[int, torch.Tensor]]:
        made, self._emitted = self._emitted, []
        yield from made

    @staticmethod
    def more_bytes(loop: Loop, lines: int) -> int:
        """Bytes that are held beside a plan that has line buffers of `lines` bytes: for a moment at the end of an
        image these twice, and in the rehearsal its images.
        """
        given = loop.graph.nodes[loop.graph.inputs[0]]
        made = loop.graph.nodes[loop.graph.outputs[0]]
        rows = [node.nbytes + loop.shift[node.index] * node.row_bytes for node in (given, made, made, made)]
        return lines + sum(rows)

    def rehearse(self) -> None:
        """Run on random rows, moved back and ended, and compare with a plain run.

        Raises:
            NotStreamableError: they differ: something in the network depends on where a row lies in the image.
        """
        graph = self.loop.graph
        shape = list(graph.nodes[self._input].shape)
        shape[2] = graph.nodes[self._input].height + self.loop.shift[self._input]
        random = torch.Generator().manual_seed(0)
        dtype = getattr(torch, graph.nodes[self._input].dtype)
        image = torch.rand(shape, generator=random, dtype=dtype).to(self._executor.device)
        streamed = _joined([rows.clone() for _, rows in self.run(image.split(1, 2))])
        self._executor.release()
        whole: list[torch.Tensor] = []
        plain = self._make(
            self._capture(shape[2]),
            None,
            lambda index, start, stop: image[:, :, start:stop],
            lambda index, start, rows: whole.append(rows.clone()),
        )
        for _ in plain.ticks():
            pass
        wanted = _joined(whole)
        bound = _TOLERANCE.get(wanted.dtype, 1e-4) * float(wanted.abs().max()) if wanted.is_floating_point() else 0.0
        if streamed.shape != wanted.shape or float(streamed.sub_(wanted).abs_().max()) > bound:
            raise NotStreamableError(f"{_SAME}; in this one something depends on where a row lies{_WITH_ROWS}")


def _joined(parts: list[torch.Tensor]) -> torch.Tensor:
    """The rows of an output, as numbers that can be subtracted; what is no number is taken for 0."""
    joined = torch.cat(parts, 2)
    parts.clear()
    return joined.nan_to_num_() if joined.is_floating_point() else joined.to(torch.int64)
