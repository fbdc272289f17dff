"""Parts of a value written over, as in ``y[:, :, 1:-1] = x``."""

from __future__ import annotations

from math import prod

import torch

from narrows.rowgraph.cutting import on_strips
from narrows.rowgraph.graph import Strip
from narrows.rowgraph.operators.pointwise import broadcast_axis, broadcast_needs, elementwise, fitted
from narrows.rowgraph.registry import Call, Operator, Refusal, operator
from narrows.rowgraph.rows import Axis, RowNeed, Same, Table

__all__: list[str] = []

operator("aten.copy.default", "aten.fill.Tensor", "aten.fill.Scalar")(elementwise)


@operator("aten.slice_scatter.default")
def slice_scatter(call: Call) -> Operator:
    """`self` with the places of a slice taken from `src`, along any dimension."""
    whole, part = call["self"], call["src"]
    rank = len(whole.shape)
    dim = int(call.get("dim", 0)) % rank
    axis = whole.rows or Axis(part.axis.dim, call.shape[part.axis.dim] // part.axis.outer, part.axis.outer)
    if part.rows is not None and part.axis.dim != axis.dim:
        raise Refusal("it writes rows into another dimension")
    row_bytes = prod(call.shape) // max(axis.count, 1) * call.dtype.itemsize
    if dim != axis.dim:
        values = [whole, part]
        axis, fit, compute = broadcast_axis(values, call.shape), fitted(values, axis, rank), on_strips(call)
        return Operator(
            "slice_scatter",
            (whole, part),
            lambda strip: compute(strip, fit(strip), False),
            axis,
            needs=broadcast_needs(values, axis),
            workspace=lambda rows: rows * row_bytes,
        )
    if axis.outer > 1:
        raise Refusal("it writes over a batch and rows together")
    places = range(axis.count)[slice(call.get("start"), call.get("end"), int(call.get("step", 1)))]
    first, step, count = places.start, places.step, len(places)
    lowest = [min(max(-((first - row) // step), 0), count) for row in range(axis.count)]
    highest = [min((row - first) // step, count - 1) if row >= first else -1 for row in range(axis.count)]
    needs: tuple[RowNeed | None, ...] = (
        Same(axis.count) if whole.rows else None,
        Table(count, lowest, highest) if part.rows else None,
    )

    def written(strip: Strip) -> torch.Tensor:
        rows, source = strip.inputs
        if whole.rows is None:
            rows = rows.narrow(axis.dim, strip.start, strip.stop - strip.start)
        result: torch.Tensor = rows.clone()
        begin, end = lowest[strip.start], highest[strip.stop - 1] + 1
        if begin < end:
            top = first + begin * step - strip.start
            target = result[(slice(None),) * axis.dim + (slice(top, top + (end - begin - 1) * step + 1, step),)]
            target.copy_(source.narrow(axis.dim, begin - strip.starts[1], end - begin))
        return result

    return Operator("slice_scatter", (whole, part), written, axis, needs=needs)
