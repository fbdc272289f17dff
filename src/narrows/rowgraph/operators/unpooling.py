"""Undoing max pooling: each value goes back to the place that it came from, zeros everywhere else.

A place is an index into the flattened full frame. Which rows may name which place follows from the pooling that made
the places, so these must come straight from it.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from functools import partial
from math import prod

import torch

from narrows.rowgraph.cutting import overload
from narrows.rowgraph.graph import Strip
from narrows.rowgraph.registry import Call, Operator, Refusal, operator
from narrows.rowgraph.rows import Axis, RowNeed, Same, Table, Transposed, Window

__all__: list[str] = []


@operator("aten.max_unpool2d.default")
def max_unpool2d(call: Call) -> Operator:
    """Row r gets the maxima of every window that covers it. Of two at one place the later stays, as in PyTorch."""
    value, places = call["self"], call["indices"]
    height, width = (int(size) for size in call["output_size"])
    rank = len(value.shape)
    if value.rows is None or places.rows is None or value.rows != places.rows:
        raise Refusal("its values and places differ in where their rows lie")
    axis = value.axis
    function = overload(call.target)
    if axis.dim < rank - 2:
        same = Same(axis.count)
        return Operator(
            "max_unpool",
            (value, places),
            lambda strip: function(strip.inputs[0], strip.inputs[1], [height, width]),
            axis,
            needs=(same, same),
        )
    pooling = places.extra.get("rows_of_places")
    if pooling is None or axis.dim != rank - 2 or axis.outer != 1:
        raise Refusal(
            "its places don't come straight from a max pooling over rows and columns; "
            "hand on the indices of max_pool2d(..., return_indices=True) unchanged"
        )
    pooled_width = int(places.extra["places_below"])
    bottom = _rows_covered(pooling, axis.count)
    if bottom * pooled_width > height * width:
        raise Refusal(
            f"places in {bottom} rows of {pooled_width} columns may lie outside its output of {height} x {width}; "
            "give max_unpool2d the size of the image that was pooled as output_size"
        )
    need = _need(pooling, axis.count, height, width, pooled_width)

    def compute(strip: Strip) -> torch.Tensor:
        values, where = strip.inputs
        rows = strip.stop - strip.start
        if values.shape[-2] == 0:
            shape = list(call.shape)
            shape[-2] = rows
            return torch.zeros(shape, dtype=values.dtype, device=values.device)
        local = where - strip.start * width
        # What belongs to other strips goes into a row of its own, which is cut off.
        local = torch.where((local < 0) | (local >= rows * width), rows * width, local)
        made: torch.Tensor = function(values, local, [rows + 1, width])
        return made.narrow(-2, 0, rows)

    made_row = prod(call.shape) // max(height, 1) * call.dtype.itemsize
    places_row = prod(places.shape) // max(axis.count, 1) * (places.dtype.itemsize + 1)
    most = max((need.last(row + 1) - need.first(row) for row in range(height)), default=0)

    def scratch(rows: int) -> int:
        # Indices of a strip, twice, beside the masks that pick them.
        return made_row + 3 * places_row * min(axis.count, most + rows)

    return Operator(
        "max_unpool",
        (value, places),
        compute,
        Axis(rank - 2, height),
        needs=(need, need),
        columns=Axis(rank - 1, width),
        workspace=scratch,
    )


@operator("aten.max_unpool3d.default")
def max_unpool3d(call: Call) -> Operator:
    """Refused where rows are among what is unpooled."""
    value, places = call["self"], call["indices"]
    if value.rows is None or value.rows != places.rows or value.axis.dim >= len(value.shape) - 3:
        raise Refusal("unpooling of rows in three dimensions; unpool rows and columns with max_unpool2d")
    function = overload(call.target)
    rest = list(call.arguments.values())[2:]
    same = Same(value.axis.count)
    return Operator(
        "max_unpool", (value, places), lambda strip: function(*strip.inputs, *rest), value.rows, needs=(same, same)
    )


def _rows_covered(pooling: Window | list[tuple[int, int]], count: int) -> int:
    """Rows of the pooled image down to the last that any window covers."""
    return pooling.last(count) if isinstance(pooling, Window) else pooling[-1][1]


def _need(pooling: Window | list[tuple[int, int]], count: int, height: int, width: int, pooled_width: int) -> RowNeed:
    """The pooled rows whose windows cover an output row.

    Places count along rows of `pooled_width`; where the output is `width` wide, its row r holds those from
    ``r * width`` on, which may lie in several rows of the pooled image.
    """
    first: Callable[[int], int]
    last: Callable[[int], int]
    if isinstance(pooling, Window):
        back = Transposed(count, pooling.kernel, pooling.stride, pooling.dilation, pooling.before)
        first, last = back.first, back.last
    else:
        tops, bottoms = [top for top, _ in pooling], [bottom for _, bottom in pooling]
        first, last = partial(bisect_right, bottoms), partial(bisect_left, tops)
    lowest = [first(row * width // pooled_width) for row in range(height)]
    highest = [last(((row + 1) * width - 1) // pooled_width + 1) - 1 for row in range(height)]
    return Table(count, lowest, highest)
