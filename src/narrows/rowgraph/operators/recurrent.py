"""Recursions: down the rows, carrying what they have so far from strip to strip, or along a row."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import torch

from narrows.layers.gated_iir import gated_rows
from narrows.layers.line_coding import dpcm
from narrows.layers.recursive import computed_in, filter_rows, vertical_iir
from narrows.rowgraph.cutting import on_strips, overload
from narrows.rowgraph.graph import Strip
from narrows.rowgraph.registry import Call, Operator, Refusal, Value, multiplies, operator
from narrows.rowgraph.rows import Same, Whole

__all__: list[str] = []

Combine = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
_COMBINE: dict[str, Combine] = {"cumsum": torch.add, "cumprod": torch.mul, "logcumsumexp": torch.logaddexp}


@operator("aten.cumsum.default", "aten.cumprod.default", "aten.logcumsumexp.default")
def running(call: Call) -> Operator:
    """Running sums or products; down the rows, the last row is carried to the next strip.

    Floating-point values are added up and carried in float64: in float32, rounding each strip's sum would add up over
    thousands of strips, which the full frame doesn't do.
    """
    value = call["self"]
    kind = call.target.split(".")[1]
    dim = int(call["dim"]) % len(value.shape)
    compute = on_strips(call)
    if dim != value.axis.dim:
        return Operator(
            kind, (value,), lambda strip: compute(strip, [strip.inputs[0]], False), value.rows, bitwise=False
        )
    if value.axis.outer > 1:
        raise Refusal(f"{kind} over a batch and rows together")
    combine, dtype = _COMBINE[kind], call.dtype
    wide = torch.float64 if dtype.is_floating_point else dtype
    function = overload(call.target)

    def carried(strip: Strip) -> torch.Tensor:
        rows = strip.inputs[0].to(dtype).to(wide, copy=True)
        if "last" in strip.state:
            first = rows.narrow(dim, 0, 1)
            first.copy_(combine(first, strip.state["last"]))
        result: torch.Tensor = function(rows, dim)
        strip.state["last"] = result.narrow(dim, result.shape[dim] - 1, 1).clone()
        return result.to(dtype)

    values = prod(call.shape) // max(value.axis.count, 1)
    row = values * wide.itemsize
    return Operator(
        kind, (value,), carried, value.rows, state_bytes=row, state_values=values,
        workspace=lambda rows: 2 * rows * row, bitwise=False,
    )  # fmt: skip


@operator("aten.cummax.default", "aten.cummin.default")
def running_extremum(call: Call) -> tuple[Operator, ...]:
    """The largest (smallest) so far, and where it was."""
    value = call["self"]
    kind = call.target.split(".")[1]
    dim = int(call["dim"]) % len(value.shape)
    function = overload(call.target)
    down = dim == value.axis.dim
    if down and value.axis.outer > 1:
        raise Refusal(f"{kind} over a batch and rows together")

    def make(place: int) -> Operator:
        def carried(strip: Strip) -> torch.Tensor:
            best, where = function(strip.inputs[0], dim)
            if not down:
                return where if place else best
            where = where + strip.starts[0]
            if "best" in strip.state:
                # Of equal elements PyTorch names the last.
                earlier = strip.state["best"] > best if kind == "cummax" else strip.state["best"] < best
                best = torch.where(earlier, strip.state["best"], best)
                where = torch.where(earlier, strip.state["where"], where)
            last = best.shape[dim] - 1
            strip.state["best"] = best.narrow(dim, last, 1).clone()
            strip.state["where"] = where.narrow(dim, last, 1).clone()
            return where if place else best

        values = prod(value.shape) // max(value.axis.count, 1)
        row = values * (value.dtype.itemsize + 8)
        return Operator(
            kind, (value,), carried, value.rows, state_bytes=row if down else 0, state_values=2 * values if down else 0,
            workspace=lambda rows: 2 * rows * row,
        )  # fmt: skip

    return make(0), make(1)


_LAYERS = ("lstm", "gru", "rnn_tanh", "rnn_relu")


@multiplies(*(f"aten.{name}.{form}" for name in _LAYERS for form in ("input", "data")))
def layer_macs(call: Call) -> int:
    """Every weight matrix of every layer and direction once for each element of each sequence."""
    data = call.values[0]
    steps = prod(data.shape[:-1]) if call.target.endswith("input") else data.shape[0]
    return steps * sum(prod(weight.shape) for weight in call["params"] if len(weight.shape) == 2)


@multiplies(
    "aten.lstm_cell.default", "aten.gru_cell.default", "aten.rnn_tanh_cell.default", "aten.rnn_relu_cell.default"
)
def cell_macs(call: Call) -> int:
    """Both weight matrices once for each sequence of the batch."""
    return prod(call["input"].shape[:-1]) * (prod(call["w_ih"].shape) + prod(call["w_hh"].shape))


def _layer(call: Call) -> tuple[Operator, ...]:
    tensors = tuple(dict.fromkeys(call.values))
    needs = tuple(Whole(value.rows.count) if value.rows else None for value in tensors)
    kind = call.target.split(".")[1]
    why = "a recurrence over the pixels of all rows"
    return tuple(
        Operator(kind, tensors, None, None, needs=needs, barrier=why, macs=0 if place else layer_macs(call))
        for place in range(len(call.results))
    )


for _name in _LAYERS:
    operator(f"aten.{_name}.input")(_layer)


@multiplies("narrows.vertical_iir.default")
def filter_macs(call: Call) -> int:
    """Each value once for each coefficient of the numerator and of the feedback."""
    return prod(call.shape) * (call["numerator"].shape[1] + call["feedback"].shape[1])


@multiplies("narrows.gated_iir.default")
def gated_macs(call: Call) -> int:
    """The row before times its gate, for each value."""
    return prod(call.shape)


@multiplies("narrows.dpcm.default")
def coding_macs(call: Call) -> int:
    """A step's size times a code for each value."""
    return prod(call.shape)


def _runs_down(x: Value, what: str) -> bool:
    """Whether a filter down the columns of `x` runs down its rows; if not, rows are among the images of a batch."""
    if x.axis.dim == 1:
        raise Refusal(f"{what} for each row of its own; rows must be the last dimension but one")
    if x.axis.dim == 2 and x.axis.outer > 1:
        raise Refusal(f"{what} over a batch and rows together")
    return bool(x.axis.dim == 2)


@operator("narrows.vertical_iir.default")
def recursive_filter(call: Call) -> Operator:
    """A recursive filter down the columns; its state, a row for each order, is carried to the next strip."""
    x, numerator, feedback = (call[name] for name in ("x", "numerator", "feedback"))
    activation, upward = str(call["activation"]), bool(call["upward"])
    if x.rows is None or numerator.rows is not None or feedback.rows is not None:
        raise Refusal("a recursive filter whose coefficients depend on the image")
    down = _runs_down(x, "a recursive filter")
    need = Whole(x.axis.count) if down and upward else Same(x.axis.count)
    wide = computed_in(call.dtype)
    values = prod(call.shape) // max(x.axis.count, 1)
    row = values * wide.itemsize
    order = feedback.shape[1]

    def carried(strip: Strip) -> torch.Tensor:
        rows, b, a = strip.inputs
        if not down:
            result: torch.Tensor = vertical_iir(rows, b, a, activation, upward)
            return result
        y, strip.state["rows"] = filter_rows(rows, b, a, activation, strip.state.get("rows"))
        return y

    narrower = 0 if call.dtype is wide else 2
    extra = narrower + (1 if activation == "relu" else 0)
    return Operator(
        "vertical_iir",
        (x, numerator, feedback),
        carried,
        x.rows,
        needs=(need, None, None),
        barrier="a recursion that begins at the last row" if down and upward else None,
        state_bytes=order * row if down else 0,
        state_values=order * values if down else 0,
        workspace=lambda rows: (extra * rows + order) * row,
        macs=filter_macs(call),
        bitwise=False,
    )


@operator("narrows.gated_iir.default")
def gated_filter(call: Call) -> Operator:
    """A first-order recursion down the columns whose coefficients are an image too; its last row is carried on."""
    x, gate = call["x"], call["gate"]
    if x.rows is None or gate.rows is None or x.rows != gate.rows:
        raise Refusal("a gated filter whose values and gates don't have their rows in the same place")
    down = _runs_down(x, "a gated filter")
    wide = computed_in(call.dtype)
    values = prod(call.shape) // max(x.axis.count, 1)
    row = values * wide.itemsize

    def carried(strip: Strip) -> torch.Tensor:
        rows, gates = strip.inputs
        y, last = gated_rows(rows, gates, strip.state.get("row") if down else None)
        if down:
            strip.state["row"] = last
        return y

    # Narrow numbers are filtered in float32: values, gates and result are copied.
    extra = 0 if call.dtype is wide else 3
    return Operator(
        "gated_iir",
        (x, gate),
        carried,
        x.rows,
        state_bytes=row if down else 0,
        state_values=values if down else 0,
        workspace=lambda rows: (extra * rows + 1) * row,
        macs=gated_macs(call),
        bitwise=False,
    )


@operator("narrows.dpcm.default")
def differential_coding(call: Call) -> Operator:
    """Coding along the lines: each row of an image by itself."""
    x, *tables = (call[name] for name in ("x", "steps", "low", "high"))
    if x.rows is None or any(table.rows is not None for table in tables):
        raise Refusal("a coder whose tables depend on the image")
    if x.axis.dim not in (0, 2):
        raise Refusal("a coder along the rows; rows must be the last dimension but one")
    first_bits = int(call["first_bits"])
    row = prod(call.shape) // max(x.axis.count, 1)
    lines, bits = row // max(call.shape[3], 1), tables[0].shape[1].bit_length()

    def coded(strip: Strip) -> torch.Tensor:
        result: torch.Tensor = dpcm(*strip.inputs, first_bits)
        return result

    # The columns of the image, and of each the values, the codes (int64) and both again when they are put together.
    return Operator(
        "dpcm",
        (x, *tables),
        coded,
        x.rows,
        needs=(Same(x.axis.count), None, None, None),
        workspace=lambda rows: rows * row * (3 * call.dtype.itemsize + 16),
        macs=coding_macs(call),
        coded_bits=lines * first_bits + (row - lines) * bits if x.axis.dim == 2 else None,
    )


@multiplies("narrows.round_to_code.default")
def rounding_macs(call: Call) -> int:
    """None: a rounding."""
    return 0


@operator("narrows.round_to_code.default")
def rounding(call: Call) -> Operator:
    """Rounding to the whole numbers that a quantiser stores."""
    x = call["x"]
    row = prod(call.shape) // max(x.rows.count, 1) if x.rows else 0
    bits = int(call["bits"])
    return Operator(
        "round_to_code",
        (x,),
        lambda strip: torch.round(strip.inputs[0]),
        x.rows,
        coded_bits=row * bits,
    )
