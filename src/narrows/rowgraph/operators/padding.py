"""Rows and columns put around an image or cut off it."""

from __future__ import annotations

from math import prod

import torch
import torch.nn.functional as F

from narrows.rowgraph.graph import Strip
from narrows.rowgraph.registry import Call, Operator, Refusal, Value, operator
from narrows.rowgraph.rows import Axis, Table, Whole, Window, missing_rows

__all__: list[str] = []


def _sides(pad: list[int], rank: int, dim: int) -> tuple[int, int]:
    """What `pad`, which starts at the last dimension, asks before and after dimension `dim`."""
    place = 2 * (rank - 1 - dim)
    return (pad[place], pad[place + 1]) if place < len(pad) else (0, 0)


def _without(pad: list[int], rank: int, dim: int) -> list[int]:
    place = 2 * (rank - 1 - dim)
    return [0 if i in (place, place + 1) else size for i, size in enumerate(pad)]


def _columns(value: Value, shape: tuple[int, ...]) -> Axis | None:
    return Axis(value.columns.dim, shape[value.columns.dim]) if value.columns else None


@operator("aten.pad.default", "aten.constant_pad_nd.default")
def pad(call: Call) -> Operator:
    """Constant, reflected, replicated or (along columns) circular padding; negative sizes crop."""
    value, mode = call["self"], call.get("mode", "constant")
    rank, axis = len(value.shape), value.axis
    sizes = [int(size) for size in call["pad"]]
    above, below = _sides(sizes, rank, axis.dim)
    if axis.outer > 1 and (above or below):
        raise Refusal("it pads a batch and rows together")
    rows = Axis(axis.dim, call.shape[axis.dim] // axis.outer, axis.outer)
    columns = _columns(value, call.shape)
    rest = _without(sizes, rank, axis.dim)
    if mode == "circular" and (above or below):
        need = (Whole(axis.count),)
        return Operator("pad", (value,), None, rows, needs=need, columns=columns, barrier="circular padding of rows")
    fill = float(call.get("value") or 0.0) if mode == "constant" else None
    row_bytes = prod(call.shape) // max(rows.count, 1) * call.dtype.itemsize

    if mode == "constant" or not (above or below):
        window = Window(axis.count, before=above)

        def compute(strip: Strip) -> torch.Tensor:
            top, bottom = missing_rows(window, strip.start, strip.stop)
            wanted = list(rest)
            if top or bottom:
                wanted += [0] * (2 * (rank - axis.dim) - len(wanted))
                wanted[2 * (rank - 1 - axis.dim) : 2 * (rank - axis.dim)] = [top, bottom]
            return _padded(strip.inputs[0], wanted, mode, fill)

        return Operator("pad", (value,), compute, rows, needs=(window,), columns=columns)

    source = [_mirrored(row - above, axis.count, mode) for row in range(rows.count)]
    mirrored = Table(axis.count, source, source)

    def gather(strip: Strip) -> torch.Tensor:
        picked = source[strip.start : strip.stop]
        first = strip.starts[0]
        straight = picked == list(range(picked[0], picked[0] + len(picked)))
        if straight:
            taken = strip.inputs[0].narrow(axis.dim, picked[0] - first, len(picked))
        else:
            index = torch.tensor([row - first for row in picked], device=strip.inputs[0].device)
            taken = strip.inputs[0].index_select(axis.dim, index)
        return _padded(taken, rest, mode, None)

    return Operator(
        "pad",
        (value,),
        gather,
        rows,
        needs=(mirrored,),
        columns=columns,
        workspace=lambda count: count * row_bytes,
    )


def _mirrored(row: int, height: int, mode: str) -> int:
    """The row that stands at `row`, outside the image too."""
    if mode == "replicate":
        return min(max(row, 0), height - 1)
    if row < 0:
        return -row
    return 2 * (height - 1) - row if row >= height else row


def _padded(rows: torch.Tensor, sizes: list[int], mode: str, fill: float | None) -> torch.Tensor:
    if not any(sizes):
        return rows
    if mode == "constant":
        return F.pad(rows, sizes, value=fill)
    while len(sizes) > 2 and sizes[-2:] == [0, 0]:
        sizes = sizes[:-2]
    if rows.dim() == 4 and len(sizes) == 2:
        # Padding of one dimension takes three-dimensional values only.
        sizes = [*sizes, 0, 0]
    return F.pad(rows, sizes, mode=mode)


@operator("aten.slice.Tensor")
def slice_(call: Call) -> Operator:
    """``x[..., start:end:step, ...]`` along any dimension."""
    value = call["self"]
    dim = int(call.get("dim", 0)) % len(value.shape)
    size = value.shape[dim]
    start = min(max(_counted(call.get("start", 0), size), 0), size)
    stop = min(max(_counted(call.get("end", size), size), start), size)
    step = int(call.get("step", 1))
    if dim != value.axis.dim:
        columns = value.columns
        if columns is not None:
            columns = Axis(columns.dim, call.shape[columns.dim])
        where = (slice(None),) * dim + (slice(start, stop, step),)
        return Operator("slice", (value,), lambda strip: strip.inputs[0][where], value.rows, columns=columns, view_of=0)
    if value.axis.outer > 1:
        raise Refusal("it cuts a batch and rows together")
    window = Window(value.axis.count, stride=step, before=-start)
    keep = (slice(None),) * dim + (slice(None, None, step),)
    return Operator(
        "slice",
        (value,),
        lambda strip: strip.inputs[0][keep],
        Axis(dim, call.shape[dim]),
        needs=(window,),
        columns=value.columns,
        view_of=0,
    )


def _counted(place: int, size: int) -> int:
    return int(place) + size if place < 0 else int(place)
