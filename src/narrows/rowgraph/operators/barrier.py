"""Operators that look at the whole image before they can make their first row.

They are captured and costed like any other; a plan refuses them by name.
"""

from __future__ import annotations

import torch

from narrows.rowgraph.cutting import overload
from narrows.rowgraph.graph import Strip
from narrows.rowgraph.registry import Call, Operator, Value, operator
from narrows.rowgraph.rows import Axis, RowNeed, Same, Whole

__all__: list[str] = []


def _row_by_row(call: Call, kind: str) -> Operator:
    """The call made on each strip as it is: nothing in it looks at another row."""
    function = overload(call.target)
    tensors = [value for value in call.arguments.values() if isinstance(value, Value)]

    def compute(strip: Strip) -> torch.Tensor:
        given = iter(strip.inputs)
        filled = [next(given) if isinstance(item, Value) else item for item in call.arguments.values()]
        result: torch.Tensor = function(*filled)
        return result

    needs = tuple(Same(value.axis.count) if value.rows else None for value in tensors)
    return Operator(kind, tuple(tensors), compute, tensors[0].rows, needs=needs, bitwise=False)


def _whole(call: Call, kind: str, rows: Axis | None, why: str) -> Operator:
    tensors = call.values
    needs: tuple[RowNeed | None, ...] = tuple(Whole(value.axis.count) if value.rows else None for value in tensors)
    return Operator(kind, tuple(tensors), None, rows, needs=needs, barrier=why)


@operator("aten.group_norm.default")
def group_norm(call: Call) -> Operator:
    """Statistics of groups of channels over all rows and columns of each image."""
    x = call["input"]
    if x.axis.dim == 0:
        return _row_by_row(call, "group_norm")
    return _whole(call, "group_norm", x.rows, "statistics over all rows")


@operator("aten.instance_norm.default")
def instance_norm(call: Call) -> Operator:
    """Statistics of each channel over all rows and columns; with running statistics a scale and a shift."""
    x = call["input"]
    if x.axis.dim == 0 or (not call["use_input_stats"] and x.axis.dim != 1):
        return _row_by_row(call, "instance_norm")
    return _whole(call, "instance_norm", x.rows, "statistics over all rows")


@operator(
    "aten._native_batch_norm_legit.no_stats",
    "aten._native_batch_norm_legit_functional.default",
)
def batch_norm_of_the_batch(call: Call) -> tuple[Operator, ...]:
    """Batch norm with the statistics of the image at hand: the normalised image, then rowless statistics."""
    why = "statistics over all rows; a batch norm that keeps running statistics has none"
    rows = call["input"].rows
    return tuple(_whole(call, "batch_norm", rows if place == 0 else None, why) for place in range(len(call.results)))


@operator("aten.grid_sampler.default", "aten.grid_sampler_2d.default")
def grid_sampler(call: Call) -> Operator:
    """Places anywhere in the image, as a grid of coordinates says."""
    image, grid = call["input"], call["grid"]
    rank = len(call.shape)
    grid_rows = grid.rows is not None and grid.axis.dim == 1
    rows = Axis(rank - 2, call.shape[-2])
    if image.rows is None and grid_rows and grid.axis.outer == 1:
        function = overload(call.target)
        rest = list(call.arguments.values())[2:]
        return Operator(
            "grid_sampler",
            (image, grid),
            lambda strip: function(strip.inputs[0], strip.inputs[1], *rest),
            rows,
            needs=(None, Same(grid.axis.count)),
            bitwise=False,
        )
    return _whole(call, "grid_sampler", rows, "the grid may ask for any row of the image")
