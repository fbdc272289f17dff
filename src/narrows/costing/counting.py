"""How many multiply-accumulates a call makes; whether that is known at all.

Counts are those of the row graph's operators (`narrows.rowgraph.registry.multiplies`). What has none is known to
multiply nothing if it is a view, makes a tensor from nothing, works element by element, or is named here. Everything
else is unknown, and is called so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

import narrows.rowgraph.operators  # noqa: F401  (registers every family)
from narrows.rowgraph.registry import Call, Value, lookup, macs_of

__all__ = ["call_of", "functional_name", "is_elementwise", "macs_of_call"]

# Multiply nothing and add up, compare or move values: reductions, normalisation, pooling, resizing, sorting, copying.
_WITHOUT_PRODUCTS_NAMES = """
    _adaptive_avg_pool2d _adaptive_avg_pool3d _assert_async _assert_scalar _assert_tensor_metadata
    _embedding_bag _embedding_bag_forward_only _local_scalar_dense _log_softmax _native_batch_norm_legit
    _native_batch_norm_legit_functional _native_batch_norm_legit_no_training _reshape_alias _reshape_copy
    _resize_output _safe_softmax _softmax _to_copy _unique2 _unsafe_index _unsafe_view _upsample_bicubic2d_aa
    _upsample_bilinear2d_aa _upsample_nearest_exact1d _upsample_nearest_exact2d _upsample_nearest_exact3d
    adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool1d adaptive_max_pool2d
    adaptive_max_pool3d all alpha_dropout amax amin aminmax any argmax argmin argsort as_strided avg_pool1d
    avg_pool2d avg_pool3d batch_norm bincount broadcast_tensors bucketize cat channel_shuffle chunk clone col2im
    concat concatenate constant_pad_nd contiguous copy copy_ count_nonzero cross cummax cummin cumprod cumsum
    diff dropout dropout_ embedding embedding_bag feature_alpha_dropout feature_dropout fill fill_ flip fliplr
    flipud fractional_max_pool2d fractional_max_pool3d gather glu grid_sampler grid_sampler_2d grid_sampler_3d
    group_norm hstack im2col index index_add index_copy index_fill index_put index_put_ index_select
    instance_norm kthvalue layer_norm lift_fresh_copy log_softmax logcumsumexp logsumexp lp_pool2d
    masked_scatter masked_select max max_pool1d max_pool1d_with_indices max_pool2d max_pool2d_with_indices
    max_pool3d max_pool3d_with_indices max_unpool2d max_unpool3d mean median min mode nanmean nanmedian nansum
    native_batch_norm native_channel_shuffle native_dropout native_group_norm native_layer_norm new_empty
    new_full new_ones new_zeros nonzero norm normal_ one_hot pad pixel_shuffle pixel_unshuffle prod quantile
    reflection_pad1d reflection_pad2d reflection_pad3d repeat repeat_interleave replication_pad1d
    replication_pad2d replication_pad3d reshape resolve_conj resolve_neg rms_norm _fused_rms_norm roll scatter
    scatter_add scatter_reduce searchsorted select_scatter slice_scatter softmax sort split split_with_sizes
    stack std std_mean sum take take_along_dim tensor_split tile to to_dense topk trace tril triu unflatten
    unfold unique unique_consecutive upsample_bicubic2d upsample_bilinear2d upsample_linear1d upsample_nearest1d
    upsample_nearest2d upsample_nearest3d upsample_trilinear3d var var_mean view vstack where zero_
"""
_WITHOUT_PRODUCTS = frozenset(f"aten.{name}" for name in _WITHOUT_PRODUCTS_NAMES.split())
# Element by element, though PyTorch's tag doesn't say so.
_ELEMENTWISE_NAMES = """
    __and__ __or__ _native_batch_norm_legit_no_training batch_norm copy copy_ clone contiguous fill floor_divide
    hardswish log_sigmoid logsigmoid masked_fill native_batch_norm prelu _prelu_kernel rsub to _to_copy where
    dropout feature_dropout alpha_dropout rrelu softsign
"""
_ELEMENTWISE = frozenset(f"aten.{name}" for name in _ELEMENTWISE_NAMES.split())


def functional_name(target: str) -> str:
    """``"aten.relu_.default"`` is ``"aten.relu.default"`` that writes into its input."""
    space, dot, rest = target.partition(".")
    name, dot2, form = rest.partition(".")
    if space == "aten" and name.endswith("_") and not name.startswith("__"):
        return f"{space}.{name[:-1]}.{form}"
    return target


def call_of(func: Any, args: Sequence[Any], kwargs: dict[str, Any], result: Any) -> Call:
    """A call on tensors as the registry's rules read it: shapes and arguments by name, with no rows anywhere."""
    seen: dict[int, int] = {}

    def valued(item: Any) -> Any:
        if isinstance(item, torch.Tensor):
            number = seen.setdefault(id(item), len(seen))
            return Value(number, tuple(item.shape), item.dtype, None)
        if isinstance(item, (list, tuple)):
            return [valued(part) for part in item]
        return item

    arguments: dict[str, Any] = {}
    for place, argument in enumerate(func._schema.arguments):
        if place < len(args):
            arguments[argument.name] = valued(args[place])
        elif argument.name in kwargs:
            arguments[argument.name] = valued(kwargs[argument.name])
        else:
            arguments[argument.name] = argument.default_value if argument.has_default_value() else None
    made = result if isinstance(result, (tuple, list)) else (result,)
    results = tuple(
        (tuple(item.shape), item.dtype) if isinstance(item, torch.Tensor) else ((), torch.float32) for item in made
    )
    return Call(functional_name(str(func)), arguments, results)


def macs_of_call(func: Any, call: Call, *, is_view: bool) -> int | None:
    """Multiply-accumulates of one call, or None where they are not known."""
    counted = macs_of(call)
    if counted is not None:
        return counted
    if is_view or not call.values or _multiplies_nothing(func, call):
        return 0
    return None


def _multiplies_nothing(func: Any, call: Call) -> bool:
    return (
        torch.Tag.pointwise in func.tags
        or func.namespace == "prim"
        or is_elementwise(func, call)
        or _name(call) in _WITHOUT_PRODUCTS
        or f"{_name(call)}_" in _WITHOUT_PRODUCTS
    )


def is_elementwise(func: Any, call: Call) -> bool:
    """Whether each element of the result comes from the same element of the inputs (broadcast) and numbers."""
    if torch.Tag.pointwise in func.tags or _name(call) in _ELEMENTWISE:
        return bool(call.values)
    rule = lookup(call.target)
    return rule is not None and rule.__name__ == "elementwise"


def _name(call: Call) -> str:
    return call.target.rpartition(".")[0]
