"""Operators that make each element of their output from the same element of their inputs, with broadcasting."""

from __future__ import annotations

from collections.abc import Callable

import torch

from narrows.rowgraph.cutting import cut, each_in_place, on_strips
from narrows.rowgraph.graph import Strip
from narrows.rowgraph.registry import Call, Operator, Refusal, Value, operator
from narrows.rowgraph.rows import Axis, RowNeed, Same, Whole

__all__: list[str] = ["broadcast_axis", "broadcast_needs", "fitted"]

ONE_INPUT = """
    abs acos acosh angle asin asinh atan atanh bitwise_not ceil celu cos cosh deg2rad digamma elu erf erfc erfinv
    exp exp2 expm1 floor frac gelu hardsigmoid hardswish hardtanh i0 isfinite isinf isnan isneginf
    isposinf leaky_relu lgamma log log10 log1p log2 log_sigmoid logical_not logit mish nan_to_num neg
    rad2deg reciprocal relu relu6 round rsqrt selu sgn sigmoid sign signbit silu sin sinc sinh softplus
    sqrt square tan tanh threshold trunc mvlgamma polygamma special_airy_ai special_bessel_j0 special_bessel_j1
    special_bessel_y0 special_bessel_y1 special_entr special_erfcx special_i0e special_i1 special_i1e special_log_ndtr
    special_modified_bessel_i0 special_modified_bessel_i1 special_modified_bessel_k0 special_modified_bessel_k1
    special_ndtri special_scaled_modified_bessel_k0 special_scaled_modified_bessel_k1 special_spherical_bessel_j0
"""
TWO_INPUTS = """
    add.Tensor add.Scalar atan2.default bitwise_and.Tensor bitwise_and.Scalar bitwise_or.Tensor bitwise_or.Scalar
    bitwise_xor.Tensor bitwise_xor.Scalar clamp.default clamp.Tensor clamp_max.default clamp_max.Tensor
    clamp_min.default clamp_min.Tensor copysign.Tensor copysign.Scalar div.Tensor div.Scalar div.Tensor_mode
    div.Scalar_mode eq.Tensor eq.Scalar floor_divide.default fmax.default fmin.default fmod.Tensor fmod.Scalar
    ge.Tensor ge.Scalar gt.Tensor gt.Scalar heaviside.default hypot.default le.Tensor le.Scalar lerp.Scalar
    lerp.Tensor logaddexp.default logaddexp2.default logical_and.default logical_or.default logical_xor.default
    lt.Tensor lt.Scalar max.other maximum.default min.other minimum.default mul.Tensor mul.Scalar ne.Tensor
    ne.Scalar pow.Tensor_Tensor pow.Tensor_Scalar pow.Scalar remainder.Tensor remainder.Scalar round.decimals
    rsub.Tensor rsub.Scalar sub.Tensor sub.Scalar true_divide.Tensor xlogy.Tensor xlogy.Scalar_Other
    xlogy.Scalar_Self __and__.Tensor __and__.Scalar __or__.Tensor __or__.Scalar __xor__.Tensor __xor__.Scalar
    __lshift__.Tensor __lshift__.Scalar __rshift__.Tensor __rshift__.Scalar bitwise_left_shift.Tensor
    bitwise_left_shift.Tensor_Scalar bitwise_right_shift.Tensor bitwise_right_shift.Tensor_Scalar gcd.default
    lcm.default igamma.default igammac.default nextafter.default remainder.Scalar_Tensor special_xlog1py.default
    special_xlog1py.other_scalar special_xlog1py.self_scalar special_zeta.default special_zeta.other_scalar
    special_zeta.self_scalar ldexp.Tensor
"""
THREE_INPUTS = """
    addcdiv.default addcmul.default where.self where.ScalarOther where.ScalarSelf masked_fill.Scalar
    masked_fill.Tensor
"""
FILLED = "full_like.default ones_like.default zeros_like.default"

_NAMES = [f"aten.{name}.default" for name in ONE_INPUT.split()]
_NAMES += [f"aten.{name}" for name in (TWO_INPUTS + THREE_INPUTS + " " + FILLED).split()]
# What keeps every element exact to the bit whatever the strip; transcendental functions may round otherwise in the
# vector lanes than in the remainder of a row.
_EXACT = {
    f"aten.{name}"
    for name in (
        *("relu.default", "relu6.default", "abs.default", "neg.default", "clamp.default", "hardtanh.default"),
        *("add.Tensor", "sub.Tensor", "mul.Tensor", "maximum.default", "minimum.default"),
    )
}


def broadcast_axis(values: list[Value], shape: tuple[int, ...]) -> Axis:
    """The row axis of an element-wise result: that of the input with the most rows, counted from the last dimension."""
    found: Axis | None = None
    for value in values:
        if value.rows is None:
            continue
        axis = Axis(value.rows.dim + len(shape) - len(value.shape), value.rows.count, value.rows.outer)
        if found is None or axis.count > found.count:
            found, axis = axis, found or axis
        single = axis.count == 1 and axis.outer == 1
        if axis.dim != found.dim or (not single and (axis.count, axis.outer) != (found.count, found.outer)):
            raise Refusal(
                "it combines values whose rows lie in different dimensions; permute or reshape one so that they agree"
            )
    assert found is not None
    if found.count == 1:
        return Axis(found.dim, shape[found.dim] // found.outer, found.outer)
    return found


def broadcast_needs(values: list[Value], axis: Axis) -> tuple[RowNeed | None, ...]:
    """Row for row, except that a single row is needed by all."""
    return tuple(
        None if value.rows is None else Whole(1) if value.rows.count < axis.count else Same(axis.count)
        for value in values
    )


def fitted(values: list[Value], axis: Axis, rank: int) -> Callable[[Strip], list[torch.Tensor]]:
    """A function that gives the inputs of a strip; from whole values that hold every row, the strip's rows."""
    tables = []
    for value in values:
        dim = axis.dim - rank + len(value.shape)
        holds_rows = value.rows is None and dim >= 0 and value.shape[dim] == axis.outer * axis.count
        tables.append(Axis(dim, axis.count, axis.outer) if holds_rows and value.shape[dim] > 1 else None)

    def fit(strip: Strip) -> list[torch.Tensor]:
        return [
            tensor if table is None else cut(tensor, table, strip.start, strip.stop)
            for tensor, table in zip(strip.inputs, tables, strict=True)
        ]

    return fit


def elementwise(call: Call) -> Operator:
    """Row r needs row r of each input; inputs without rows broadcast, or are read at the same row if they hold all."""
    values = call.values
    axis = broadcast_axis(values, call.shape)
    fit, compute = fitted(values, axis, len(call.shape)), on_strips(call)
    first = values[0]
    keeps_kind = first.shape == call.shape and first.dtype == call.dtype and first.rows == axis
    takes_tensor_first = isinstance(next(iter(call.arguments.values())), Value)
    can_overwrite = keeps_kind and takes_tensor_first and each_in_place(call.target) is not None
    return Operator(
        call.target.split(".")[1],
        tuple(values),
        lambda strip: compute(strip, fit(strip), strip.may_overwrite),
        axis,
        needs=broadcast_needs(values, axis),
        columns=_columns(values, call.shape),
        overwrites=0 if can_overwrite else None,
        bitwise=call.target in _EXACT,
    )


for _name in _NAMES:
    operator(_name)(elementwise)


@operator("aten._to_copy.default")
def cast(call: Call) -> Operator:
    """The same elements in another dtype."""
    (value,) = call.values
    dtype = call.dtype
    if dtype == value.dtype:
        return same(call)
    return Operator("copy", (value,), lambda strip: strip.inputs[0].to(dtype), value.rows, columns=value.columns)


@operator("aten.alias.default", "aten.detach.default", "aten.clone.default")
def same(call: Call) -> Operator:
    """The very same elements. A clone needs no memory of its own: nothing writes into a value that others read."""
    (value,) = call.values
    return Operator("alias", (value,), lambda strip: strip.inputs[0], value.rows, columns=value.columns, view_of=0)


@operator("aten.view.dtype")
def reinterpreted(call: Call) -> Operator:
    """The bits of each element read as another dtype of the same size."""
    (value,) = call.values
    if value.dtype.itemsize != call.dtype.itemsize:
        raise Refusal("it reads bits as a dtype of another size; convert with .to(dtype) instead")
    dtype = call.dtype
    return Operator(
        "view", (value,), lambda strip: strip.inputs[0].view(dtype), value.rows, columns=value.columns, view_of=0
    )


@operator("aten.empty_like.default")
def uninitialised(call: Call) -> Operator:
    """Refused: what it holds is whatever memory held."""
    raise Refusal(
        "it makes uninitialised values, as dropout in training and other random operators do to begin with; "
        "switch these off (model.eval(), or training=False), or use zeros_like"
    )


@operator("aten.bucketize.Tensor")
def bucketize(call: Call) -> Operator:
    """The interval of a sorted table that each element lies in."""
    value, boundaries = call["self"], call["boundaries"]
    if boundaries.rows is not None:
        raise Refusal("its boundaries depend on the image; make them a buffer of the network")
    compute = on_strips(call)
    return Operator(
        "bucketize", (value, boundaries), lambda strip: compute(strip, strip.inputs, False), value.rows, bitwise=False
    )


@operator("aten.embedding.default")
def embedding(call: Call) -> Operator:
    """Each element replaced by the row of a table that it names: (...) to (..., channels)."""
    weight, indices = call["weight"], call["indices"]
    if weight.rows is not None:
        raise Refusal("its table depends on the image; make it a buffer or a parameter of the network")
    return Operator(
        "embedding",
        (weight, indices),
        lambda strip: torch.nn.functional.embedding(strip.inputs[1], strip.inputs[0]),
        indices.rows,
    )


@operator("aten.prelu.default")
def prelu(call: Call) -> Operator:
    """``max(0, x) + weight * min(0, x)`` with a weight for all channels or for each."""
    x, weight = call["self"], call["weight"]
    if weight.rows is not None or x.rows.dim == 1:
        raise Refusal("a PReLU whose weight changes along the rows")
    function = torch.ops.aten.prelu.default
    return Operator(
        "prelu",
        (x, weight),
        lambda strip: function(*strip.inputs),
        x.rows,
        needs=(Same(x.rows.count), None),
        bitwise=False,
    )


def _columns(values: list[Value], shape: tuple[int, ...]) -> Axis | None:
    for value in values:
        if value.columns is not None:
            dim = value.columns.dim + len(shape) - len(value.shape)
            if shape[dim] == value.columns.count:
                return Axis(dim, shape[dim])
    return None
