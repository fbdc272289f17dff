"""Operators that PyTorch itself defines by others, taken apart before rules are looked up.

An exported program keeps operators such as ``torch.diff`` or ``torch.tile`` whole. Those named here have no rule of
their own: they are replaced by what PyTorch computes them with. What is not named stays whole, so that a refusal speaks
of the operator that the user wrote.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch.export import ExportedProgram

from narrows.rowgraph.registry import lookup

__all__ = ["taken_apart"]

_NAMES = """
    absolute adjoint aminmax arccos arccosh arcsin arcsinh arctan arctan2 arctanh argsort atleast_1d atleast_2d
    atleast_3d broadcast_tensors broadcast_to clip column_stack concat concatenate cosine_similarity count_nonzero
    cross diff divide dsplit dstack expand_as fix fliplr flipud float_power frobenius_norm gradient greater
    greater_equal hsplit hstack inner isclose isin isreal kron l1_loss less less_equal linalg_cross linalg_diagonal
    linalg_matmul linalg_norm linalg_vecdot meshgrid moveaxis movedim msort multiply nanmean nanquantile nansum narrow
    negative new_empty new_full new_ones new_zeros not_equal one_hot outer pairwise_distance quantile ravel renorm
    repeat_interleave rot90 row_stack special_digamma special_erf special_erfc special_erfinv special_exp2
    special_expit special_expm1 special_gammainc special_gammaincc special_gammaln special_i0 special_log1p
    special_log_softmax special_logit special_logsumexp special_multigammaln special_ndtr special_polygamma
    special_psi special_round special_sinc special_softmax special_xlogy std std_mean subtract sum_to_size swapaxes
    swapdims take_along_dim tensor_split tensordot tile trapezoid true_divide type_as unflatten unsafe_chunk var
    var_mean vsplit vstack where
"""
_KNOWN = frozenset(_NAMES.split())
# One operator may be defined by another that is itself named here.
_DEPTH = 6


def taken_apart(program: ExportedProgram) -> ExportedProgram:
    """`program` with the operators named above replaced by those that define them."""
    defaults: Any = None
    for _ in range(_DEPTH):
        found = [node.target for node in program.graph.nodes if _is_composite(node.target)]
        if not found:
            break
        if defaults is None:
            defaults = torch.export.default_decompositions()
        table = {op: _OWN[op] if op in _OWN else defaults[op] for op in found if op in _OWN or op in defaults}
        if not table:
            break
        program = program.run_decompositions(table)
    return program


def _is_composite(target: Any) -> bool:
    if not isinstance(target, torch._ops.OpOverload) or lookup(str(target)) is not None:
        return False
    return target in _OWN or (target.namespace == "aten" and str(target).split(".")[1] in _KNOWN)


def _image_to_columns(
    x: torch.Tensor, kernel_size: list[int], dilation: list[int], padding: list[int], stride: list[int]
) -> torch.Tensor:
    """`torch.nn.functional.unfold`: (N, C, H, W) to (N, C * kernel, places), each element of the kernel a slice."""
    down, across = kernel_size
    padded = F.pad(x, (padding[1], padding[1], padding[0], padding[0]))
    rows = (padded.shape[-2] - dilation[0] * (down - 1) - 1) // stride[0] + 1
    columns = (padded.shape[-1] - dilation[1] * (across - 1) - 1) // stride[1] + 1
    parts = []
    for i in range(down):
        for j in range(across):
            top, left = i * dilation[0], j * dilation[1]
            bottom, right = top + (rows - 1) * stride[0] + 1, left + (columns - 1) * stride[1] + 1
            parts.append(padded[..., top : bottom : stride[0], left : right : stride[1]])
    stacked = torch.stack(parts, dim=-3)
    return stacked.reshape(*x.shape[:-3], x.shape[-3] * down * across, rows * columns)


def _randomised_leaky_relu(
    x: torch.Tensor, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False, generator: Any = None
) -> torch.Tensor:
    """In training the slope is drawn; else it is the middle one."""
    slope = torch.rand_like(x) * (upper - lower) + lower if training else (lower + upper) / 2
    return torch.where(x >= 0, x, x * slope)


_OWN: dict[Any, Callable[..., Any]] = {
    torch.ops.aten.im2col.default: _image_to_columns,
    torch.ops.aten.rrelu.default: _randomised_leaky_relu,
}
