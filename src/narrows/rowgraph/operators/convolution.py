"""Convolutions over rows and columns."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import torch
import torch.nn.functional as F

from narrows.rowgraph.graph import Strip
from narrows.rowgraph.registry import Call, Operator, Refusal, Value, operator
from narrows.rowgraph.rows import Axis, Window, missing_rows

__all__: list[str] = []

# Above this many input values PyTorch hands a float32 convolution to oneDNN, below it to its own im2col; strips take
# the way that the full frame would take, so that both round alike.
_ONEDNN_FROM = 20480


def _pair(value: Any) -> tuple[int, int]:
    values = [value] * 2 if isinstance(value, int) else list(value)
    return (int(values[0]), int(values[-1]))


def _image_axis(value: Value, what: str) -> Axis:
    """The row axis of an image (..., rows, columns)."""
    if value.rows is None or value.rows.outer != 1 or value.rows.dim != len(value.shape) - 2:
        raise Refusal(f"{what} over a dimension that holds rows; rows must be the last dimension but one")
    return value.rows


def _goes_to_onednn(x: Value, weight: Value, dilation: tuple[int, int], groups: int) -> bool:
    if x.dtype is not torch.float32 or len(x.shape) != 4:
        return False
    large_kernel = weight.shape[-1] > 3 and weight.shape[-2] > 3
    return groups > 1 or large_kernel or x.shape[0] > 1 or prod(x.shape) > _ONEDNN_FROM


def _packed_bytes(weight: Value, groups: int) -> int:
    """Bytes of a weight in oneDNN's blocks of 16 by 16 channels (8-byte depthwise blocks are never larger)."""
    if groups > 1:
        return prod(weight.shape) * 4
    blocked = [-(-size // 16) * 16 if size > 4 else size for size in weight.shape[:2]]
    return prod(blocked) * prod(weight.shape[2:]) * 4


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
    onednn = _goes_to_onednn(x, weight, dilation, groups)
    packs = onednn and weight.shape[1] * groups > 1

    def prepare(constants: list[torch.Tensor | None]) -> tuple[torch.Tensor | None, ...]:
        _, w, *rest = constants
        assert w is not None
        if packs and w.device.type == "cpu":
            sample = [x.shape[0], x.shape[1], min(64, axis.count) + kernel[0] * dilation[0], x.shape[3] + left + right]
            w = torch.ops.mkldnn._reorder_convolution_weight(
                w.contiguous(), [0, 0], list(stride), list(dilation), groups, sample
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
        if onednn and on_cpu:
            rows = rows.contiguous(memory_format=torch.channels_last)
            result = torch.mkldnn_convolution(rows, w, b, pad, list(stride), list(dilation), groups)
        else:
            result = F.conv2d(rows, w, b, list(stride), pad, list(dilation), groups)
        return result.relu_() if activation == "relu" else result

    inputs = (x, weight, bias) if isinstance(bias, Value) else (x, weight)
    packed = _packed_bytes(weight, groups) if packs else 0
    return Operator(
        "conv2d",
        inputs,
        compute,
        Axis(len(call.shape) - 2, call.shape[-2]),
        needs=(need, *(None for _ in inputs[1:])),
        prepare=prepare,
        prepared_bytes=packed,
        workspace=_im2col(call, weight, groups) if not onednn else None,
        macs=prod(call.shape) * prod(weight.shape[1:]),
        bitwise=x.dtype is torch.float32,
    )


def _im2col(call: Call, weight: Value, groups: int) -> Callable[[int], int]:
    """PyTorch's own convolution unfolds its input: kernel values for each output place of each image."""
    per_row = prod(weight.shape[1:]) * groups * call.shape[-1] * call.dtype.itemsize
    return lambda rows: per_row * rows
