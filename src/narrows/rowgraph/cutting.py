"""Cutting rows out of tensors, and calling an ATen operator on strips instead of whole values."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch

from narrows.rowgraph.graph import Strip
from narrows.rowgraph.registry import Call, Value
from narrows.rowgraph.rows import Axis

__all__ = ["cut", "each_in_place", "on_strips", "overload"]


def cut(value: torch.Tensor, axis: Axis, start: int, stop: int) -> torch.Tensor:
    """Rows [start, stop) of `value`, counted from the first row that it holds; a view where memory allows."""
    if axis.outer == 1:
        return value.narrow(axis.dim, start, stop - start)
    split = value.unflatten(axis.dim, (axis.outer, value.shape[axis.dim] // axis.outer))
    return split.narrow(axis.dim + 1, start, stop - start).flatten(axis.dim, axis.dim + 1)


def overload(target: str) -> Any:
    """The operator that an ATen (or custom) name such as ``"aten.relu.default"`` stands for."""
    space, name, kind = target.split(".")
    return getattr(getattr(getattr(torch.ops, space), name), kind)


def each_in_place(target: str) -> Any | None:
    """The form of an operator that writes into its first argument, or None."""
    space, name, kind = target.split(".")
    packet = getattr(getattr(torch.ops, space), f"{name}_", None)
    return getattr(packet, kind, None) if packet is not None else None


def on_strips(call: Call, **changed: Any) -> Callable[[Strip, list[torch.Tensor], bool], torch.Tensor]:
    """A function that makes `call` with tensors put in the places of its values, in order.

    `changed` replaces arguments by name: a function of the strip, or a plain value. The last argument of the function
    asks for the form that writes into the first tensor.
    """
    function, in_place = overload(call.target), each_in_place(call.target)
    names = [argument.name for argument in function._schema.arguments]
    keyword_only = {argument.name for argument in function._schema.arguments if argument.kwarg_only}
    arguments = {name: call.arguments[name] for name in names} | changed

    def compute(strip: Strip, tensors: list[torch.Tensor], overwrite: bool) -> torch.Tensor:
        given = iter(tensors)
        filled = {name: _filled(argument, given, strip) for name, argument in arguments.items()}
        positional = [value for name, value in filled.items() if name not in keyword_only]
        keywords = {name: value for name, value in filled.items() if name in keyword_only}
        chosen = in_place if overwrite and in_place is not None else function
        result: torch.Tensor = chosen(*positional, **keywords)
        return result

    return compute


def _filled(argument: Any, given: Iterator[torch.Tensor], strip: Strip) -> Any:
    """`argument` with tensors for its values. (A function inside `compute` that calls itself would be a cycle, which
    keeps every strip alive until the garbage collector comes by.)"""
    if isinstance(argument, Value):
        return next(given)
    if isinstance(argument, list):
        return [_filled(item, given, strip) for item in argument]
    return argument(strip) if callable(argument) else argument
