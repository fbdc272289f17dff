"""Operators along channels, columns or any other dimension than the rows: joining, splitting, picking, reducing."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import torch

from narrows.rowgraph.cutting import on_strips, overload
from narrows.rowgraph.graph import Strip
from narrows.rowgraph.operators.pointwise import broadcast_axis, broadcast_needs, fitted
from narrows.rowgraph.registry import Call, Operator, Refusal, Value, operator
from narrows.rowgraph.rows import Axis, Whole

__all__: list[str] = []


@operator("aten.cat.default")
def cat(call: Call) -> Operator:
    """Values side by side along a dimension that holds no rows."""
    values = [value for value in call["tensors"] if value.shape != (0,)]
    rank = len(call.shape)
    dim = int(call["dim"]) % rank
    rowed = [value for value in values if value.rows is not None]
    axis = rowed[0].axis
    if any(value.rows != axis for value in rowed):
        raise Refusal("it joins values whose rows lie in different dimensions")
    if dim == axis.dim:
        return _barrier(call, "cat", values, None, "images joined below each other")
    fit = fitted(values, axis, rank)
    return Operator(
        "cat",
        tuple(values),
        lambda strip: torch.cat(_same_layout(fit(strip)), dim),
        axis,
        needs=broadcast_needs(values, axis),
    )


def _same_layout(tensors: list[torch.Tensor]) -> list[torch.Tensor]:
    """`torch.cat` keeps `channels_last` only where its first tensor has it."""
    if any(t.dim() == 4 and not t.is_contiguous() for t in tensors) and tensors[0].is_contiguous():
        return [tensors[0].contiguous(memory_format=torch.channels_last), *tensors[1:]]
    return tensors


@operator("aten.stack.default")
def stack(call: Call) -> Operator:
    """Values side by side along a new dimension."""
    values = list(call["tensors"])
    dim = int(call["dim"]) % len(call.shape)
    axis = broadcast_axis(values, values[0].shape)
    fit = fitted(values, axis, len(values[0].shape))
    return Operator(
        "stack",
        tuple(values),
        lambda strip: torch.stack(fit(strip), dim),
        Axis(axis.dim + (dim <= axis.dim), axis.count, axis.outer),
        needs=broadcast_needs(values, axis),
    )


def _part(call: Call, dim: int, start: int, length: int) -> Operator:
    value = call.values[0]
    if dim == value.axis.dim:
        raise Refusal("it splits the rows in parts; cut them with slices instead")
    return Operator("split", (value,), lambda strip: strip.inputs[0].narrow(dim, start, length), value.rows, view_of=0)


@operator("aten.split.Tensor", "aten.split_with_sizes.default", "aten.unsafe_split.Tensor")
def split(call: Call) -> tuple[Operator, ...]:
    """Parts along a dimension that holds no rows."""
    dim = int(call["dim"]) % len(call.values[0].shape)
    parts, start = [], 0
    for shape, _ in call.results:
        parts.append(_part(call, dim, start, shape[dim]))
        start += shape[dim]
    return tuple(parts)


def _selected(call: Call, dim: int, index: int) -> Operator:
    value = call.values[0]
    if dim == value.axis.dim:
        raise Refusal("it picks one row of the image for all; crop the image instead")

    def after(axis: Axis | None) -> Axis | None:
        return None if axis is None or axis.dim == dim else Axis(axis.dim - (dim < axis.dim), axis.count, axis.outer)

    return Operator(
        "select",
        (value,),
        lambda strip: strip.inputs[0].select(dim, index),
        after(value.rows),
        columns=after(value.columns),
        view_of=0,
    )


@operator("aten.select.int")
def select(call: Call) -> Operator:
    """One place of a dimension that holds no rows."""
    return _selected(call, int(call["dim"]) % len(call["self"].shape), int(call["index"]))


@operator("aten.unbind.int")
def unbind(call: Call) -> tuple[Operator, ...]:
    """Every place of a dimension that holds no rows."""
    dim = int(call["dim"]) % len(call["self"].shape)
    return tuple(_selected(call, dim, index) for index in range(len(call.results)))


@operator("aten.index_select.default")
def index_select(call: Call) -> Operator:
    """Places of a dimension, by a constant table."""
    value, index = call["self"], call["index"]
    dim = int(call["dim"]) % len(value.shape)
    if index.rows is not None or value.rows is None or dim == value.axis.dim:
        raise Refusal("it picks rows by a table")
    return Operator(
        "index_select", (value, index), lambda strip: strip.inputs[0].index_select(dim, strip.inputs[1]), value.rows
    )


@operator("aten.index.Tensor")
def index(call: Call) -> Operator:
    """``x[..., table]`` with constant tables on neighbouring dimensions that hold no rows."""
    value, tables = call["self"], call["indices"]
    used = [dim for dim, table in enumerate(tables) if table is not None]
    constant = all(tables[dim].rows is None for dim in used)
    if value.rows is None or not constant or value.axis.dim in used or used != list(range(used[0], used[-1] + 1)):
        raise Refusal("it picks rows by a table")
    added = len(call.shape) - len(value.shape)
    rows = value.axis if value.axis.dim < used[0] else Axis(value.axis.dim + added, value.axis.count, value.axis.outer)

    def compute(strip: Strip) -> torch.Tensor:
        given = iter(strip.inputs[1:])
        where: tuple[Any, ...] = tuple(next(given) if dim in used else slice(None) for dim in range(len(tables)))
        result: torch.Tensor = strip.inputs[0][where]
        return result

    return Operator("index", (value, *(tables[dim] for dim in used)), compute, rows)


def _along(call: Call, kind: str, dims: list[int], barrier: str) -> Operator:
    """An operator along `dims` that keeps the shape."""
    value = call.values[0]
    if value.axis.dim in dims:
        return _barrier(call, kind, [value], value.rows, barrier)
    compute = on_strips(call)
    per_row = prod(value.shape) // max(value.axis.count, 1) * max(call.dtype.itemsize, 4)
    return Operator(
        kind,
        (value,),
        lambda strip: compute(strip, [strip.inputs[0]], False),
        value.rows,
        columns=value.columns,
        workspace=lambda rows: rows * per_row,
        bitwise=False,
    )


@operator(
    "aten.softmax.int", "aten._softmax.default", "aten.log_softmax.int", "aten._log_softmax.default", "aten.glu.default"
)
def softmax(call: Call) -> Operator:
    """Softmax over channels or within a row; over rows it is a barrier."""
    value = call.values[0]
    dim = int(call["dim"]) % len(value.shape)
    return _along(call, call.target.split(".")[1].strip("_"), [dim], "a softmax over all rows")


def _reduced_axis(axis: Axis | None, dims: list[int], keepdim: bool) -> Axis | None:
    if axis is None or axis.dim in dims:
        return None
    return axis if keepdim else Axis(axis.dim - sum(dim < axis.dim for dim in dims), axis.count, axis.outer)


def _reduction(call: Call, dims: list[int] | None, keepdim: bool) -> Operator:
    value = call.values[0]
    rank = len(value.shape)
    over = sorted({dim % rank for dim in dims}) if dims else list(range(rank))
    kind = call.target.split(".")[1]
    if value.axis.dim in over:
        return _barrier(call, kind, [value], None, f"{kind} over all rows")
    compute = on_strips(call)
    per_row = prod(value.shape) // max(value.axis.count, 1) * max(value.dtype.itemsize, 4)
    return Operator(
        kind,
        (value,),
        lambda strip: compute(strip, [strip.inputs[0]], False),
        _reduced_axis(value.rows, over, keepdim),
        columns=_reduced_axis(value.columns, over, keepdim),
        workspace=lambda rows: rows * per_row,
        bitwise=False,
    )


@operator(
    "aten.mean.dim",
    "aten.sum.dim_IntList",
    "aten.amax.default",
    "aten.amin.default",
    "aten.var.correction",
    "aten.var.dim",
    "aten.std.dim",
    "aten.std.correction",
    "aten.linalg_vector_norm.default",
    "aten.norm.ScalarOpt_dim",
    "aten.logsumexp.default",
    "aten.any.dims",
    "aten.all.dims",
)
def reduction(call: Call) -> Operator:
    """A reduction over channels or within a row; over rows it is a barrier."""
    return _reduction(call, call.get("dim"), bool(call.get("keepdim", False)))


@operator("aten.argmax.default", "aten.argmin.default", "aten.any.dim", "aten.all.dim", "aten.prod.dim_int")
def reduction_of_one(call: Call) -> Operator:
    """A reduction over one dimension, or over everything."""
    dim = call.get("dim")
    return _reduction(call, None if dim is None else [int(dim)], bool(call["keepdim"]))


@operator(
    "aten.mean.default",
    "aten.sum.default",
    "aten.max.default",
    "aten.min.default",
    "aten.any.default",
    "aten.all.default",
)
def reduction_of_all(call: Call) -> Operator:
    """A reduction over every element: a barrier."""
    return _reduction(call, None, False)


def _pair(call: Call, dims: list[int], keepdim: bool | None, kind: str) -> tuple[Operator, ...]:
    """Two results, values and places, made apart so that the one not read isn't made."""
    value = call.values[0]
    rank = len(value.shape)
    over = [dim % rank for dim in dims]
    function = overload(call.target)
    names = [argument.name for argument in function._schema.arguments]

    def make(place: int) -> Operator:
        if value.axis.dim in over:
            rows = value.rows if keepdim is None else None
            return _barrier(call, kind, [value], rows, f"{kind} over all rows")

        def compute(strip: Strip) -> torch.Tensor:
            filled = [strip.inputs[0] if isinstance(call[name], Value) else call[name] for name in names]
            keyword_only = [a.name for a in function._schema.arguments if a.kwarg_only]
            positional = [v for name, v in zip(names, filled, strict=True) if name not in keyword_only]
            keywords = {name: v for name, v in zip(names, filled, strict=True) if name in keyword_only}
            result: torch.Tensor = function(*positional, **keywords)[place]
            return result

        rows = value.rows if keepdim is None else _reduced_axis(value.rows, over, keepdim)
        columns = value.columns if keepdim is None else _reduced_axis(value.columns, over, keepdim)
        per_row = prod(value.shape) // max(value.axis.count, 1) * (value.dtype.itemsize + 8)
        return Operator(
            kind, (value,), compute, rows, columns=columns, workspace=lambda n: n * per_row, bitwise=place == 0
        )

    return make(0), make(1)


@operator("aten.max.dim", "aten.min.dim", "aten.median.dim", "aten.mode.default")
def extremum(call: Call) -> tuple[Operator, ...]:
    """The largest (smallest, middle) element along a dimension, and where it is."""
    return _pair(call, [int(call["dim"])], bool(call["keepdim"]), call.target.split(".")[1])


@operator("aten.topk.default", "aten.sort.default", "aten.sort.stable")
def ordered(call: Call) -> tuple[Operator, ...]:
    """Elements along a dimension in order, and where they were."""
    return _pair(call, [int(call["dim"])], None, call.target.split(".")[1])


def _barrier(call: Call, kind: str, values: list[Value], rows: Axis | None, why: str) -> Operator:
    needs = tuple(Whole(value.axis.count) if value.rows else None for value in values)
    compute: Callable[..., Any] | None = None
    return Operator(kind, tuple(values), compute, rows, needs=needs, barrier=why)
