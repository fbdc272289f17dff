"""Operators that move elements without changing them: permutations, reshapes, expansions, channel shuffles.

A reshape is followed through the order of elements in memory. Rows of an input whose row dimension has stride
`below` (the product of the sizes after it) cover the elements from `below` to `top = below * rows` of that order. The
output's rows are in the dimension that covers `top`; each of them gathers or splits a whole number of rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import torch
import torch.nn.functional as F

from narrows.rowgraph.cutting import cut
from narrows.rowgraph.graph import Strip
from narrows.rowgraph.pixels import folded, unfolded
from narrows.rowgraph.registry import Call, Operator, Refusal, Value, operator
from narrows.rowgraph.rows import Axis, Blocks, RowNeed, Same, Whole

__all__: list[str] = ["Regrouping", "regrouped"]


@dataclass(frozen=True)
class Regrouping:
    """Where rows go in a reshape: each output row covers `gathered / split` input rows."""

    axis: Axis
    gathered: int = 1
    split: int = 1


def regrouped(shape: tuple[int, ...], axis: Axis, target: tuple[int, ...]) -> Regrouping | None:
    """Where the rows of a value of `shape` lie after a reshape to `target`; None where they are mixed."""
    below = prod(shape[axis.dim + 1 :])
    top = below * axis.count
    if axis.count == 1:
        # One row could as well be split along its columns; it stays whole where a dimension of size 1 can hold it.
        whole = [dim for dim, size in enumerate(target) if size == 1 and prod(target[dim + 1 :]) == below]
        whole.sort(key=lambda dim: target[dim + 1 :] == shape[axis.dim + 1 :])
        if whole:
            return Regrouping(Axis(whole[-1], 1))
    stride = 1
    for dim in range(len(target) - 1, -1, -1):
        size = target[dim]
        if stride < top <= stride * size:
            break
        stride *= size
    else:
        return None
    if (stride * size) % top or top % stride:
        return None
    outer, count = stride * size // top, top // stride
    if stride >= below:
        return Regrouping(Axis(dim, count, outer), gathered=stride // below) if stride % below == 0 else None
    return Regrouping(Axis(dim, count, outer), split=below // stride) if below % stride == 0 else None


def _follow(axis: Axis | None, value: Value, target: tuple[int, ...]) -> Axis | None:
    """Columns after a reshape, where they stay whole."""
    if axis is None:
        return None
    found = regrouped(value.shape, axis, target)
    return found.axis if found and found.gathered == found.split == 1 else None


@operator("aten.view.default", "aten._unsafe_view.default", "aten.view_copy.default")
def reshape(call: Call) -> Operator:
    """The same elements in the same order, in other dimensions."""
    value, target = call["self"], call.shape
    rows = value.axis
    if rows.outer > 1:
        # The batch in front of the rows is a dimension of its own in the order of elements.
        split_shape = (*value.shape[: rows.dim], rows.outer, rows.count, *value.shape[rows.dim + 1 :])
        found = regrouped(split_shape, Axis(rows.dim + 1, rows.count), target)
    else:
        found = regrouped(value.shape, rows, target)
    if found is None:
        raise Refusal("it mixes rows with what lies beside them; keep the rows a dimension (or a batch of windows)")
    need = Blocks(rows.count, found.gathered, found.split)

    def compute(strip: Strip) -> torch.Tensor:
        held = strip.stops[0] - strip.starts[0]
        made = held * found.split // found.gathered
        shape = list(target)
        shape[found.axis.dim] = found.axis.outer * made
        result = strip.inputs[0].reshape(shape)
        begin = strip.start - strip.starts[0] * found.split // found.gathered
        wanted = strip.stop - strip.start
        return result if wanted == made else cut(result, found.axis, begin, begin + wanted)

    def copied(rows_made: int) -> int:
        per_row = prod(target) // found.axis.count * call.dtype.itemsize
        return (rows_made + 2 * found.split) * per_row

    return Operator(
        "reshape",
        (value,),
        compute,
        found.axis,
        needs=(need,),
        columns=_follow(value.columns, value, target),
        workspace=copied,
    )


def _moved(call: Call, order: list[int]) -> Operator:
    value = call.values[0]
    place = {old: new for new, old in enumerate(order)}
    rows = Axis(place[value.axis.dim], value.axis.count, value.axis.outer)
    columns = Axis(place[value.columns.dim], value.columns.count, value.columns.outer) if value.columns else None
    return Operator("permute", (value,), lambda strip: strip.inputs[0].permute(order), rows, columns=columns, view_of=0)


@operator("aten.permute.default", "aten.permute_copy.default")
def permute(call: Call) -> Operator:
    """Dimensions in another order."""
    rank = len(call["self"].shape)
    return _moved(call, [dim % rank for dim in call["dims"]])


@operator("aten.transpose.int")
def transpose(call: Call) -> Operator:
    """Two dimensions exchanged."""
    rank = len(call["self"].shape)
    order = list(range(rank))
    first, second = call["dim0"] % rank, call["dim1"] % rank
    order[first], order[second] = order[second], order[first]
    return _moved(call, order)


@operator("aten.t.default")
def transposed(call: Call) -> Operator:
    """All dimensions in reverse order."""
    return _moved(call, list(range(len(call["self"].shape)))[::-1])


@operator("aten.unsqueeze.default")
def unsqueeze(call: Call) -> Operator:
    """A dimension of size 1 put in."""
    value = call["self"]
    dim = call["dim"] % (len(value.shape) + 1)

    def after(axis: Axis | None) -> Axis | None:
        return axis and Axis(axis.dim + (dim <= axis.dim), axis.count, axis.outer)

    return Operator(
        "unsqueeze",
        (value,),
        lambda strip: strip.inputs[0].unsqueeze(dim),
        after(value.rows),
        columns=after(value.columns),
        view_of=0,
    )


@operator("aten.squeeze.dim", "aten.squeeze.dims", "aten.squeeze.default")
def squeeze(call: Call) -> Operator:
    """Dimensions of size 1 taken out; the rows stay, also where there is only one."""
    value = call["self"]
    rank = len(value.shape)
    asked = call.get("dim", list(range(rank)))
    dims = sorted({dim % rank for dim in ([asked] if isinstance(asked, int) else asked)})
    gone = [dim for dim in dims if value.shape[dim] == 1]
    if value.axis.dim in gone:
        raise Refusal("it takes out the dimension that holds the rows of an image of one row")

    def after(axis: Axis | None) -> Axis | None:
        if axis is None or axis.dim in gone:
            return None
        return Axis(axis.dim - sum(dim < axis.dim for dim in gone), axis.count, axis.outer)

    return Operator(
        "squeeze",
        (value,),
        lambda strip: strip.inputs[0].squeeze(gone) if gone else strip.inputs[0],
        after(value.rows),
        columns=after(value.columns),
        view_of=0,
    )


@operator("aten.expand.default")
def expand(call: Call) -> Operator:
    """Dimensions of size 1 repeated without copies."""
    value, target = call["self"], call.shape
    shift = len(target) - len(value.shape)
    rows = Axis(value.axis.dim + shift, value.axis.count, value.axis.outer)
    need: RowNeed = Same(rows.count)
    if target[rows.dim] != value.shape[value.axis.dim]:
        # An image of one row, repeated down the rows.
        rows, need = Axis(rows.dim, target[rows.dim]), Whole(1)

    def compute(strip: Strip) -> torch.Tensor:
        shape = list(target)
        shape[rows.dim] = rows.outer * (strip.stop - strip.start)
        return strip.inputs[0].expand(shape)

    columns = Axis(value.columns.dim + shift, target[value.columns.dim + shift]) if value.columns else None
    return Operator("expand", (value,), compute, rows, needs=(need,), columns=columns, view_of=0)


@operator("aten.repeat.default")
def repeat(call: Call) -> Operator:
    """Copies side by side along dimensions other than the rows."""
    value, repeats = call["self"], list(call["repeats"])
    shift = len(repeats) - len(value.shape)
    rows = Axis(value.axis.dim + shift, value.axis.count, value.axis.outer)
    if repeats[rows.dim] != 1:
        return _rowless(call, "repeat", "copies of all rows below each other")
    return Operator("repeat", (value,), lambda strip: strip.inputs[0].repeat(repeats), rows)


@operator("aten.roll.default")
def roll(call: Call) -> Operator:
    """Elements moved around along columns or channels."""
    value, rank = call["self"], len(call["self"].shape)
    shifts, dims = list(call["shifts"]), [dim % rank for dim in call["dims"]]
    if not dims or (value.axis.dim in dims and shifts[dims.index(value.axis.dim)] % value.shape[value.axis.dim]):
        return _rowless(call, "roll", "rows rolled around the image")
    return Operator("roll", (value,), lambda strip: strip.inputs[0].roll(shifts, dims), value.rows)


@operator("aten.flip.default")
def flip(call: Call) -> Operator:
    """Elements in reverse order along columns or channels."""
    value, rank = call["self"], len(call["self"].shape)
    dims = [dim % rank for dim in call["dims"]]
    if value.axis.dim in dims and value.shape[value.axis.dim] > 1:
        return _rowless(call, "flip", "rows in reverse order")
    return Operator("flip", (value,), lambda strip: strip.inputs[0].flip(dims), value.rows)


def _rowless(call: Call, kind: str, why: str) -> Operator:
    """A barrier whose result still has rows."""
    value = call.values[0]
    shift = len(call.shape) - len(value.shape)
    rows = Axis(value.axis.dim + shift, call.shape[value.axis.dim + shift])
    return Operator(kind, (value,), None, rows, needs=(Whole(value.axis.count),), barrier=why)


@operator("aten.pixel_shuffle.default")
def pixel_shuffle(call: Call) -> Operator:
    """(N, C f^2, H, W) to (N, C, f H, f W): each row becomes f rows."""
    value, factor = call["self"], int(call["upscale_factor"])
    _needs_image_rows(value, "pixel_shuffle")

    def compute(strip: Strip) -> torch.Tensor:
        result = unfolded(strip.inputs[0], factor)
        begin = strip.start - strip.starts[0] * factor
        return result.narrow(-2, begin, strip.stop - strip.start)

    rank = len(call.shape)
    return Operator(
        "pixel_shuffle",
        (value,),
        compute,
        Axis(rank - 2, call.shape[-2]),
        needs=(Blocks(value.axis.count, 1, factor),),
        columns=Axis(rank - 1, call.shape[-1]),
        workspace=lambda rows: 2 * factor * prod(call.shape) // max(call.shape[-2], 1) * call.dtype.itemsize,
    )


@operator("aten.pixel_unshuffle.default")
def pixel_unshuffle(call: Call) -> Operator:
    """(N, C, f H, f W) to (N, C f^2, H, W): f rows become one."""
    value, factor = call["self"], int(call["downscale_factor"])
    _needs_image_rows(value, "pixel_unshuffle")
    rank = len(call.shape)
    return Operator(
        "pixel_unshuffle",
        (value,),
        lambda strip: folded(strip.inputs[0], factor),
        Axis(rank - 2, call.shape[-2]),
        needs=(Blocks(value.axis.count, factor, 1),),
        columns=Axis(rank - 1, call.shape[-1]),
    )


@operator("aten.channel_shuffle.default", "aten.native_channel_shuffle.default")
def channel_shuffle(call: Call) -> Operator:
    """Channels of several groups interleaved."""
    value, groups = call["self"], int(call["groups"])
    if value.axis.dim == 1:
        raise Refusal("it shuffles the dimension that holds the rows")
    return Operator(
        "channel_shuffle",
        (value,),
        lambda strip: F.channel_shuffle(strip.inputs[0], groups),
        value.rows,
        needs=(Same(value.axis.count),),
    )


def _needs_image_rows(value: Value, what: str) -> None:
    if value.rows is None or value.axis.dim != len(value.shape) - 2 or value.axis.outer != 1:
        raise Refusal(f"{what} where the rows are not the last dimension but one")
