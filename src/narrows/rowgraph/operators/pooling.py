"""Pooling over windows of rows and columns.

Global pooling, one window over all rows, is a barrier.
"""

from __future__ import annotations

from math import prod
from typing import Any

import torch
import torch.nn.functional as F

from narrows.rowgraph.cutting import overload
from narrows.rowgraph.graph import Strip
from narrows.rowgraph.registry import Call, Operator, Refusal, Value, operator
from narrows.rowgraph.rows import Axis, RowNeed, Same, Table, Whole, Window, missing_rows

__all__: list[str] = []


def _sizes(value: Any, count: int, otherwise: list[int] | None = None) -> list[int]:
    """A size for each pooled dimension; PyTorch takes one for all, and an empty list for the default."""
    if value is None or value == []:
        return list(otherwise or [])
    values = [value] if isinstance(value, int) else [int(size) for size in value]
    return values * count if len(values) == 1 else values


def _pooled_dims(target: str) -> int:
    return int(target.split("pool")[1][0])


def _column_axis(value: Value, shape: tuple[int, ...]) -> Axis | None:
    return Axis(value.columns.dim, shape[value.columns.dim]) if value.columns else None


def _image(call: Call, count: int) -> tuple[Value, int]:
    """The pooled value, and which of the pooled dimensions holds the rows (below 0: none of them)."""
    value: Value = call.values[0]
    place = value.axis.dim - (len(value.shape) - count)
    if place >= 0 and value.axis.outer > 1:
        raise Refusal("it pools a dimension in which batch and rows lie together")
    return value, place


def _row_by_row(call: Call, value: Value, kind: str, result: int | None = None) -> Operator:
    """Pooling that never looks at another row: rows are in the batch or the channels."""
    function = overload(call.target)
    rest = list(call.arguments.values())[1:]

    def compute(strip: Strip) -> torch.Tensor:
        made: Any = function(strip.inputs[0], *rest)
        return made if result is None else made[result]

    return Operator(kind, (value,), compute, value.rows, columns=_column_axis(value, call.shape))


def _with_rows(rows: torch.Tensor, dim: int, above: int, below: int, fill: float) -> torch.Tensor:
    """`rows` with `above` and `below` rows of `fill` around them."""
    if not (above or below):
        return rows
    return F.pad(rows, [0, 0] * (rows.dim() - 1 - dim) + [above, below], value=fill)


def _lowest(dtype: torch.dtype) -> float:
    return float("-inf") if dtype.is_floating_point else torch.iinfo(dtype).min


@operator("aten.max_pool1d.default", "aten.max_pool2d.default", "aten.max_pool3d.default")
def max_pool(call: Call) -> Operator:
    """The largest value of each window; padding never wins."""
    return _max_pool(call, None)


@operator("aten.max_pool2d_with_indices.default", "aten.max_pool3d_with_indices.default")
def max_pool_with_indices(call: Call) -> tuple[Operator, ...]:
    """The largest value of each window, and its place in the flattened full frame."""
    return _max_pool(call, 0), _max_pool(call, 1)


def _max_pool(call: Call, result: int | None) -> Operator:
    count = _pooled_dims(call.target)
    value, place = _image(call, count)
    kernel = _sizes(call["kernel_size"], count)
    stride = _sizes(call["stride"], count, kernel)
    padding, dilation = _sizes(call["padding"], count), _sizes(call["dilation"], count)
    if place < 0:
        return _row_by_row(call, value, "max_pool", result)
    axis = value.axis
    need = Window(axis.count, kernel[place], stride[place], dilation[place], padding[place])
    around = [0 if i == place else size for i, size in enumerate(padding)]
    function, ceil = overload(call.target), bool(call["ceil_mode"])
    fill, below_row = _lowest(value.dtype), prod(value.shape[axis.dim + 1 :])
    if result == 1 and place != 0:
        raise Refusal("places of maxima in three-dimensional windows; pool rows and columns in two dimensions")

    def compute(strip: Strip) -> torch.Tensor:
        above, below = missing_rows(need, strip.start, strip.stop)
        rows = _with_rows(strip.inputs[0], axis.dim, above, below, fill)
        made: Any = function(rows, kernel, stride, around, dilation, ceil)
        if result is None:
            return made
        if result == 0:
            return made[0]
        places: torch.Tensor = made[1] + (strip.start * need.stride - need.before) * below_row
        if above:
            # A window that holds nothing above minus infinity names its first place that isn't in the padding.
            step = need.dilation * below_row
            places = torch.where(places < 0, places.remainder(step), places)
        return places

    per_row = _row_bytes(value)
    made_row = prod(call.results[0][0]) // max(call.shape[axis.dim], 1) * (value.dtype.itemsize + 8)

    def workspace(rows: int) -> int:
        indices = made_row * rows * 2 if result is not None or count == 2 else 0
        return (_span(need, rows) if _reaches_out(need, call.shape[axis.dim]) else 0) * per_row + indices

    return Operator(
        "max_pool",
        (value,),
        compute,
        Axis(axis.dim, call.shape[axis.dim]),
        needs=(need,),
        columns=_column_axis(value, call.shape),
        workspace=workspace,
        extra={"rows_of_places": need, "places_below": below_row} if result == 1 else {},
    )


def _row_bytes(value: Value) -> int:
    return prod(value.shape) // max(value.axis.count, 1) * value.dtype.itemsize


def _span(need: Window, rows: int) -> int:
    """Input rows that `rows` output rows cover, padding included."""
    return (rows - 1) * need.stride + need.dilation * (need.kernel - 1) + 1


def _reaches_out(need: Window, count: int) -> bool:
    return any(missing_rows(need, 0, count))


@operator("aten.avg_pool1d.default", "aten.avg_pool2d.default", "aten.avg_pool3d.default")
def avg_pool(call: Call) -> Operator:
    """The mean of each window; at the border the divisor is that of the full frame."""
    count = _pooled_dims(call.target)
    value, place = _image(call, count)
    if place < 0:
        return _row_by_row(call, value, "avg_pool")
    kernel = _sizes(call["kernel_size"], count)
    stride = _sizes(call["stride"], count, kernel)
    padding = _sizes(call["padding"], count)
    around = [0 if i == place else size for i, size in enumerate(padding)]
    axis, function = value.axis, overload(call.target)
    rest = [bool(call["ceil_mode"]), bool(call["count_include_pad"])]
    if "divisor_override" in call.arguments:
        rest.append(call["divisor_override"])
    counts_padding = bool(call["count_include_pad"])
    need = Window(axis.count, kernel[place], stride[place], 1, padding[place])
    low, high = _full_windows(need, call.shape[axis.dim])

    def pooled(rows: torch.Tensor, height: int) -> torch.Tensor:
        sizes = [height if i == place else size for i, size in enumerate(kernel)]
        made: torch.Tensor = function(rows, sizes, stride, around, *rest)
        return made

    def border(strip: Strip, row: int) -> torch.Tensor:
        """One row whose window is cut by the border, as a window of the height that is left."""
        top = row * need.stride - need.before
        bottom = min(top + need.kernel, axis.count + need.before)
        first, last = max(top, 0), min(bottom, axis.count)
        if first >= last:
            shape = list(call.shape)
            shape[axis.dim] = 1
            return strip.inputs[0].new_zeros(shape)
        rows = strip.inputs[0].narrow(axis.dim, first - strip.starts[0], last - first)
        if counts_padding:
            rows = _with_rows(rows, axis.dim, first - top, bottom - last, 0.0)
        return pooled(rows, rows.shape[axis.dim])

    def compute(strip: Strip) -> torch.Tensor:
        inner, outer = max(strip.start, low), min(strip.stop, high)
        parts = [border(strip, row) for row in range(strip.start, min(inner, strip.stop))]
        if inner < outer:
            first = inner * need.stride - need.before - strip.starts[0]
            parts.append(pooled(strip.inputs[0].narrow(axis.dim, first, _span(need, outer - inner)), need.kernel))
        parts += [border(strip, row) for row in range(max(outer, inner, strip.start), strip.stop)]
        return parts[0] if len(parts) == 1 else torch.cat(parts, axis.dim)

    row_bytes, made_row = _row_bytes(value), prod(call.shape) // max(call.shape[axis.dim], 1) * call.dtype.itemsize
    return Operator(
        "avg_pool",
        (value,),
        compute,
        Axis(axis.dim, call.shape[axis.dim]),
        needs=(need,),
        columns=_column_axis(value, call.shape),
        workspace=lambda rows: rows * made_row + min(rows, need.kernel) * need.kernel * row_bytes,
    )


def _full_windows(need: Window, count: int) -> tuple[int, int]:
    """The output rows [low, high) whose windows lie wholly in the image."""
    low = min(-(-need.before // need.stride), count)
    high = (need.height - need.kernel + need.before) // need.stride + 1 if need.height >= need.kernel else 0
    return low, min(max(high, low), count)


def _adaptive_windows(height: int, count: int) -> list[tuple[int, int]]:
    return [(row * height // count, -(-(row + 1) * height // count)) for row in range(count)]


@operator("aten.adaptive_avg_pool1d.default", "aten.adaptive_avg_pool2d.default", "aten.adaptive_avg_pool3d.default")
def adaptive_avg_pool(call: Call) -> Operator:
    """The mean of as many windows as asked for; one for all rows is a barrier."""
    return _adaptive(call, None)


@operator("aten.adaptive_max_pool1d.default", "aten.adaptive_max_pool2d.default", "aten.adaptive_max_pool3d.default")
def adaptive_max_pool(call: Call) -> tuple[Operator, ...]:
    """The largest value of as many windows as asked for, and its place in the flattened full frame."""
    return _adaptive(call, 0), _adaptive(call, 1)


def _adaptive(call: Call, result: int | None) -> Operator:
    count = _pooled_dims(call.target)
    value, place = _image(call, count)
    size = _sizes(call["output_size"], count)
    kind = "adaptive_avg_pool" if result is None else "adaptive_max_pool"
    if place < 0:
        return _row_by_row(call, value, kind, result)
    axis, function = value.axis, overload(call.target)
    if size[place] == 1 and axis.count > 1:
        whole: tuple[RowNeed, ...] = (Whole(axis.count),)
        return Operator(kind, (value,), None, None, needs=whole, barrier="it pools over all rows")
    if result == 1 and place != 0:
        raise Refusal("places of maxima in three-dimensional windows; pool rows and columns in two dimensions")
    if result is None and count > 1 and any(n != 1 for n in size):
        # PyTorch sums windows in another order where one covers the image, as it may in a strip.
        function = overload(call.target.replace("aten.", "aten._"))
    windows = _adaptive_windows(axis.count, size[place])
    below_row = prod(value.shape[axis.dim + 1 :])

    def pooled(strip: Strip, start: int, stop: int) -> torch.Tensor:
        first, last = windows[start][0], windows[stop - 1][1]
        sizes = [stop - start if i == place else n for i, n in enumerate(size)]
        rows = strip.inputs[0].narrow(axis.dim, first - strip.starts[0], last - first)
        made: Any = function(rows, sizes)
        if result is None:
            return made
        return made[0] if result == 0 else made[1] + first * below_row

    def compute(strip: Strip) -> torch.Tensor:
        first, last = windows[strip.start][0], windows[strip.stop - 1][1]
        local = _adaptive_windows(last - first, strip.stop - strip.start)
        if [(a + first, b + first) for a, b in local] == windows[strip.start : strip.stop]:
            return pooled(strip, strip.start, strip.stop)
        return torch.cat([pooled(strip, row, row + 1) for row in range(strip.start, strip.stop)], axis.dim)

    made_row = prod(call.results[0][0]) // max(size[place], 1) * (value.dtype.itemsize + 8)
    return Operator(
        kind,
        (value,),
        compute,
        Axis(axis.dim, size[place]),
        needs=(Table(axis.count, [a for a, _ in windows], [b - 1 for _, b in windows]),)
        if axis.count
        else (Same(axis.count),),
        columns=_column_axis(value, call.shape),
        workspace=lambda rows: 2 * rows * made_row,
        extra={"rows_of_places": windows, "places_below": below_row} if result == 1 else {},
    )


@operator("aten.fractional_max_pool2d.default", "aten.fractional_max_pool3d.default")
def fractional_max_pool(call: Call) -> Operator:
    """Refused: its windows are drawn at random."""
    raise Refusal("fractional max pooling draws its windows at random; use max pooling or adaptive max pooling")
