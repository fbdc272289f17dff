"""Convolutions over rows and columns."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import torch
import torch.nn.functional as F

from narrows.rowgraph import onednn
from narrows.rowgraph.graph import Strip
from narrows.rowgraph.registry import Call, Operator, Refusal, Value, multiplies, operator
from narrows.rowgraph.rows import Axis, Transposed, Window, missing_rows

__all__: list[str] = []

# On images or results of fewer columns oneDNN's channels-last kernels read past the ends: PyTorch 2.13 crashes on one
# column with padding of two, and is wrong in bfloat16 for depthwise convolutions that make one column.
_NARROW = 4


def _pair(value: Any) -> tuple[int, int]:
    values = [value] * 2 if isinstance(value, int) else list(value)
    return (int(values[0]), int(values[-1]))


def _image_axis(value: Value, what: str) -> Axis:
    """The row axis of an image (..., rows, columns)."""
    if value.rows is None or value.rows.outer != 1 or value.rows.dim != len(value.shape) - 2:
        raise Refusal(f"{what} over a dimension that holds rows; rows must be the last dimension but one")
    return value.rows


def _goes_to_onednn(x: Value, weight: Value, groups: int) -> bool:
    """Strips take the way that the full frame would take, so that both round alike."""
    if x.dtype is not torch.float32 or len(x.shape) != 4:
        return False
    return onednn.takes_convolution(x.shape, weight.shape[2:], groups)


def _explicit_padding(call: Call, kernel: tuple[int, int], dilation: tuple[int, int]) -> tuple[int, int, int, int]:
    """(top, bottom, left, right)"""
    padding = call["padding"]
    if isinstance(padding, str):
        if padding == "valid":
            return (0, 0, 0, 0)
        total = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
        return (total[0] // 2, total[0] - total[0] // 2, total[1] // 2, total[1] - total[1] // 2)
    rows, columns = _pair(padding)
    return (rows, rows, columns, columns)


@multiplies(
    *(f"aten.conv{n}d.{form}" for n in (1, 2, 3) for form in ("default", "padding")),
    "aten.conv_transpose1d.default",
    "aten.conv_transpose2d.input",
    "aten.conv_transpose3d.input",
    "aten.convolution.default",
    "aten._convolution.default",
)
def convolution_macs(call: Call) -> int:
    """Each weight once for each output place of its group; transposed, once for each input place."""
    x, weight = call["input"], call["weight"]
    transposed = "conv_transpose" in call.target or bool(call.get("transposed"))
    return prod(x.shape if transposed else call.shape) * prod(weight.shape[1:])


@operator("aten.conv2d.default", "aten.conv2d.padding")
def conv2d(call: Call) -> Operator:
    """Row r needs the `kernel` rows from ``r * stride - padding`` on, `dilation` apart."""
    x, weight, bias = call["input"], call["weight"], call["bias"]
    axis = _image_axis(x, "a convolution")
    if weight.rows is not None:
        raise Refusal("a convolution whose weights depend on the image")
    stride, dilation = _pair(call["stride"]), _pair(call["dilation"])
    kernel, groups = (weight.shape[-2], weight.shape[-1]), int(call["groups"])
    top, bottom, left, right = _explicit_padding(call, kernel, dilation)
    need = Window(axis.count, kernel[0], stride[0], dilation[0], top)
    activation = call.get("activation")
    narrow = min(x.shape[-1], call.shape[-1]) < _NARROW
    by_onednn = _goes_to_onednn(x, weight, groups) and not narrow
    packs = by_onednn and weight.shape[1] * groups > 1

    def prepare(constants: list[torch.Tensor | None]) -> tuple[torch.Tensor | None, ...]:
        _, w, *rest = constants
        assert w is not None
        if packs and w.device.type == "cpu":
            sample = [x.shape[0], x.shape[1], min(64, axis.count) + kernel[0] * dilation[0], x.shape[3] + left + right]
            w = torch.ops.mkldnn._reorder_convolution_weight(
                w.contiguous(memory_format=torch.channels_last), [0, 0], list(stride), list(dilation), groups, sample
            )
        return (w, rest[0] if rest else None)

    def compute(strip: Strip) -> torch.Tensor:
        rows = strip.inputs[0]
        w, b = strip.prepared
        above, below = missing_rows(need, strip.start, strip.stop)
        if above or below or left != right:
            rows = F.pad(rows, (left, right, above, below) if left != right else (0, 0, above, below))
        pad = [0, 0] if left != right else [0, left]
        on_cpu = rows.device.type == "cpu"
        if w.is_mkldnn:
            rows = rows.contiguous(memory_format=torch.channels_last)
            return torch.ops.mkldnn._convolution_pointwise(
                rows, w, b, pad, list(stride), list(dilation), groups, activation or "none", [], ""
            )
        if by_onednn and on_cpu:
            rows = rows.contiguous(memory_format=torch.channels_last)
            result = torch.mkldnn_convolution(rows, w, b, pad, list(stride), list(dilation), groups)
        else:
            rows = rows.contiguous() if narrow and on_cpu else rows
            result = F.conv2d(rows, w, b, list(stride), pad, list(dilation), groups)
        return result.relu_() if activation == "relu" else result

    inputs = (x, weight, bias) if isinstance(bias, Value) else (x, weight)
    packed = onednn.weight_bytes(weight.shape, groups) if packs else 0
    return Operator(
        "conv2d",
        inputs,
        compute,
        Axis(len(call.shape) - 2, call.shape[-2]),
        needs=(need, *(None for _ in inputs[1:])),
        prepare=prepare,
        prepared_bytes=packed,
        workspace=_im2col(call, weight, groups) if not by_onednn else None,
        macs=convolution_macs(call),
        bitwise=x.dtype is torch.float32,
    )


def _im2col(call: Call, weight: Value, groups: int) -> Callable[[int], int]:
    """PyTorch's own convolution unfolds its input: kernel values for each output place of each image."""
    per_row = prod(weight.shape[1:]) * groups * call.shape[-1] * call.dtype.itemsize
    return lambda rows: per_row * rows


@operator("aten.conv_transpose2d.input")
def conv_transpose2d(call: Call) -> Operator:
    """Input row i adds to the rows ``i * stride - padding + dilation * j`` for j in 0..kernel-1.

    A strip is made from every input row that reaches it; the rows above and below it that these make only in part are
    thrown away.
    """
    x, weight, bias = call["input"], call["weight"], call["bias"]
    axis = _image_axis(x, "a transposed convolution")
    if weight.rows is not None:
        raise Refusal("a transposed convolution whose weights depend on the image")
    stride, dilation, groups = _pair(call["stride"]), _pair(call["dilation"]), int(call["groups"])
    padding, extra = _pair(call["padding"]), _pair(call["output_padding"])
    kernel = (weight.shape[-2], weight.shape[-1])
    need = Transposed(axis.count, kernel[0], stride[0], dilation[0], padding[0])
    activation = call.get("activation")
    span = dilation[0] * (kernel[0] - 1) + 1

    def prepare(constants: list[torch.Tensor | None]) -> tuple[torch.Tensor | None, ...]:
        _, w, *rest = constants
        return (w, rest[0] if rest else None)

    def compute(strip: Strip) -> torch.Tensor:
        w, b = strip.prepared
        rows, first = strip.inputs[0], strip.starts[0]
        held = rows.shape[-2]
        if held == 0:
            made = rows.new_zeros((*rows.shape[:-3], call.shape[-3], 0, call.shape[-1]))
            top = strip.start
        else:
            made = F.conv_transpose2d(
                rows, w, None, list(stride), [0, padding[1]], [0, extra[1]], groups, list(dilation)
            )
            top = first * stride[0] - padding[0]
        # Rows that no input row reaches (a stride beyond the kernel, output padding) hold the bias alone.
        above, below = max(top - strip.start, 0), max(strip.stop - top - made.shape[-2], 0)
        result = made.narrow(-2, max(strip.start - top, 0), strip.stop - strip.start - above - below)
        if above or below:
            result = F.pad(result, (0, 0, above, below))
        elif activation == "relu" or b is not None:
            result = result.contiguous(memory_format=torch.channels_last) if result.dim() == 4 else result.clone()
        if b is not None:
            result += b[:, None, None]
        return result.relu_() if activation == "relu" else result

    def discarded(start: int, stop: int) -> int:
        held = need.last(stop) - need.first(start)
        return max((held - 1) * stride[0] + span - (stop - start), 0) if held > 0 else 0

    row_bytes = prod(call.shape) // max(call.shape[-2], 1) * call.dtype.itemsize

    def scratch(rows: int) -> int:
        partial = (rows + 2 * span + stride[0]) * row_bytes
        columns = prod(weight.shape[1:]) * (rows // stride[0] + span) * x.shape[-1] * x.shape[0] * call.dtype.itemsize
        return partial if x.dtype is torch.float32 else partial + columns

    inputs = (x, weight, bias) if isinstance(bias, Value) else (x, weight)
    return Operator(
        "conv_transpose2d",
        inputs,
        compute,
        Axis(len(call.shape) - 2, call.shape[-2]),
        needs=(need, *(None for _ in inputs[1:])),
        columns=Axis(len(call.shape) - 1, call.shape[-1]),
        prepare=prepare,
        workspace=scratch,
        discarded=discarded,
        macs=convolution_macs(call),
        bitwise=False,
    )
