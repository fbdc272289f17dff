"""When PyTorch hands a float32 convolution to oneDNN, and what oneDNN keeps for it. Plain integers.

The rule is that of ConvParams::use_mkldnn in PyTorch's aten/src/ATen/native/Convolution.cpp.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

__all__ = ["takes_convolution", "weight_bytes"]

# Input values of one image from which on it is worth the way there; smaller ones go to PyTorch's own im2col.
_FROM = 20_480
_BLOCK = 16


def takes_convolution(image: Sequence[int], kernel: Sequence[int], groups: int) -> bool:
    """Whether a float32 convolution of an `image` (N, C, H, W) goes to oneDNN; `kernel` is (rows, columns)."""
    large_kernel = len(image) == 4 and min(kernel) > 3
    return groups > 1 or large_kernel or image[0] > 1 or prod(image) > _FROM


def weight_bytes(shape: Sequence[int], groups: int) -> int:
    """Bytes of a float32 weight in oneDNN's blocks of 16 by 16 channels (8-byte depthwise blocks are never larger)."""
    if groups > 1:
        return prod(shape) * 4
    blocked = [-(-size // _BLOCK) * _BLOCK if size > 4 else size for size in shape[:2]]
    return prod(blocked) * prod(shape[2:]) * 4
