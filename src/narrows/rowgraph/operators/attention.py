"""Products of matrices, and attention: rows of the image are in the batch, or are what a weight multiplies."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from string import ascii_letters

import torch

from narrows.rowgraph.cutting import cut, on_strips
from narrows.rowgraph.graph import Strip
from narrows.rowgraph.operators.pointwise import broadcast_axis, broadcast_needs, fitted
from narrows.rowgraph.registry import Call, Operator, Refusal, Value, multiplies, operator
from narrows.rowgraph.rows import Axis, Same, Whole

__all__: list[str] = []


def _barrier(call: Call, kind: str, values: list[Value], macs: int) -> Operator:
    needs = tuple(Whole(value.axis.count) if value.rows else None for value in values)
    return Operator(kind, tuple(values), None, None, needs=needs, barrier="a product over all rows", macs=macs)


@multiplies("aten.linear.default")
def linear_macs(call: Call) -> int:
    """Each output value sums over the inputs of the layer."""
    return prod(call.shape) * call["input"].shape[-1]


@multiplies(
    *(f"aten.{name}.default" for name in ("matmul", "bmm", "mm", "mv", "dot", "vdot", "addmm", "addmv", "baddbmm"))
)
def product_macs(call: Call) -> int:
    """Each value of the product sums over the last dimension of the first factor."""
    first = call.values[1 if call.target.startswith(("aten.add", "aten.badd")) else 0]
    return prod(call.shape) * first.shape[-1]


@multiplies("aten.addbmm.default")
def summed_product_macs(call: Call) -> int:
    """A batch of products, added up."""
    return prod(call["batch1"].shape) * call["batch2"].shape[-1]


@multiplies("aten.outer.default", "aten.addr.default")
def outer_macs(call: Call) -> int:
    """One multiplication for each value."""
    return prod(call.shape)


@multiplies("aten.bilinear.default")
def bilinear_macs(call: Call) -> int:
    """``x1 weight x2`` for each output: the product with x2 first, then with x1."""
    outputs, first, second = call["weight"].shape
    return prod(call.shape[:-1]) * outputs * first * (second + 1)


@multiplies("aten.scaled_dot_product_attention.default")
def attention_macs(call: Call) -> int:
    """q k^T and its product with v, each for every pair of a query and a key, masked or not."""
    query, key, value = call["query"], call["key"], call["value"]
    return prod(query.shape[:-1]) * key.shape[-2] * (query.shape[-1] + value.shape[-1])


@multiplies("aten.einsum.default")
def einsum_macs(call: Call) -> int:
    """Operands multiplied pair by pair from the left, each letter summed as soon as nothing else names it."""
    values = list(call["tensors"])
    operands, result = _letters(call["equation"], [len(value.shape) for value in values])
    sizes = {c: n for s, value in zip(operands, values, strict=True) for c, n in zip(s, value.shape, strict=True)}
    macs, held = 0, set(operands[0])
    for place, operand in enumerate(operands[1:], start=2):
        held |= set(operand)
        macs += prod(sizes[letter] for letter in held)
        held &= set(result).union(*operands[place:])
    return macs


@operator("aten.linear.default")
def linear(call: Call) -> Operator:
    """``x @ weight.T + bias`` over the last dimension."""
    x, weight, values = call["input"], call["weight"], call.values
    macs = linear_macs(call)
    if weight.rows is not None:
        raise Refusal("a linear layer whose weights depend on the image")
    if x.axis.dim == len(x.shape) - 1:
        return _barrier(call, "linear", values, macs)
    compute = on_strips(call)
    return Operator(
        "linear",
        tuple(values),
        lambda strip: compute(strip, strip.inputs, False),
        x.rows,
        needs=(Same(x.axis.count), *(None for _ in values[1:])),
        columns=Axis(x.columns.dim, x.columns.count) if x.columns and x.columns.dim < len(x.shape) - 1 else None,
        workspace=_copy_of(x),
        macs=macs,
        bitwise=False,
    )


def _copy_of(value: Value) -> Callable[[int], int]:
    """A product lays its operand out anew where it is not dense."""
    per_row = prod(value.shape) // max(value.axis.count, 1) * value.dtype.itemsize
    return lambda rows: rows * per_row


@operator("aten.matmul.default", "aten.bmm.default", "aten.mm.default")
def matmul(call: Call) -> Operator:
    """``a @ b`` where the rows are in the batch of both, or are the rows of `a` or the columns of `b`."""
    a, b = call.values
    rank = len(call.shape)
    macs = product_macs(call)
    compute = on_strips(call)
    if len(b.shape) == 1 and len(a.shape) > 1 and b.rows is None and a.axis.dim < len(a.shape) - 1:
        # (..., n) @ (n): every dimension but the last one stays.
        return _weighted(call, a, macs)
    if len(a.shape) < 2 or len(b.shape) < 2:
        raise Refusal("a product with a vector that depends on the image; write it as a product of matrices")
    in_batch = [value.rows is not None and value.axis.dim < len(value.shape) - 2 for value in (a, b)]
    if a.rows is not None and b.rows is None and a.axis.dim == len(a.shape) - 2:
        rows = Axis(rank - 2, a.axis.count, a.axis.outer)
        needs = (Same(a.axis.count), None)
        return Operator(
            "matmul",
            (a, b),
            lambda strip: compute(strip, strip.inputs, False),
            rows,
            needs=needs,
            macs=macs,
            workspace=_copy_of(a),
            bitwise=False,
        )
    if b.rows is not None and a.rows is None and b.axis.dim == len(b.shape) - 1:
        rows = Axis(rank - 1, b.axis.count, b.axis.outer)
        return Operator(
            "matmul",
            (a, b),
            lambda strip: compute(strip, strip.inputs, False),
            rows,
            needs=(None, Same(b.axis.count)),
            macs=macs,
            workspace=_copy_of(b),
            bitwise=False,
        )
    if not all(batch or value.rows is None for batch, value in zip(in_batch, (a, b), strict=True)):
        return _barrier(call, "matmul", [a, b], macs)
    return _batched(call, [a, b], macs)


def _weighted(call: Call, x: Value, macs: int) -> Operator:
    """Rows of `x` multiplied by weights, which all other inputs are."""
    compute = on_strips(call)
    values = call.values
    return Operator(
        call.target.split(".")[1],
        tuple(values),
        lambda strip: compute(strip, strip.inputs, False),
        x.rows,
        needs=tuple(Same(x.axis.count) if value is x else None for value in values),
        workspace=_copy_of(x),
        macs=macs,
        bitwise=False,
    )


@operator("aten.addmm.default")
def addmm(call: Call) -> Operator:
    """``beta * bias + alpha * x @ weight``, the rows in the first dimension of `x`."""
    bias, x, weight = call["self"], call["mat1"], call["mat2"]
    macs = product_macs(call)
    if x.rows is None or weight.rows is not None or bias.rows not in (None, x.rows):
        raise Refusal("a product whose weights depend on the image")
    if x.axis.dim != 0:
        return _barrier(call, "addmm", call.values, macs)
    fit, compute = fitted([Value(bias.node, bias.shape, bias.dtype, bias.rows)], x.axis, 2), on_strips(call)

    def product(strip: Strip) -> torch.Tensor:
        return compute(strip, [*fit(_first_of(strip)), *strip.inputs[1:]], False)

    return Operator(
        "addmm",
        (bias, x, weight),
        product,
        x.rows,
        needs=(Same(x.axis.count) if bias.rows else None, Same(x.axis.count), None),
        workspace=_copy_of(x),
        macs=macs,
        bitwise=False,
    )


def _first_of(strip: Strip) -> Strip:
    return Strip(strip.start, strip.stop, strip.inputs[:1], strip.starts[:1], strip.stops[:1])


def _batched(call: Call, values: list[Value], macs: int) -> Operator:
    """The rows are in the batch: each matrix belongs to one row."""
    outer = [Value(v.node, (*v.shape[:-2], 1, 1), v.dtype, v.rows) for v in values]
    axis = broadcast_axis(outer, (*call.shape[:-2], 1, 1))
    fit, compute = fitted(outer, axis, len(call.shape)), on_strips(call)
    scores = prod(call.shape[:-1]) * max(values[-1].shape[-2], values[0].shape[-1]) // max(axis.count, 1)
    inputs = sum(prod(v.shape) // max(axis.count, 1) for v in values if v.rows is not None)
    per_row = (2 * scores + inputs) * call.dtype.itemsize
    return Operator(
        call.target.split(".")[1],
        tuple(values),
        lambda strip: compute(strip, fit(strip), False),
        axis,
        needs=broadcast_needs(outer, axis),
        workspace=lambda rows: rows * per_row,
        macs=macs,
        bitwise=False,
    )


@operator("aten.baddbmm.default")
def baddbmm(call: Call) -> Operator:
    """``beta * bias + alpha * a @ b``, each matrix of the batch in one row of the image."""
    values = call.values
    macs = product_macs(call)
    if any(value.rows is not None and value.axis.dim >= len(value.shape) - 2 for value in values):
        return _barrier(call, "baddbmm", values, macs)
    return _batched(call, values, macs)


@operator("aten.scaled_dot_product_attention.default")
def attention(call: Call) -> Operator:
    """softmax(q k^T / sqrt(d)) v within a row or a window of rows; over all rows it is a barrier."""
    values = call.values
    macs = attention_macs(call)
    if call["dropout_p"]:
        raise Refusal("dropout in attention draws random numbers; switch it off (model.eval())")
    if any(v.rows is not None and v.axis.dim >= len(v.shape) - 2 for v in values):
        return _barrier(call, "attention", values, macs)
    return _batched(call, values, macs)


def _letters(equation: str, ranks: list[int]) -> tuple[list[str], str]:
    """The subscripts of each operand and of the result, an ellipsis written out."""
    left, arrow, right = equation.replace(" ", "").partition("->")
    operands = left.split(",")
    free = [letter for letter in ascii_letters if letter not in equation]
    batch = max((rank - len(s) + 3 for s, rank in zip(operands, ranks, strict=True) if "..." in s), default=0)
    if not arrow:
        once = sorted({c for c in left if c.isalpha() and left.count(c) == 1})
        right = ("..." if batch else "") + "".join(once)
    names = "".join(free[:batch])
    spelled = [
        s.replace("...", names[batch - (rank - len(s) + 3) :]) if "..." in s else s
        for s, rank in zip(operands, ranks, strict=True)
    ]
    return spelled, right.replace("...", names)


@operator("aten.einsum.default")
def einsum(call: Call) -> Operator:
    """Sums of products by subscripts, where the rows keep their letter from every operand to the result."""
    values = list(call["tensors"])
    operands, result = _letters(call["equation"], [len(value.shape) for value in values])
    macs = einsum_macs(call)
    rowed = [(s, value) for s, value in zip(operands, values, strict=True) if value.rows is not None]
    letters = {s[value.axis.dim] for s, value in rowed}
    letter = next(iter(letters))
    if len(letters) > 1 or letter not in result:
        return _barrier(call, "einsum", values, macs)
    count, outer = rowed[0][1].axis.count, rowed[0][1].axis.outer
    if any((value.axis.count, value.axis.outer) != (count, outer) for _, value in rowed):
        raise Refusal("its operands have rows of different heights")
    equation = ",".join(operands) + "->" + result
    tables = [
        Axis(s.index(letter), count, outer) if value.rows is None and letter in s else None
        for s, value in zip(operands, values, strict=True)
    ]

    def compute(strip: Strip) -> torch.Tensor:
        return torch.einsum(
            equation,
            *(
                tensor if table is None else cut(tensor, table, strip.start, strip.stop)
                for tensor, table in zip(strip.inputs, tables, strict=True)
            ),
        )

    made = sum(prod(value.shape) // max(count, 1) for _, value in rowed) + prod(call.shape) // max(count, 1)
    per_row = 2 * made * call.dtype.itemsize
    return Operator(
        "einsum",
        tuple(values),
        compute,
        Axis(result.index(letter), count, outer),
        needs=tuple(Same(count) if value.rows else None for value in values),
        workspace=lambda rows: rows * per_row,
        macs=macs,
        bitwise=False,
    )
