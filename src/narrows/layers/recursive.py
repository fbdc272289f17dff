"""The recursive filter down the columns of an image, as one operator of PyTorch.

``narrows::vertical_iir`` computes, for each channel and column by itself and from rest,

    y[t] = f(b[0] x[t] + ... + b[n] x[t - n] + a[1] y[t - 1] + ... + a[n] y[t - n]),

where f is the identity or a nonlinearity inside the loop. `torch.export` keeps it whole. `filter_rows` is the same
filter on some rows, with the state that is carried to the next: n rows of each channel (the transposed direct form II
of Oppenheim and Schafer, *Discrete-Time Signal Processing*, chapter 6).

float16 and bfloat16 are computed, and carried, in float32; under autocast the operator runs in float32, as a
cumulative sum does.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from narrows.layers import scan
from narrows.layers.nonlinearities import nonlinearity

__all__ = ["computed_in", "filter_rows", "vertical_iir"]


def computed_in(dtype: torch.dtype) -> torch.dtype:
    """The dtype in which values of `dtype` are filtered, and their state is carried."""
    return torch.float32 if dtype in (torch.float16, torch.bfloat16) else dtype


@torch.library.custom_op("narrows::vertical_iir", mutates_args=())
def vertical_iir(x: Tensor, numerator: Tensor, feedback: Tensor, activation: str, upward: bool) -> Tensor:
    """Filter the columns of `x`, from rest.

    Args:
        x: (N, C, H, W), floating point.
        numerator: b, (C, n + 1) or fewer; `feedback`: a, (C, n), so that a[:, 0] multiplies the row before.
        activation: ``"linear"`` or the name of a nonlinearity that is applied inside the loop.
        upward: whether the recursion begins at the last row.

    Returns:
        (N, C, H, W), of the dtype of `x`.

    Raises:
        ValueError: the shapes don't fit together, or there is no such nonlinearity.
    """
    _check(x, numerator, feedback)
    wide = computed_in(x.dtype)
    rows, b, a = x.detach().to(wide), numerator.detach().to(wide), feedback.detach().to(wide)
    return _recursion(_fed(rows, b, upward), a, activation, upward, None).to(x.dtype)


@vertical_iir.register_fake
def _(x: Tensor, numerator: Tensor, feedback: Tensor, activation: str, upward: bool) -> Tensor:
    _check(x, numerator, feedback)
    if activation != "linear":
        nonlinearity(activation)
    return torch.empty_like(x)


def _check(x: Tensor, numerator: Tensor, feedback: Tensor) -> None:
    if x.dim() != 4 or not x.is_floating_point():
        raise ValueError(f"a vertical filter takes floating-point images (N, C, H, W), not {x.dtype} {tuple(x.shape)}")
    channels = x.shape[1]
    for name, given in (("numerator", numerator), ("feedback", feedback)):
        if given.dim() != 2 or given.shape[0] != channels or given.shape[1] < 1:
            raise ValueError(f"the {name} of {channels} channels is ({channels}, n), not {tuple(given.shape)}")
    if numerator.shape[1] > feedback.shape[1] + 1:
        raise ValueError(f"a filter of order {feedback.shape[1]} has up to {feedback.shape[1] + 1} coefficients above")


def filter_rows(
    x: Tensor,
    numerator: Tensor,
    feedback: Tensor,
    activation: str = "linear",
    state: Tensor | None = None,
    *,
    blocks: bool | None = None,
) -> tuple[Tensor, Tensor]:
    """The filter downward on some rows, and the state after them; no gradients.

    Args:
        x: (N, C, rows, W); the others as of `vertical_iir`.
        state: (N, C, n, W) after the rows before, in `computed_in` of the dtype of `x`; None at rest.
        blocks: whether to run in blocks of rows; chosen by shape if None.

    Returns:
        The filtered rows, of the shape and dtype of `x`, and the state after them.
    """
    wide = computed_in(x.dtype)
    rows, b, a = x.detach().to(wide), numerator.detach().to(wide), feedback.detach().to(wide)
    values = _fed(rows, b, False)
    if state is not None:
        early = min(a.shape[1], x.shape[2])
        values.narrow(2, 0, early).add_(state.narrow(2, 0, early))
    y = _recursion(values, a, activation, False, blocks)
    return y.to(x.dtype), _state_after(rows, y, b, a, state)


def _fed(x: Tensor, b: Tensor, upward: bool) -> Tensor:
    """What the image itself adds to each row, in memory of its own."""
    return feed_forward(x, b, upward, out=torch.empty_like(x))


def _recursion(values: Tensor, a: Tensor, activation: str, upward: bool, blocks: bool | None) -> Tensor:
    chosen = scan.in_blocks(values) if blocks is None else blocks and values.shape[2] >= 2 * scan.BLOCK
    if activation == "linear":
        return scan.linear(values, a, upward, chosen)
    if activation == "relu":
        return scan.rectified(values, a, upward, chosen)
    return scan.nonlinear(values, a, nonlinearity(activation), upward)


def _state_after(x: Tensor, y: Tensor, b: Tensor, a: Tensor, state: Tensor | None) -> Tensor:
    """Row i of the state is what the rows so far add to the row i after the last."""
    batch, channels, height, width = x.shape
    order = a.shape[1]
    after = y.new_zeros(batch, channels, order, width)
    for ahead in range(order):
        row = after.select(2, ahead)
        if state is not None and ahead + height < order:
            row += state.select(2, ahead + height)
        for back in range(min(height, order - ahead)):
            tap = ahead + back + 1
            if tap < b.shape[1]:
                row.addcmul_(b[:, tap, None], x.select(2, height - 1 - back))
            row.addcmul_(a[:, tap - 1, None], y.select(2, height - 1 - back))
    return after


def feed_forward(x: Tensor, taps: Tensor, upward: bool, out: Tensor | None = None) -> Tensor:
    """``sum_j taps[:, j] * x[t - j]`` (x[t + j] if `upward`), for x of (N, C, H, W)."""
    height = x.shape[2]
    columns = taps[..., None, None].unbind(1)
    result = torch.mul(x, columns[0]) if out is None else torch.mul(x, columns[0], out=out)
    for back, tap in enumerate(columns[1:height], start=1):
        here, there = (0, back) if upward else (back, 0)
        result.narrow(2, here, height - back).addcmul_(tap, x.narrow(2, there, height - back))
    return result


def _correlations(g: Tensor, x: Tensor, backs: range, upward: bool) -> Tensor:
    """``sum over n, t, w of g[t] * x[t - j]`` for each j of `backs`, (C, number of them)."""
    height = x.shape[2]
    sums = []
    for back in backs:
        if back >= height:
            sums.append(x.new_zeros(x.shape[1]))
            continue
        here, there = (0, back) if upward else (back, 0)
        ours, theirs = g.narrow(2, here, height - back), x.narrow(2, there, height - back)
        sums.append(_dots(ours, theirs))
    return torch.stack(sums, 1)


def _dots(g: Tensor, x: Tensor) -> Tensor:
    """Sums of products for each channel; without a product of full size where memory is in rows of one channel."""
    if g.stride(3) == x.stride(3) == 1 and g.stride(2) == g.shape[3] and x.stride(2) == x.shape[3]:
        return torch.matmul(g.flatten(2)[:, :, None], x.flatten(2)[..., None]).sum((0, 2, 3))
    return (g * x).sum((0, 2, 3))


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, numerator, feedback, ctx.activation, ctx.upward = inputs
    ctx.save_for_backward(x, numerator, feedback, output)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    """With g the gradient of what f is applied to: g[t] = f'(z[t]) (grad[t] + sum_j a[j] g[t + j]).

    That is a recursion in the other direction, and made of operators that have gradients themselves.
    """
    x, numerator, feedback, y = ctx.saved_tensors
    wide, upward = computed_in(x.dtype), ctx.upward
    x, y, b, a = x.to(wide), y.to(wide), numerator.to(wide), feedback.to(wide)
    if ctx.activation == "linear":
        g = torch.ops.narrows.vertical_iir(grad.to(wide), torch.ones_like(a[:, :1]), a, "linear", not upward)
    else:
        gate = _slope(ctx.activation, x, y, b, a, upward)
        g = torch.ops.narrows.gated_recursion(grad.to(wide), gate, a, not upward)
    orders = range(1, a.shape[1] + 1)
    to_x = feed_forward(g, b, not upward).to(ctx.saved_tensors[0].dtype) if ctx.needs_input_grad[0] else None
    to_b = _correlations(g, x, range(b.shape[1]), upward).to(numerator.dtype) if ctx.needs_input_grad[1] else None
    to_a = _correlations(g, y, orders, upward).to(feedback.dtype) if ctx.needs_input_grad[2] else None
    return to_x, to_b, to_a, None, None


def _slope(activation: str, x: Tensor, y: Tensor, b: Tensor, a: Tensor, upward: bool) -> Tensor:
    """f'(z), by autograd on f; z is what f was applied to."""
    if activation == "relu":
        return (y > 0).to(y.dtype)
    twice = torch.is_grad_enabled()
    padded = torch.cat([torch.zeros_like(a[:, :1]), a], 1)
    z = feed_forward(x, b, upward) + feed_forward(y, padded, upward)
    with torch.enable_grad():
        z = z if z.requires_grad else z.requires_grad_()
        (slope,) = torch.autograd.grad(nonlinearity(activation)(z).sum(), z, create_graph=twice)
    return slope


vertical_iir.register_autograd(_backward, setup_context=_save)


@torch.library.custom_op("narrows::gated_recursion", mutates_args=())
def gated_recursion(u: Tensor, gate: Tensor, feedback: Tensor, upward: bool) -> Tensor:
    """``g[t] = gate[t] (u[t] + sum_j a[j] g[t - j])``: the gradient of a nonlinear filter. (N, C, H, W) to the same."""
    values = u.detach().clone()
    chosen = scan.in_blocks(values)
    return scan.gated(values, gate.detach().contiguous(), feedback.detach(), upward, chosen)


@gated_recursion.register_fake
def _(u: Tensor, gate: Tensor, feedback: Tensor, upward: bool) -> Tensor:
    return torch.empty_like(u)


def _save_gated(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    u, gate, feedback, ctx.upward = inputs
    ctx.save_for_backward(u, gate, feedback, output)


def _backward_gated(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    """With g = D v, v = u + A g: the gradient p of u is D w, w = grad + A' p, the same recursion the other way round;
    that of the gate is v w, and that of a[j] the sum of p[t] g[t - j]."""
    u, gate, a, g = ctx.saved_tensors
    upward = ctx.upward
    p = torch.ops.narrows.gated_recursion(grad, gate, a, not upward)
    padded = torch.cat([torch.zeros_like(a[:, :1]), a], 1)
    v = u + feed_forward(g, padded, upward)
    w = grad + feed_forward(p, padded, not upward)
    return p, v * w, _correlations(p, g, range(1, a.shape[1] + 1), upward), None


gated_recursion.register_autograd(_backward_gated, setup_context=_save_gated)

for _device in ("cpu", "cuda"):
    torch.library.register_autocast("narrows::vertical_iir", _device, torch.float32)
