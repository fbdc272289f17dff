"""A recursive filter down the columns whose pole follows the image, and its twin with a finite response.

``h[t] = f[t] h[t-1] + (1 - f[t]) v[t]``, for each channel and column, with ``f = sigmoid(z)``: v and z are made from
the row that has arrived, so that the filter goes on averaging where the image goes on, and forgets where it changes.
The recursion is linear in v with coefficients that vary from pixel to pixel, as in Liu, Pan and Yang, *Learning
Recursive Filters for Low-Level Vision via a Hybrid Neural Network*, ECCV 2016. A gate that doesn't look at the state,
which keeps the recursion linear, is also that of QRNN (Bradbury et al., arXiv 1611.01576). It is stable for whatever v
and z are: 0 <= f <= 1, so h never leaves the range of 0 and the v so far.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["GatedFIR", "GatedIIR", "gated_iir", "gated_rows"]

# Reach, in rows, of the first and the last channel's filter at initialisation.
_REACH = (0.5, 8.0)


@torch.library.custom_op("narrows::gated_iir", mutates_args=())
def gated_iir(x: Tensor, gate: Tensor) -> Tensor:
    """``y[t] = gate[t] * y[t - 1] + x[t]`` down the rows, from rest.

    Args:
        x: (N, C, H, W), floating point.
        gate: of the same shape and dtype.

    Returns:
        (N, C, H, W), of the dtype of `x`.

    Raises:
        ValueError: the shapes or dtypes differ.
    """
    _check(x, gate)
    return gated_rows(x, gate)[0]


@gated_iir.register_fake
def _(x: Tensor, gate: Tensor) -> Tensor:
    _check(x, gate)
    return torch.empty_like(x)


def _check(x: Tensor, gate: Tensor) -> None:
    if x.dim() != 4 or not x.is_floating_point() or x.shape != gate.shape or x.dtype != gate.dtype:
        raise ValueError(
            "a gated filter takes two floating-point tensors (N, C, H, W) of one shape, "
            f"not {x.dtype} {tuple(x.shape)} and {gate.dtype} {tuple(gate.shape)}"
        )


def gated_rows(x: Tensor, gate: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The filter on some rows, and the state after them; no gradients.

    Args:
        x: values (N, C, rows, W).
        gate: of the shape and dtype of `x`, 0 to 1, as of `gated_iir`.
        state: (N, C, 1, W), the last row before; None at rest.

    Returns:
        The filtered rows, and the last of them, in float32 or float64.
    """
    wide = torch.float32 if x.dtype in (torch.float16, torch.bfloat16) else x.dtype
    y = x.detach().to(wide, copy=True)
    rows, gates = y.unbind(2), gate.detach().to(wide).unbind(2)
    if state is not None:
        rows[0].addcmul_(gates[0], state[:, :, 0])
    for t in range(1, len(rows)):
        rows[t].addcmul_(gates[t], rows[t - 1])
    return y.to(x.dtype), rows[-1][:, :, None].clone()


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(inputs[1], output)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
    """g[t] = grad[t] + gate[t + 1] g[t + 1]; the gate's gradient is g[t] y[t - 1]."""
    gate, y = ctx.saved_tensors
    ahead = F.pad(gate[:, :, 1:], (0, 0, 0, 1)).flip(2)
    g = torch.ops.narrows.gated_iir(grad.flip(2), ahead).flip(2)
    return g, g * F.pad(y[:, :, :-1], (0, 0, 1, 0))


gated_iir.register_autograd(_backward, setup_context=_save)
for _device in ("cpu", "cuda"):
    torch.library.register_autocast("narrows::gated_iir", _device, torch.float32)


def _reaches(channels: int) -> Tensor:
    return torch.logspace(math.log10(_REACH[0]), math.log10(_REACH[1]), channels, dtype=torch.float64)


class GatedIIR(nn.Module):
    """``h[t] = f[t] h[t-1] + (1 - f[t]) v[t]``, f = sigmoid(z + bias): v and z (N, C, H, W) to h of that shape.

    It keeps one row of C values and waits for none. At the start (z around 0) its filters reach from half a row to 8
    rows, spread over the channels.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.bias = nn.Parameter(torch.logit((-1 / _reaches(channels)).exp()).float())

    def forward(self, values: Tensor, logits: Tensor) -> Tensor:
        gate = torch.sigmoid(logits + self.bias[:, None, None])
        y: Tensor = gated_iir(values * (1 - gate), gate)
        return y


class GatedFIR(nn.Module):
    """The twin of `GatedIIR` with a finite response: ``sum_j w[j] (1 - f[t - j]) v[t - j]``, of k rows.

    At the start it is the recursive filter cut off after k rows.

    Args:
        channels: C.
        kernel: k, odd.
        causal: whether row t is made of the rows t - k + 1 to t, rather than t - k // 2 to t + k // 2.
    """

    def __init__(self, channels: int, kernel: int = 5, *, causal: bool = True) -> None:
        super().__init__()
        if kernel < 1 or kernel % 2 == 0:
            raise ValueError(f"the kernel is an odd number of rows, not {kernel}")
        self.causal = causal
        before = kernel - 1 if causal else kernel // 2
        self.bias = nn.Parameter(torch.logit((-1 / _reaches(channels)).exp()).float())
        self.convolution = nn.Conv2d(channels, channels, (kernel, 1), padding=(before, 0), groups=channels, bias=False)
        back = torch.arange(kernel - 1, -1, -1) if causal else (torch.arange(kernel) - kernel // 2).abs()
        decay = torch.sigmoid(self.bias.detach())[:, None] ** back
        with torch.no_grad():
            self.convolution.weight.copy_((decay / decay.sum(1, keepdim=True))[:, None, :, None])
            self.convolution.weight /= 1 - torch.sigmoid(self.bias)[:, None, None, None]

    def forward(self, values: Tensor, logits: Tensor) -> Tensor:
        gate = torch.sigmoid(logits + self.bias[:, None, None])
        y: Tensor = self.convolution(values * (1 - gate))
        return y[:, :, : values.shape[2]] if self.causal else y
