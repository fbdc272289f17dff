"""Memory that PyTorch's CPU kernels take for themselves while one operator runs."""

from __future__ import annotations

from math import prod
from typing import Any

import torch

from narrows.rowgraph import onednn

__all__ = ["scratch_bytes"]


def scratch_bytes(func: Any, args: Any, result: Any) -> int:
    """Bytes that the CPU kernel of `func` allocates and frees inside, beside its result.

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
        return (batch * heads * length * length + 4 * batch * length * width) * tokens.element_size()
    return 0


def _convolution(
    x: torch.Tensor,
    weight: torch.Tensor,
    stride: list[int],
    padding: list[int],
    transposed: bool,
    groups: int,
    result: torch.Tensor,
) -> int:
    if x.dtype is torch.float32 and onednn.takes_convolution(x.shape, weight.shape[2:], groups):
        return onednn.weight_bytes(weight.shape, groups)
    places = prod(x.shape[2:]) if transposed else prod(result.shape[2:])
    unfolds = transposed or any(size != 1 for size in (*weight.shape[2:], *stride)) or any(padding)
    return prod(weight.shape[1:]) * places * x.element_size() if unfolds else 0
