"""Batch norm and ReLU that a convolution alone feeds become part of that convolution.

With running statistics, batch norm is a scale s = gamma / sqrt(variance + epsilon) and a shift, so that
``bn(w * x + b) = (s w) * x + (b - mean) s + beta``.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import torch

__all__ = ["Fold", "find_folds", "folded_constants"]

# Values: in float64 they stay within a core's cache, and below the size for which malloc maps fresh pages each time.
FOLDED_AT_ONCE = 1 << 16
CONVOLUTIONS = ("aten.conv2d.default", "aten.conv2d.padding", "aten.conv_transpose2d.input")
BATCH_NORMS = ("aten._native_batch_norm_legit_no_training.default",)
ACTIVATIONS = {"aten.relu.default": "relu", "aten.relu_.default": "relu"}


@dataclass(frozen=True)
class Fold:
    """What one convolution takes in: `absorbed` are the names of the calls that vanish."""

    convolution: str
    absorbed: tuple[str, ...]
    statistics: tuple[Any, ...] | None
    epsilon: float
    channels: int
    activation: str | None


def find_folds(graph: torch.fx.Graph) -> dict[str, Fold]:
    """Convolutions followed by a batch norm, a ReLU or both that nothing else reads, by the convolution's name."""
    folds = {}
    for fx in graph.nodes:
        if fx.op != "call_function" or str(fx.target) not in CONVOLUTIONS:
            continue
        absorbed: list[str] = []
        statistics, epsilon, activation = None, 0.0, None
        end = fx
        user = _only_user(end)
        if user is not None and str(user.target) in BATCH_NORMS and user.args[0] is end:
            picked = _only_user(user)
            if picked is not None and picked.target is operator.getitem and picked.args[1] == 0:
                statistics, epsilon = tuple(user.args[1:5]), cast(float, user.args[6])
                absorbed += [user.name, picked.name]
                end = picked
        user = _only_user(end)
        if user is not None and str(user.target) in ACTIVATIONS:
            activation = ACTIVATIONS[str(user.target)]
            absorbed.append(user.name)
        if absorbed:
            channels = fx.meta["val"].shape[-3]
            folds[fx.name] = Fold(fx.name, tuple(absorbed), statistics, epsilon, channels, activation)
    return folds


def _only_user(fx: torch.fx.Node) -> torch.fx.Node | None:
    users = list(fx.users)
    return users[0] if len(users) == 1 and users[0].op == "call_function" else None


def folded_constants(
    part: str, present: tuple[bool, ...], epsilon: float, transposed: bool, groups: int
) -> Callable[[list[torch.Tensor]], torch.Tensor]:
    """A function that makes the folded weight or bias from those of (weight, bias, gamma, beta, mean, variance) that
    are `present`. Computed in float64 and rounded once."""

    def compute(inputs: list[torch.Tensor]) -> torch.Tensor:
        given = iter(inputs)
        weight, bias, gamma, beta, mean, variance = (next(given) if here else None for here in present)
        assert weight is not None and mean is not None and variance is not None
        scale = (variance.double() + epsilon).rsqrt() * (1.0 if gamma is None else gamma.double())
        if part == "bias":
            shift = (0.0 if bias is None else bias.double()) - mean.double()
            return (shift * scale + (0.0 if beta is None else beta.double())).to(weight.dtype)
        if transposed:
            per_input = scale.view(groups, 1, -1).expand(-1, weight.shape[0] // groups, -1)
            scale = per_input.reshape(weight.shape[0], -1)[:, :, None, None]
        else:
            scale = scale[:, None, None, None]
        # In the memory order that oneDNN packs from: from any other it would make a copy first.
        result = torch.empty_like(weight, memory_format=torch.channels_last)
        # A few channels at a time: the whole in float64 would be twice as large as the weight itself.
        step = max(1, FOLDED_AT_ONCE // max(weight[0].numel(), 1))
        for start in range(0, weight.shape[0], step):
            result[start : start + step] = weight[start : start + step].double() * scale[start : start + step]
        return result

    return compute
