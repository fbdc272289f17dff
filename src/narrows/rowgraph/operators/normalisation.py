"""Normalisation with known statistics, or with those of one place: neither looks at other rows."""

from __future__ import annotations

from math import prod

import torch

from narrows.rowgraph.cutting import on_strips
from narrows.rowgraph.graph import Strip
from narrows.rowgraph.registry import Call, Operator, Refusal, operator
from narrows.rowgraph.rows import Whole

__all__: list[str] = []


@operator("aten._native_batch_norm_legit_no_training.default")
def batch_norm(call: Call) -> tuple[Operator, ...]:
    """Batch norm with running statistics: a scale and a shift for each channel."""
    x = call["input"]
    if x.axis.dim == 1:
        raise Refusal("a batch norm whose channels are the rows of the image")
    compute = on_strips(call)
    values = call.values

    def normalised(strip: Strip) -> torch.Tensor:
        results: tuple[torch.Tensor, ...] = compute(strip, strip.inputs, False)  # type: ignore[assignment]
        return results[0]

    needs = Operator("", (x,), None, x.rows).row_needs() + (None,) * (len(values) - 1)
    return (Operator("batch_norm", tuple(values), normalised, x.rows, needs=needs, columns=x.columns, bitwise=False),)


@operator("aten.layer_norm.default", "aten.rms_norm.default")
def layer_norm(call: Call) -> Operator:
    """Normalisation over the last dimensions; where these hold rows it is a barrier."""
    x, values = call["input"], call.values
    kind = call.target.split(".")[1]
    first = len(x.shape) - len(call["normalized_shape"])
    if x.axis.dim >= first:
        whole = (Whole(x.axis.count), *(None for _ in values[1:]))
        return Operator(kind, tuple(values), None, x.rows, needs=whole, barrier="statistics over all rows")
    compute = on_strips(call)
    per_row = prod(x.shape) // max(x.axis.count, 1) * max(x.dtype.itemsize, 4)
    needs = Operator("", (x,), None, x.rows).row_needs() + (None,) * (len(values) - 1)
    return Operator(
        kind,
        tuple(values),
        lambda strip: compute(strip, strip.inputs, False),
        x.rows,
        needs=needs,
        columns=x.columns,
        workspace=lambda rows: rows * per_row,
        bitwise=False,
    )
