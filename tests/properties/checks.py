"""The laws, checked on one network and one image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from torch.utils import _pytree as pytree

from narrows.rowgraph.graph import RowGraph
from narrows.streaming.capturing import captured
from narrows.streaming.executor import Executor
from narrows.streaming.lines import paste
from narrows.streaming.plan import make_plan
from narrows.streaming.residency import Make

TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5}


class Run:
    """One streamed run with everything that the laws speak of."""

    def __init__(
        self, model: torch.nn.Module, inputs: Sequence[torch.Tensor], strip: int, graph: RowGraph | None = None
    ):
        self.graph = graph or captured(model, [tuple(x.shape) for x in inputs], [x.dtype for x in inputs])
        self.plan = make_plan(self.graph, process=0, strip=strip)
        nodes = self.graph.nodes
        self.results = {
            i: torch.empty(nodes[i].shape, dtype=getattr(torch, nodes[i].dtype)) for i in self.graph.outputs
        }
        self.read_rows = dict.fromkeys(self.graph.inputs, 0)
        given = dict(zip(self.graph.inputs, inputs, strict=True))

        def read(index: int, start: int, stop: int) -> torch.Tensor:
            assert start == self.read_rows[index], "a row was read twice or left out"
            self.read_rows[index] = stop
            return given[index][..., start:stop, :]

        def emit(index: int, start: int, rows: torch.Tensor) -> None:
            axis = nodes[index].rows
            if axis is None:
                self.results[index].copy_(rows)
            else:
                paste(self.results[index], axis, start, rows)

        self.executor = Executor(self.graph, strip, read, emit, torch.device("cpu"))
        self.made: Counter[tuple[int, int]] = Counter()
        compute = self.executor._compute

        def counted(event: Make) -> torch.Tensor:
            value = compute(event)
            self.made.update((event.node.index, row) for row in range(event.start, event.stop))
            self._check_bytes(event, value)
            return value

        self.executor._compute = counted  # type: ignore[method-assign]
        for _ in self.executor.ticks():
            pass

    def _check_bytes(self, event: Make, value: torch.Tensor) -> None:
        """A strip that passes holds what the books say; one that is copied into a line buffer may leave scratch."""
        node, rows = event.node, event.stop - event.start
        if node.view_of is not None or event.overwrite:
            return
        booked = rows * node.row_bytes
        if event.keep:
            booked += node.workspace(rows) if node.workspace is not None else 0
            inputs = {
                self.executor._rows_of(i, *s).untyped_storage().data_ptr() for i, s in _spans(event) if s[0] < s[1]
            }
            if value.untyped_storage().data_ptr() in inputs:
                return
        assert value.untyped_storage().nbytes() <= booked + 64, f"{node.place} holds more than its strip"

    @property
    def outputs(self) -> Any:
        flat = [self.results[i] for i in self.graph.outputs]
        return pytree.tree_unflatten(flat, self.graph.structure)


def _spans(event: Make) -> list[tuple[int, tuple[int, int]]]:
    return [(i, span) for i, span in zip(event.node.inputs, event.spans, strict=True) if span is not None]


def check_equal(
    streamed: Any,
    full: Any,
    tolerance: float,
    bitwise: bool = False,
    *,
    settled: Sequence[torch.Tensor] | None = None,
    discrete: Sequence[bool] | None = None,
) -> None:
    """Law 1: within `tolerance` of the largest |full frame|; integers, and outputs that are `discrete`, exactly.

    `settled` are masks of the values that depend on no decision closer than the tolerance; the others may differ.
    """
    pairs = list(zip(pytree.tree_leaves(streamed), pytree.tree_leaves(full), strict=True))
    for place, (got, wanted) in enumerate(pairs):
        assert got.shape == wanted.shape
        assert got.dtype == wanted.dtype
        if settled is not None:
            got, wanted = got[settled[place]], wanted[settled[place]]
        if bitwise or not wanted.is_floating_point() or (discrete is not None and discrete[place]):
            assert torch.equal(got, wanted), f"output {place} differs"
            continue
        finite = torch.isfinite(wanted)
        assert torch.equal(finite, torch.isfinite(got))
        if finite.any():
            got, wanted = got[finite].double(), wanted[finite].double()
            scale = wanted.abs().max().clamp_min(1e-30)
            apart = float((got - wanted).abs().max() / scale)
            assert apart <= tolerance, f"output {place} differs by {apart:.2g} of its largest value"


def check_books(run: Run) -> None:
    """Law 2: the plan is the run."""
    assert list(run.plan.ledger) == list(run.executor.ledger.entries)
    assert run.plan.buffers_peak == run.executor.ledger.peak
    assert run.plan.discarded_rows == run.executor.books.discarded_rows


def check_rows(run: Run) -> None:
    """Law 3: each output row once; of the others none twice. Counted where strips are computed."""
    for index in run.graph.outputs:
        if run.graph.nodes[index].rows is not None:
            assert run.executor.emitted[index] == run.graph.nodes[index].height
    assert set(run.made.values()) <= {1}
    for index in run.graph.outputs:
        node = run.graph.nodes[index]
        if node.rows is not None and node.operator != "input":
            assert sum(made == index for made, _ in run.made) == node.height


def check_laws(
    model: torch.nn.Module,
    inputs: Sequence[torch.Tensor],
    full: Any,
    strip: int,
    tolerance: float,
    graph: RowGraph | None = None,
    **how: Any,
) -> Run:
    """Laws 1 to 3 for one strip height; `how` as `check_equal` takes it."""
    run = Run(model, inputs, strip, graph)
    check_equal(run.outputs, full, tolerance, **how)
    check_books(run)
    check_rows(run)
    return run
