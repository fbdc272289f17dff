"""Memory that PyTorch's CPU kernels take for themselves while one operator runs."""

from __future__ import annotations

from math import prod
from typing import Any, NamedTuple

import torch

from narrows.rowgraph import onednn

__all__ = ["NO_SCRATCH", "Scratch", "scratch_of"]


class Scratch(NamedTuple):
    """Bytes that a kernel takes for itself, and what for, in words."""

    bytes: int
    what: str


NO_SCRATCH = Scratch(0, "")


def scratch_of(func: Any, args: Any, result: Any) -> Scratch:
    """What the CPU kernel of `func` allocates and frees inside, beside its result.

    Convolutions: oneDNN's copy of the weight in its own order (blocks of 16 channels), or PyTorch's own unfolded input.
    Fused attention of a transformer: the projections and all weights between tokens.
    """
    name = str(func)
    if name == "aten.convolution.default":
        x, weight, _, stride, padding, _, transposed, _, groups = args[:9]
        return _convolution(x, weight, stride, padding, transposed, groups, result)
    if name in ("aten._native_multi_head_attention.default", "aten._transformer_encoder_layer_fwd.default"):
        tokens, width = args[0], args[0].shape[-1]
        heads = args[4] if name.startswith("aten._native") else args[2]
        batch, length = tokens.shape[0], tokens.shape[-2]
        values = batch * heads * length * length + 4 * batch * length * width
        return Scratch(values * tokens.element_size(), "projections, and the weights between all tokens")
    return NO_SCRATCH


def _convolution(
    x: torch.Tensor,
    weight: torch.Tensor,
    stride: list[int],
    padding: list[int],
    transposed: bool,
    groups: int,
    result: torch.Tensor,
) -> Scratch:
    if x.dtype is torch.float32 and onednn.takes_convolution(x.shape, weight.shape[2:], groups):
        return Scratch(onednn.weight_bytes(weight.shape, groups), "its weight in oneDNN's order")
    places = prod(x.shape[2:]) if transposed else prod(result.shape[2:])
    unfolds = transposed or any(size != 1 for size in (*weight.shape[2:], *stride)) or any(padding)
    if not unfolds:
        return NO_SCRATCH
    return Scratch(prod(weight.shape[1:]) * places * x.element_size(), "its input unfolded (im2col)")
