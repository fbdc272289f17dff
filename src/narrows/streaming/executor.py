"""Carries out a schedule: each row of each node is made exactly once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch

from narrows.rowgraph.cutting import cut
from narrows.rowgraph.graph import Node, RowGraph, Strip
from narrows.streaming.ledger import Ledger
from narrows.streaming.lines import LineBuffer, empty_rows
from narrows.streaming.mapped import MappedWeights
from narrows.streaming.memory import Headroom, map_large_blocks, steady_heap
from narrows.streaming.plan import Books, input_queue, output_queue, tables
from narrows.streaming.residency import Make, Residency
from narrows.streaming.schedule import Schedule

__all__ = ["Emit", "Executor", "Read"]

# Allocators round a piece of memory up.
_STORAGE_SPARE = 64
Read = Callable[[int, int, int], torch.Tensor]
Emit = Callable[[int, int, torch.Tensor], None]


class Executor:
    """One run of a row graph.

    Args:
        graph: what to run; `check_streamable` has accepted it.
        strip: rows of a step.
        read: ``read(node, start, stop)`` gives rows of an input node, of the node's dtype; each row is asked for once,
            in order. For an input without rows it is asked for once, with (0, 0).
        emit: ``emit(node, start, rows)`` takes rows of an output node, in order.
        device: where to compute.
        headroom: keeps the process within the plan.
        mapped: weights that may leave memory once they are packed.
        done: rows that each node has made elsewhere; none if None (see `take_over`).
    """

    def __init__(
        self,
        graph: RowGraph,
        strip: int,
        read: Read,
        emit: Emit,
        device: torch.device,
        headroom: Headroom | None = None,
        mapped: MappedWeights | None = None,
        done: Sequence[int] | None = None,
    ):
        self.graph = graph
        self.schedule = Schedule(graph, strip)
        self.residency = Residency(graph, self.schedule, done=done)
        self.books = Books(graph, self.residency)
        self.emitted = [0] * len(graph.nodes)
        self._read = read
        self._emit = emit
        self._device = device
        self._headroom = headroom
        self._mapped = mapped
        self._outputs = frozenset(graph.outputs)
        self._whole: dict[int, torch.Tensor] = {}
        self._prepared: dict[int, Any] = {}
        self._state: dict[int, dict[str, Any]] = {}
        self._lines: dict[int, LineBuffer] = {}
        self._passing: dict[int, tuple[int, torch.Tensor]] = {}

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self._device

    @property
    def ledger(self) -> Ledger:
        """What was held."""
        return self.books.ledger

    def ticks(self) -> Iterator[int]:
        """Make every row; yields after each tick the rows of the reference height that stand."""
        self.begin()
        with steady_heap():
            for tick, events in enumerate(self.residency.walk(), start=1):
                self.make(events)
                yield max(min(tick * self.schedule.strip - self.schedule.lead, self.schedule.height), 0)

    def begin(self) -> None:
        """Be ready for the first tick of an image; what was packed for one before it serves again."""
        self.emitted = list(self.residency.start)
        self._state.clear()
        self._passing.clear()
        with torch.no_grad():
            if not self._prepared and not self._whole:
                self.books.open()
                map_large_blocks()
                self._make_constants()
            for index, rows in self.residency.capacity.items():
                self._lines[index] = LineBuffer(self.graph.nodes[index], rows, self._device)

    def make(self, events: Iterable[Make]) -> None:
        """Carry out the events of one tick."""
        with torch.no_grad():
            for event in events:
                self._make(event)

    def release(self) -> None:
        """Let go of what is packed; `begin` packs it again."""
        self._prepared.clear()
        self._whole.clear()

    def move_back(self, rows: Sequence[int]) -> None:
        """Call each node's row r + rows[node] row r from now on, between two ticks."""
        for index, shift in enumerate(rows):
            self.emitted[index] -= shift
            if index in self._lines:
                self._lines[index].move_back(shift)

    def take_over(self, other: Executor) -> None:
        """Go on, after `begin`, where `other` stands between two ticks: the same network at another height."""
        self._state = other._state
        for index, lines in self._lines.items():
            kept, done = self.residency.kept(self.emitted)[index], self.emitted[index]
            lines.start_at(kept)
            if kept < done:
                lines.append(other._lines[index].window(kept, done), kept)

    def _make_constants(self) -> None:
        """Values without rows, each made when an operator first prepares it and dropped when none needs it more."""
        kept = {node.index for node in tables(self.graph)}
        for node in self.graph.nodes:
            if node.rows is None:
                continue
            if node.prepare is not None:
                self._prepared[node.index] = self._prepare(node)
                if self._headroom is not None:
                    self._headroom.make(node.prepared_bytes)
        made: dict[int, torch.Tensor] = {}
        for index in kept:
            self._whole[index] = self._constant(index, made)
        for index in self._outputs:
            if self.graph.nodes[index].rows is None:
                self._emit(index, 0, self._constant(index, made))

    def _prepare(self, node: Node) -> Any:
        made: dict[int, torch.Tensor] = {}
        constants = [None if self.graph.nodes[i].rows is not None else self._constant(i, made) for i in node.inputs]
        assert node.prepare is not None
        prepared = node.prepare(constants)
        if self._mapped is not None:
            self._mapped.let_go(made)
        return prepared

    def _constant(self, index: int, made: dict[int, torch.Tensor]) -> torch.Tensor:
        if index in self._whole:
            return self._whole[index]
        if index in made:
            return made[index]
        node = self.graph.nodes[index]
        if node.operator == "constant":
            value = self.graph.constants[index].to(self._device)
        elif node.operator == "input":
            value = self._whole[index] = self._read(index, 0, 0)
        else:
            assert node.compute is not None
            value = node.compute([self._constant(i, made) for i in node.inputs])
        made[index] = value
        return value

    def _make(self, event: Make) -> None:
        node, rows = event.node, event.stop - event.start
        if node.operator == "input":
            self.books.queue(*input_queue(node, rows))
        held = self.ledger.now
        self.books.before(event)
        if self._headroom is not None:
            self._headroom.make(self.ledger.now - held)
        value = self._read(node.index, event.start, event.stop) if node.operator == "input" else self._compute(event)
        if event.start != self.emitted[node.index]:
            raise AssertionError(f"{node.name}: row {event.start} made after row {self.emitted[node.index]}")
        self.emitted[node.index] = event.stop
        if node.index in self._outputs:
            self.books.queue(*output_queue(node, rows))
            self._emit(node.index, event.start, value.clone() if self._views_lines(node.index) else value)
        if event.keep:
            self._lines[node.index].append(value, event.keep_from)
        else:
            self._passing[node.index] = (event.start, value)
        self.books.after(event)
        for root in event.drop:
            for index in self._members(root):
                self._passing.pop(index, None)

    def _views_lines(self, index: int) -> bool:
        return self.residency.owner.get(index, index) != index

    def _members(self, root: int) -> tuple[int, ...]:
        return self.residency.members.get(root, (root,))

    def _compute(self, event: Make) -> torch.Tensor:
        node = event.node
        inputs: list[Any] = []
        for source, span in zip(node.inputs, event.spans, strict=True):
            inputs.append(self._rows_of(source, *span) if span is not None else self._constant_for(node, source))
        strip = Strip(
            start=event.start,
            stop=event.stop,
            inputs=inputs,
            starts=[span[0] if span else 0 for span in event.spans],
            stops=[span[1] if span else 0 for span in event.spans],
            prepared=self._prepared.get(node.index),
            state=self._state.setdefault(node.index, {}),
            may_overwrite=event.overwrite,
        )
        assert node.compute is not None and node.rows is not None
        value: torch.Tensor = node.compute(strip)
        expected = list(node.shape)
        expected[node.rows.dim] = node.rows.outer * (event.stop - event.start)
        if list(value.shape) != expected:
            raise AssertionError(f"{node.place} made a strip of {list(value.shape)} where {expected} was due")
        return value if self._has_its_own(node, event, value, inputs) else value.clone()

    def _has_its_own(self, node: Node, event: Make, value: torch.Tensor, inputs: list[Any]) -> bool:
        """A strip that shares an input's memory unasked would be changed under its reader, and one cut from a larger
        piece would keep the whole piece: both get memory of their own."""
        if node.view_of is not None or event.overwrite or event.keep:
            return True
        storage = value.untyped_storage()
        if storage.nbytes() > value.nbytes + _STORAGE_SPARE:
            return False
        return all(
            storage.data_ptr() != item.untyped_storage().data_ptr() or not item.numel()
            for item in inputs
            if isinstance(item, torch.Tensor) and not item.is_mkldnn
        )

    def _constant_for(self, node: Node, source: int) -> torch.Tensor | None:
        if node.prepare is not None:
            return None
        if source not in self._whole:
            self._whole[source] = self._constant(source, {})
        return self._whole[source]

    def _rows_of(self, source: int, start: int, stop: int) -> torch.Tensor:
        if source in self._lines:
            lines = self._lines[source]
            if start < stop:
                return lines.window(start, stop)
        elif source in self._passing and start < stop:
            first, value = self._passing[source]
            axis = self.graph.nodes[source].rows
            assert axis is not None
            held = value.shape[axis.dim] // axis.outer
            if start == first and stop == first + held:
                return value
            return cut(value, axis, start - first, stop - first)
        return empty_rows(self.graph.nodes[source], 0, self._device)
