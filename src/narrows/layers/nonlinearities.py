"""The functions that may stand inside a recursion, by name.

A custom operator takes names, not functions: an exported program holds the name, and whoever loads it must have
registered the same function.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["nonlinearity", "register_nonlinearity"]

Function = Callable[[Tensor], Tensor]
_functions: dict[str, Function] = {
    "relu": torch.relu,
    "leaky_relu": F.leaky_relu,
    "hardtanh": F.hardtanh,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "softsign": F.softsign,
    "elu": F.elu,
}


def register_nonlinearity(name: str, function: Function) -> None:
    """Let recursions use `function`, elementwise and differentiable, under `name`.

    Stability by construction needs that it never grows faster than its argument: |f(z)| <= |z| + |f(0)|. That is
    checked on a grid from -1e6 to 1e6.

    Raises:
        ValueError: the name is taken ("linear" is), or the function grows faster than its argument.
    """
    if name in _functions or name == "linear":
        raise ValueError(f"the nonlinearity {name!r} exists already")
    side = torch.logspace(-6, 6, 2000, dtype=torch.float64)
    grid = torch.cat([-side.flip(0), side.new_zeros(1), side])
    made = function(grid)
    if made.shape != grid.shape or not bool((made.abs() <= grid.abs() * (1 + 1e-9) + made[len(side)].abs()).all()):
        raise ValueError(f"{name!r} is not elementwise, or grows faster than its argument: a recursion could diverge")
    _functions[name] = function


def nonlinearity(name: str) -> Function:
    """The function of that name.

    Raises:
        ValueError: there is none.
    """
    if name not in _functions:
        raise ValueError(
            f"no nonlinearity {name!r}; there are linear, {', '.join(_functions)}, or register_nonlinearity"
        )
    return _functions[name]
