"""One run of a row graph over given inputs: who reads, who computes, who writes, and on which threads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any

import numpy as np
import torch
from torch.utils import _pytree as pytree

from narrows.errors import CancelledError, InputError
from narrows.rowgraph.graph import Node, RowGraph
from narrows.streaming.arrays import BlockInput, Input
from narrows.streaming.executor import Emit, Executor, Read
from narrows.streaming.lines import paste
from narrows.streaming.mapped import MappedWeights
from narrows.streaming.memory import Headroom, free_memory, resident_now
from narrows.streaming.plan import QUEUE_BLOCKS, input_queue, make_plan, output_queue
from narrows.streaming.queues import ReadAhead, WriteBehind
from narrows.streaming.schedule import Schedule
from narrows.units import parse_bytes

__all__ = ["Progress", "Run", "several"]

Progress = Callable[[int, int, int], None]


class Run:
    """One run: what to read, where to write, on which device, with which strip."""

    def __init__(
        self,
        graph: RowGraph,
        feeds: list[Input],
        memory: int | str | None,
        strip: int | None,
        device: torch.device | str | None,
        progress: Progress | None,
        cancel: threading.Event | None,
        sink: Any,
    ):
        self.graph, self.feeds = graph, feeds
        self.device = torch.device(device or "cpu")
        self.progress, self.cancel = progress, cancel
        self.sinks = [] if sink is None else list(several(sink))
        if sink is not None and len(self.sinks) != len(graph.outputs):
            raise InputError(f"the network has {len(graph.outputs)} outputs, but {len(self.sinks)} sinks were given")
        for node in (graph.nodes[index] for index in graph.outputs if sink is not None):
            if node.rows is not None and len(node.shape) == 4 and node.shape[0] > 1:
                batch = node.shape[0]
                raise InputError(
                    f"a sink takes the rows of one image, and the output is a batch of {batch}; stream each"
                )
        self.mapped = MappedWeights(graph)
        arrays = sum(feed.caller_bytes() for feed in feeds)
        process = max(resident_now() - arrays, 0)
        budget = parse_bytes(memory) if memory is not None else process + free_memory() // 4
        outside = sum(int(getattr(end, "resident_bytes", 0)) for end in (*feeds, *self.sinks))
        self.plan = make_plan(graph, process=process, outside=outside, memory=budget, strip=strip, arrays=arrays)
        self.by_node = dict(zip(graph.inputs, feeds, strict=True))
        self.batched = feeds[0].batched
        self._ends: list[tuple[ReadAhead | WriteBehind, int]] = []

    def whole(self, source: Any) -> Any:
        """Collect every output whole, of the kind of the source."""
        nodes = [self.graph.nodes[i] for i in self.graph.outputs]
        on = self.device if isinstance(_first(source), torch.Tensor) else torch.device("cpu")
        results = {node.index: torch.empty(node.shape, dtype=getattr(torch, node.dtype), device=on) for node in nodes}

        def emit(index: int, start: int, rows: torch.Tensor) -> None:
            axis = self.graph.nodes[index].rows
            if axis is None:
                results[index].copy_(rows)
            else:
                paste(results[index], axis, start, rows)

        self._execute(emit, returned=sum(node.nbytes for node in nodes))
        as_array = not isinstance(_first(source), torch.Tensor)
        flat = [
            self._as_given(results[i] if i not in self.graph.outputs[:place] else results[i].clone(), as_array)
            for place, i in enumerate(self.graph.outputs)
        ]
        return pytree.tree_unflatten(flat, self.graph.structure)

    def into_sinks(self) -> None:
        """Write every output to its sink, on a thread of its own."""
        sinks: dict[int, list[Any]] = {}
        for index, sink in zip(self.graph.outputs, self.sinks, strict=True):
            sinks.setdefault(index, []).append(sink)

        def write(item: tuple[int, int, torch.Tensor]) -> None:
            index, start, rows = item
            block = rows.numpy() if rows.dtype is not torch.bfloat16 else rows.float().numpy()
            for sink in sinks[index]:
                sink.write(start, block[0] if block.ndim == 4 and self.graph.nodes[index].rows else block)

        with closing(WriteBehind(write)) as writer:
            self._attach(writer, {output_queue(self.graph.nodes[index], 0)[0] for index in sinks})
            self._execute(lambda index, start, rows: writer.put((index, start, rows.cpu())))
            writer.finish()

    def as_ready(self, feed: BlockInput) -> Iterator[Any]:
        """Yield rows as they are made."""
        ready: dict[int, torch.Tensor] = {}

        def emit(index: int, start: int, rows: torch.Tensor) -> None:
            ready[index] = rows.cpu()

        as_array = issubclass(feed.kind, np.ndarray)
        for _ in self._executor(self._read, emit).ticks():
            if ready:
                flat = [self._as_given(ready[i], as_array) if i in ready else None for i in self.graph.outputs]
                yield flat[0] if len(flat) == 1 else tuple(flat)
                ready.clear()
        feed.check_end()

    def _as_given(self, value: torch.Tensor, as_array: bool) -> Any:
        value = value[0] if self.batched and value.dim() >= 2 and value.shape[0] == 1 else value
        if not as_array:
            return value
        return (value.float() if value.dtype is torch.bfloat16 else value).numpy()

    def _executor(self, read: Read, emit: Emit, returned: int = 0) -> Executor:
        headroom = self.headroom = Headroom(self.plan.peak - self.plan.process + returned, self._not_yet_queued)
        return Executor(self.graph, self.plan.strip, read, emit, self.device, headroom, self.mapped)

    def _not_yet_queued(self) -> int:
        """Bytes of blocks that the threads at both ends may still take when they like."""
        return sum(block * max(QUEUE_BLOCKS - 1 - end.held, 0) for end, block in self._ends)

    def _attach(self, end: ReadAhead | WriteBehind, queues: set[str]) -> None:
        held = sum(entry.bytes for entry in self.plan.ledger if entry.name in queues)
        self._ends.append((end, held // QUEUE_BLOCKS))

    def _execute(self, emit: Emit, returned: int = 0) -> None:
        if not any(feed.threaded for feed in self.feeds):
            self._ticks(self._executor(self._read, emit, returned))
            return
        with closing(ReadAhead(self._blocks)) as blocks:
            self._attach(blocks, {input_queue(self.graph.nodes[index], 0)[0] for index in self.by_node})

            def read(index: int, start: int, stop: int) -> torch.Tensor:
                if not self.by_node[index].threaded:
                    return self._read(index, start, stop)
                rows: torch.Tensor = blocks.next()
                return rows.to(self.device)

            self._ticks(self._executor(read, emit, returned))

    def _ticks(self, executor: Executor) -> None:
        for rows in executor.ticks():
            if self.progress is not None:
                self.progress(rows, executor.schedule.height, executor.ledger.now)
            if self.cancel is not None and self.cancel.is_set():
                raise CancelledError(f"cancelled after {rows} of {executor.schedule.height} rows")

    def _blocks(self) -> Iterator[torch.Tensor]:
        """The blocks of the inputs that are read on a thread, in the order in which the schedule asks for them."""
        for steps in Schedule(self.graph, self.plan.strip).steps():
            for step in steps:
                if step.node in self.by_node and self.by_node[step.node].threaded:
                    yield self._rows(self.graph.nodes[step.node], step.start, step.stop)

    def _read(self, index: int, start: int, stop: int) -> torch.Tensor:
        return self._rows(self.graph.nodes[index], start, stop).to(self.device)

    def _rows(self, node: Node, start: int, stop: int) -> torch.Tensor:
        return self.by_node[node.index].rows(start, stop, getattr(torch, node.dtype))


def several(item: Any) -> Sequence[Any]:
    """What was given as one, as a tuple or list, or by name, as a sequence."""
    if isinstance(item, Mapping):
        return list(item.values())
    return item if isinstance(item, (tuple, list)) else [item]


def _first(source: Any) -> Any:
    return several(source)[0]
