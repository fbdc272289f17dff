"""Recursions down (or up) the rows of an image: row by row, or in blocks of rows side by side.

Row by row, a recursion of H rows is H steps, each on one row of all channels. Where a row is short, most of a step is
the call and not the arithmetic. In blocks, the rows are cut into blocks of `BLOCK`; `BLOCK` steps run the recursion
within all blocks at once, each from rest; H / `BLOCK` steps then hand each block what the one before it ended with.
That is `BLOCK` + H / `BLOCK` calls instead of H, and about twice the arithmetic. Both are exact up to rounding;
`in_blocks` chooses by shape.

All functions work in place on (N, C, H, W) and take coefficients of (C, order).
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

__all__ = ["BLOCK", "NARROW", "gated", "in_blocks", "linear", "nonlinear", "rectified"]

BLOCK = 16
NARROW = 16_384
"""Values in one row of all channels and images, below which blocks are faster (benchmarks/vertical_iir.py)."""


def in_blocks(values: Tensor) -> bool:
    """Whether a recursion over `values` (N, C, H, W) runs in blocks: rows are short, and there are many of them."""
    batch, channels, height, width = values.shape
    return batch * channels * width < NARROW and height >= 4 * BLOCK


def linear(values: Tensor, feedback: Tensor, upward: bool, blocks: bool) -> Tensor:
    """``y[t] = values[t] + sum_j feedback[j - 1] * y[t - j]``, in place."""
    if not blocks:
        _run(_rows(values, upward), _columns(feedback, 2))
        return values
    head, rest = _split(values, upward)
    steps, chain = _steps(head, upward), _chain(head, upward)
    _run(steps, _columns(feedback, 3))
    responses = [_along(response, upward) for response in _free_responses(feedback, BLOCK)]
    for before, block in pairwise(chain):
        for back, response in enumerate(responses, start=1):
            block.addcmul_(response, _last(before, back, upward))
    ended = _rows(chain[-1], upward)[-feedback.shape[1] :]
    _run(ended + rest, _columns(feedback, 2), len(ended))
    return values


def rectified(values: Tensor, feedback: Tensor, upward: bool, blocks: bool) -> Tensor:
    """``y[t] = max(values[t] + sum_j feedback[j - 1] * y[t - j], 0)``, in place.

    In blocks for order 1 and feedback of at least 0 only. There ``y -> max(c, p y + b)`` with p >= 0 is closed under
    composition: after rows 0..t of a block that was entered with s, ``y = max(c, p s + b)``, where c is the rectified
    recursion from rest, b the linear one, and p a power of the feedback.
    """
    if not blocks or feedback.shape[1] != 1 or not bool((feedback >= 0).all()):
        return nonlinear(values, feedback, torch.relu_, upward)
    head, rest = _split(values, upward)
    line = head.clone()
    _run(_steps(line, upward), _columns(feedback, 3))
    _run(_steps(head, upward), _columns(feedback, 3), each=torch.relu_)
    response = _along(_free_responses(feedback, BLOCK)[0], upward)
    chain, lines = _chain(head, upward), _chain(line, upward)
    for before, block, straight in zip(chain, chain[1:], lines[1:], strict=False):
        straight.addcmul_(response, _last(before, 1, upward))
        torch.maximum(block, straight, out=block)
    ended = _rows(chain[-1], upward)[-1:]
    _run(ended + rest, _columns(feedback, 2), 1, torch.relu_)
    return values


def nonlinear(values: Tensor, feedback: Tensor, function: Callable[[Tensor], Tensor], upward: bool) -> Tensor:
    """``y[t] = function(values[t] + sum_j feedback[j - 1] * y[t - j])``, in place, row by row."""
    _run(_rows(values, upward), _columns(feedback, 2), each=function)
    return values


def gated(values: Tensor, gate: Tensor, feedback: Tensor, upward: bool, blocks: bool) -> Tensor:
    """``g[t] = gate[t] * (values[t] + sum_j feedback[j - 1] * g[t - j])``, in place; `gate` of the shape of `values`.

    In blocks for order 1 only: the effect of what a block was entered with is the running product of gate * feedback.
    """
    if not blocks or feedback.shape[1] != 1:
        _run_gated(_rows(values, upward), _rows(gate, upward), _columns(feedback, 2))
        return values
    head, rest = _split(values, upward)
    gate_head, gate_rest = _split(gate, upward)
    coefficients = _columns(feedback, 3)
    _run_gated(_steps(head, upward), _steps(gate_head, upward), coefficients)
    product = gate_head * _columns(feedback, 3)[0][..., None]
    running = _steps(product, upward)
    for before, here in pairwise(running):
        here.mul_(before)
    chain, products = _chain(head, upward), _chain(product, upward)
    for before, block, effect in zip(chain, chain[1:], products[1:], strict=False):
        block.addcmul_(effect, _last(before, 1, upward))
    ended = _rows(chain[-1], upward)[-1:]
    _run_gated(ended + rest, ended + gate_rest, _columns(feedback, 2), 1)
    return values


def _run(
    rows: list[Tensor], coefficients: list[Tensor], first: int = 0, each: Callable[[Tensor], Tensor] | None = None
) -> None:
    """The recursion through `rows` from `first` on; those before it have been made."""
    for place in range(first, len(rows)):
        row = rows[place]
        for back, coefficient in enumerate(coefficients[:place], start=1):
            row.addcmul_(coefficient, rows[place - back])
        if each is not None:
            made = each(row)
            if made is not row:
                row.copy_(made)


def _run_gated(rows: list[Tensor], gates: list[Tensor], coefficients: list[Tensor], first: int = 0) -> None:
    for place in range(first, len(rows)):
        for back, coefficient in enumerate(coefficients[:place], start=1):
            rows[place].addcmul_(coefficient, rows[place - back])
        rows[place].mul_(gates[place])


def _split(values: Tensor, upward: bool) -> tuple[Tensor, list[Tensor]]:
    """Whole blocks as (N, C, blocks, BLOCK, W), and the rows that are left over at the end, in order."""
    height = values.shape[2]
    whole = height - height % BLOCK
    head = values.narrow(2, height - whole if upward else 0, whole)
    rest = values.narrow(2, 0 if upward else whole, height - whole)
    return head.unflatten(2, (whole // BLOCK, BLOCK)), _rows(rest, upward)


def _rows(values: Tensor, upward: bool) -> list[Tensor]:
    rows = list(values.unbind(2))
    return rows[::-1] if upward else rows


def _steps(head: Tensor, upward: bool) -> list[Tensor]:
    """The t-th rows of all blocks, for each t."""
    steps = list(head.unbind(3))
    return steps[::-1] if upward else steps


def _chain(head: Tensor, upward: bool) -> list[Tensor]:
    blocks = list(head.unbind(2))
    return blocks[::-1] if upward else blocks


def _last(block: Tensor, back: int, upward: bool) -> Tensor:
    """The row of a block (N, C, BLOCK, W) that is `back` steps before its end."""
    return block.narrow(2, back - 1 if upward else block.shape[2] - back, 1)


def _along(response: Tensor, upward: bool) -> Tensor:
    return response.flip(1) if upward else response


def _columns(feedback: Tensor, dims: int) -> list[Tensor]:
    """The coefficients, each of shape (C, 1, ...), to multiply values of C and `dims - 1` further dimensions."""
    return [coefficient.view(-1, *(1,) * (dims - 1)) for coefficient in feedback.unbind(1)]


def _free_responses(feedback: Tensor, rows: int) -> list[Tensor]:
    """What a block of `rows` rows would hold if nothing came in, for each earlier row that is 1 while the others are 0;
    (C, rows, 1) each, the nearest row first."""
    order = feedback.shape[1]
    wide = feedback.double()
    result = []
    for back in range(order):
        earlier = [torch.zeros_like(wide[:, 0]) for _ in range(order)]
        earlier[order - 1 - back].fill_(1.0)
        for _ in range(rows):
            latest = earlier[: -order - 1 : -1]
            earlier.append(
                sum((c * y for c, y in zip(wide.unbind(1), latest, strict=True)), torch.zeros_like(wide[:, 0]))
            )
        result.append(torch.stack(earlier[order:], 1)[..., None].to(feedback.dtype))
    return result
