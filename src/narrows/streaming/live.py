"""A network run on the rows of one image after another, as they arrive."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from narrows.errors import InputError, NotStreamableError
from narrows.rowgraph.graph import RowGraph
from narrows.streaming.arrays import as_rows
from narrows.streaming.capturing import Model, captured, dtype_of, loaded
from narrows.streaming.endless import Endless, find_loop
from narrows.streaming.executor import Emit, Executor, Read
from narrows.streaming.mapped import MappedWeights
from narrows.streaming.memory import Headroom, free_memory, resident_now
from narrows.streaming.plan import Plan, check_streamable, make_plan
from narrows.units import parse_bytes

__all__ = ["LiveStream"]


class LiveStream:
    """A network captured and planned once, and run on image after image of one width whose rows come one at a time.

    Args:
        model: as `narrows.stream` takes it; of one input and one output, both images.
        channels: of each row that comes.
        width: of each row that comes.
        height: rows of each image; None where an image ends when its rows end. Memory and the time for a row then
            don't depend on how many come.
        memory: budget for the whole process, in bytes or as ``"600MB"``; by default what it holds plus a quarter of
            what is free.
        strip: rows of a step.

    Attributes:
        plan: what a run holds and waits for; with `height` None, at the height at which the network is run.
        shape: (channels, rows or None, width) of the output.
        dtype: of its rows, a NumPy dtype.

    Raises:
        CaptureError, NotStreamableError, BudgetError, InputError: one line each, before any row is taken.
    """

    def __init__(
        self,
        model: Model,
        channels: int,
        width: int,
        height: int | None = None,
        *,
        memory: int | str | None = None,
        strip: int = 1,
    ):
        if min(channels, width, 1 if height is None else height) < 1:
            raise InputError(
                f"an image has at least one channel, row and column, not {channels} x {height or 0} x {width}"
            )
        self._model = loaded(model)
        self._channels, self._width, self._height = channels, width, height
        self._kind = dtype_of(self._model) or torch.float32
        self._weights = next(iter(_tensors(self._model)), torch.empty(0)).device
        loop = None
        if height is None:
            loop = find_loop(self._captured, strip)
        graph = loop.graph if loop is not None else self._captured(height or 0)
        check_streamable(graph)
        self._check(graph)
        self._mapped = MappedWeights(graph)
        process = resident_now()
        budget = parse_bytes(memory) if memory is not None else process + free_memory() // 4
        beside = 0
        if loop is not None:
            ledger = make_plan(graph, process=process, strip=strip).ledger
            beside = Endless.more_bytes(loop, sum(entry.bytes for entry in ledger if entry.kind == "line buffer"))
        self.plan: Plan = make_plan(graph, process=process, outside=beside, memory=budget, strip=strip)
        source, made = graph.nodes[graph.inputs[0]], graph.nodes[graph.outputs[0]]
        self._made = (made.height, source.height)
        self.shape = (made.shape[1], made.height if height is not None else None, made.shape[3])
        self.dtype = np.dtype(np.float32 if made.dtype == "bfloat16" else made.dtype)
        self._coming: Iterator[torch.Tensor] = iter(())
        self._taken = 0
        self._ready: list[tuple[int, torch.Tensor]] = []
        self._endless: Endless | None = None
        self._executor: Executor | None = None
        if loop is not None:
            self._endless = Endless(self._captured, loop, self._executor_of)
            self._endless.rehearse()
        else:
            self._executor = self._executor_of(
                graph, None, self._read, lambda _, a, rows: self._ready.append((a, rows))
            )

    def lies_at(self, row: int) -> int:
        """The row of the input at which row `row` of the output lies; of several, the last."""
        made, came = self._made
        return max(-(-(row + 1) * came // made) - 1, 0)

    def frame(self, rows: Iterable[NDArray[Any]]) -> Iterator[tuple[int, NDArray[Any]]]:
        """Run one image, from rest.

        Args:
            rows: (channels, 1, width) each, from the top; as many as `height` says, if it does. Rows that the network
                needs no more are not taken.

        Yields:
            The number of a row of the output and the rows from there on, (channels, n, width), as soon as made.

        Raises:
            InputError: a row has another shape, they end early, or (with `height` None) none comes.
            CaptureError: with `height` None, the network can't be run on as many rows as came.
        """
        self._taken = 0
        self._coming = map(self._as_tensor, rows)
        if self._endless is not None:
            try:
                for start, made in self._endless.run(self._coming):
                    yield start, self._as_array(made)
            except NotStreamableError as error:
                raise InputError(str(error)) from error
            return
        assert self._executor is not None
        self._ready.clear()
        for _ in self._executor.ticks():
            ready, self._ready[:] = list(self._ready), []
            for start, made in ready:
                yield start, self._as_array(made)

    def _captured(self, height: int) -> RowGraph:
        return captured(self._model, [(1, self._channels, height, self._width)], [self._kind])

    def _check(self, graph: RowGraph) -> None:
        nodes = [graph.nodes[index] for index in graph.outputs]
        if len(graph.inputs) != 1 or len(nodes) != 1:
            raise InputError(
                f"a network that is run on arriving rows takes one image and gives one; "
                f"this one takes {len(graph.inputs)} and gives {len(nodes)}"
            )
        if nodes[0].rows is None or len(nodes[0].shape) != 4 or nodes[0].rows.dim != 2:
            raise InputError(f"the network gives {list(nodes[0].shape)}, which is no image")

    def _executor_of(self, graph: RowGraph, done: Sequence[int] | None, read: Read, emit: Emit) -> Executor:
        room = Headroom(self.plan.peak - self.plan.process)
        return Executor(graph, self.plan.strip, read, emit, self._weights, room, self._mapped, done)

    def _read(self, index: int, start: int, stop: int) -> torch.Tensor:
        parts = []
        for _ in range(stop - start):
            row = next(self._coming, None)
            if row is None:
                raise InputError(f"the image ends after {self._taken} rows; {self._height} were announced")
            parts.append(row)
        return parts[0] if len(parts) == 1 else torch.cat(parts, 2)

    def _as_tensor(self, row: NDArray[Any]) -> torch.Tensor:
        wanted = (self._channels, 1, self._width)
        if row.shape != wanted:
            raise InputError(f"a row has shape {row.shape}; {wanted} was due")
        self._taken += 1
        return as_rows(row, self._kind).to(self._weights)

    def _as_array(self, rows: torch.Tensor) -> NDArray[Any]:
        rows = rows[0].cpu()
        made: NDArray[Any] = (rows.float() if rows.dtype is torch.bfloat16 else rows).numpy()
        return made


def _tensors(model: Any) -> Iterable[torch.Tensor]:
    tensors: Iterable[torch.Tensor] = (
        model.state_dict().values() if callable(model.state_dict) else (model.state_dict.values())
    )
    return tensors
