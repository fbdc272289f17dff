"""Operators along channels, columns or any other dimension than the rows: joining, splitting, picking, reducing."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import prod
from typing import Any

import torch

from narrows.rowgraph.cutting import on_strips, overload
from narrows.rowgraph.graph import Strip
from narrows.rowgraph.operators.pointwise import broadcast_axis, broadcast_needs, fitted
from narrows.rowgraph.pixels import joined
from narrows.rowgraph.registry import Call, Operator, Refusal, Value, operator
from narrows.rowgraph.rows import Axis, Whole, Window

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
    join = joined if dim == 1 else partial(torch.cat, dim=dim)
    return Operator(
        "cat",
        tuple(values),
        lambda strip: join(_same_layout(fit(strip))),
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
        if value.axis.outer > 1:
            raise Refusal("it cuts a batch and rows together")
        need = (Window(value.axis.count, before=-start),)
        return Operator(
            "split",
            (value,),
            lambda strip: strip.inputs[0],
            Axis(dim, length),
            needs=need,
            columns=value.columns,
            view_of=0,
        )
    return Operator("split", (value,), lambda strip: strip.inputs[0].narrow(dim, start, length), value.rows, view_of=0)


@operator("aten.split.Tensor", "aten.split_with_sizes.default", "aten.unsafe_split.Tensor")
def split(call: Call) -> tuple[Operator, ...]:
    """Parts along any dimension; of the rows, a band each."""
    dim = int(call["dim"]) % len(call.values[0].shape)
    parts, start = [], 0
    for shape, _ in call.results:
        parts.append(_part(call, dim, start, shape[dim]))
        start += shape[dim]
    return tuple(parts)


def _selected(call: Call, dim: int, index: int) -> Operator:
    value = call.values[0]
    if dim == value.axis.dim:
        raise Refusal("it picks one row and leaves no rows; take a slice of one row instead (x[:, :, r : r + 1])")

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
    """``x[..., table]`` with constant tables on dimensions that hold no rows; or ``table[x]``, a table looked up."""
    value, tables = call["self"], call["indices"]
    used = [dim for dim, table in enumerate(tables) if table is not None]
    picked = [tables[dim] for dim in used]
    if value.rows is None and used == [0] and picked[0].dtype not in (torch.bool, torch.uint8):
        return Operator("index", (value, picked[0]), lambda strip: strip.inputs[0][strip.inputs[1]], picked[0].rows)
    if value.rows is None or any(table.rows is not None for table in picked):
        raise Refusal(
            "it looks places up that depend on the image; use gather or embedding, or a table of one dimension"
        )
    if value.axis.dim in used:
        raise Refusal("it picks rows by a table; take slices, or put the rows in order before")
    masks = sum(len(table.shape) - 1 for table in picked if table.dtype in (torch.bool, torch.uint8))
    if masks:
        raise Refusal("it picks by a mask of several dimensions; use a table of places")
    # Tables side by side are replaced where they stand; tables apart put their places in front.
    together = used == list(range(used[0], used[-1] + 1))
    made = len(call.shape) - (len(value.shape) - len(used))
    front = used[0] if together else 0
    left_before = sum(dim not in used for dim in range(value.axis.dim))
    rows = Axis(
        left_before + (made if not together or value.axis.dim > front else 0), value.axis.count, value.axis.outer
    )

    def compute(strip: Strip) -> torch.Tensor:
        given = iter(strip.inputs[1:])
        where: tuple[Any, ...] = tuple(next(given) if dim in used else slice(None) for dim in range(len(tables)))
        result: torch.Tensor = strip.inputs[0][where]
        return result

    return Operator("index", (value, *picked), compute, rows)


@operator("aten.gather.default", "aten.scatter.src", "aten.scatter.value", "aten.scatter_add.default")
def gather(call: Call) -> Operator:
    """Elements picked or written along channels or columns, at places that may depend on the image."""
    values, rank = call.values, len(call.shape)
    kind = call.target.split(".")[1]
    dim = int(call["dim"]) % rank
    axis = next(value.axis for value in values if value.rows is not None)
    aligned = all(value.shape[axis.dim] == call.shape[axis.dim] for value in values)
    if not aligned or any(value.rows not in (None, axis) for value in values):
        raise Refusal("its image and its places have rows in different dimensions or of different heights")
    if dim == axis.dim:
        return _barrier(call, kind, values, axis, "places in any row")
    fit, compute = fitted(values, axis, rank), on_strips(call)
    row_bytes = prod(call.shape) // max(axis.count, 1) * call.dtype.itemsize
    return Operator(
        kind,
        tuple(values),
        lambda strip: compute(strip, fit(strip), False),
        axis,
        needs=broadcast_needs(values, axis),
        workspace=lambda rows: rows * row_bytes,
    )


@operator("aten.unfold.default")
def sliding(call: Call) -> Operator:
    """Windows along a dimension, their places in a new last one; over rows as a convolution reads them."""
    value, rank = call["self"], len(call["self"].shape)
    dim, size, step = int(call["dimension"]) % rank, int(call["size"]), int(call["step"])
    axis = value.axis
    if dim == axis.dim and axis.outer > 1:
        raise Refusal("it slides over a batch and rows together")
    over_rows = dim == axis.dim
    return Operator(
        "unfold",
        (value,),
        lambda strip: strip.inputs[0].unfold(dim, size, step),
        Axis(dim, call.shape[dim]) if over_rows else axis,
        needs=(Window(axis.count, kernel=size, stride=step),) if over_rows else None,
        columns=_resized(value.columns, call.shape),
        view_of=0,
    )


def _resized(columns: Axis | None, shape: tuple[int, ...]) -> Axis | None:
    return Axis(columns.dim, shape[columns.dim]) if columns else None


@operator("aten.diagonal.default")
def diagonal(call: Call) -> Operator:
    """The diagonal of two dimensions that hold no rows, put last."""
    value, rank = call["self"], len(call["self"].shape)
    first, second, offset = int(call["dim1"]) % rank, int(call["dim2"]) % rank, int(call["offset"])
    if value.axis.dim in (first, second):
        raise Refusal("a diagonal through the rows")
    rows = value.axis
    return Operator(
        "diagonal",
        (value,),
        lambda strip: strip.inputs[0].diagonal(offset, first, second),
        Axis(rows.dim - (first < rows.dim) - (second < rows.dim), rows.count, rows.outer),
        view_of=0,
    )


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


@operator("aten.var_mean.correction")
def moments(call: Call) -> tuple[Operator, ...]:
    """Variance and mean over channels or within a row."""
    dims = call.get("dim") or range(len(call.values[0].shape))
    return _pair(call, list(dims), bool(call["keepdim"]), "var_mean")


@operator(
    *("aten.max.dim", "aten.min.dim", "aten.median.dim", "aten.nanmedian.dim", "aten.mode.default"),
    "aten.kthvalue.default",
)
def extremum(call: Call) -> tuple[Operator, ...]:
    """The largest (smallest, middle, k-th) element along a dimension, and where it is."""
    return _pair(call, [int(call["dim"])], bool(call["keepdim"]), call.target.split(".")[1])


@operator("aten.topk.default", "aten.sort.default", "aten.sort.stable")
def ordered(call: Call) -> tuple[Operator, ...]:
    """Elements along a dimension in order, and where they were."""
    return _pair(call, [int(call["dim"])], None, call.target.split(".")[1])


def _barrier(call: Call, kind: str, values: list[Value], rows: Axis | None, why: str) -> Operator:
    needs = tuple(Whole(value.axis.count) if value.rows else None for value in values)
    compute: Callable[..., Any] | None = None
    return Operator(kind, tuple(values), compute, rows, needs=needs, barrier=why)
