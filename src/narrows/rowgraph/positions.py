"""Tables of positions, made row by row.

Coordinate channels, meshgrids and sine encodings are computed from ``arange`` or ``linspace`` alone, without the image.
Made whole they may be as large as the image itself. Where an operator reads such a table beside the rows of the image,
its computation is followed backwards from there, and each step of it is given rows, down to what holds one number or a
weight for each row: of those the rows asked for are cut.

No step needs a rule of its own here: the rule of each operator says where the rows of its result lie when an input has
rows in some dimension, so the dimensions of the inputs are tried.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import torch

from narrows.rowgraph.cutting import cut
from narrows.rowgraph.graph import Strip
from narrows.rowgraph.registry import Call, Operator, Refusal, Value, lookup
from narrows.rowgraph.rows import Axis, Same

__all__ = ["Positions"]

Append = Callable[..., Value]
# Operators that read their inputs side by side, so that any of them may be a table with rows.
_SIDE_BY_SIDE = ("cat", "stack", "einsum", "matmul", "slice_scatter", "embedding", "index")
_FILLS = ("aten.full.default", "aten.zeros.default", "aten.ones.default")


@dataclass(frozen=True)
class _Recipe:
    """How a value without rows is computed: result `place` of `call`; `fx` says where in the user's network."""

    call: Call
    place: int
    fx: torch.fx.Node


class Positions:
    """What is known of the values without rows that were computed so far.

    Args:
        append: adds a node to the graph: ``append(name, operator, shape, dtype, fx=...)`` gives its value.
    """

    def __init__(self, append: Append):
        self._append = append
        self._recipes: dict[int, _Recipe] = {}
        self._made: dict[tuple[int, int], Value] = {}

    def remember(self, value: Value, call: Call, place: int, fx: torch.fx.Node) -> None:
        """`value`, which has no rows, is result `place` of `call`."""
        self._recipes[value.node] = _Recipe(call, place, fx)

    def with_rows(self, call: Call) -> Call:
        """`call`, which has a rule, with rows for each of its computed tables that it reads row for row."""
        spec = _specification(call, 0)
        if spec is None or spec.rows is None or not _side_by_side(call):
            return call
        for table in [value for value in call.values if value.rows is None and value.node in self._recipes]:
            for axis in _axes(table):
                if _reads_row_for_row(call, table, axis, spec.rows):
                    call = _with(call, {table.node: self._rowed(table, axis)})
                    break
        return call

    def _rowed(self, value: Value, axis: Axis) -> Value:
        """`value` with rows in `axis`, its computation followed back as far as that saves memory."""
        key = (value.node, axis.dim)
        if key not in self._made:
            self._made[key] = self._followed(value, axis) or self._cut(value, axis)
        return self._made[key]

    def _followed(self, value: Value, axis: Axis) -> Value | None:
        recipe = self._recipes.get(value.node)
        if recipe is None or prod(value.shape) == axis.count:
            return None
        made = _filled(recipe.call, axis) or _spread(recipe.call, axis)
        if made is None:
            axes = dict(_sources(recipe, axis))
            call = _with(recipe.call, {node: _as_if(self._value(recipe, node), found) for node, found in axes.items()})
            if not axes or not _gives(call, recipe.place, axis):
                return None
            call = _with(recipe.call, {n: self._rowed(self._value(recipe, n), found) for n, found in axes.items()})
            made = _specification(call, recipe.place)
            assert made is not None
        return self._append(f"{recipe.fx.name}_rows_{value.node}_{axis.dim}", made, value.shape, value.dtype, recipe.fx)

    @staticmethod
    def _value(recipe: _Recipe, node: int) -> Value:
        return next(value for value in recipe.call.values if value.node == node)

    def _cut(self, value: Value, axis: Axis) -> Value:
        recipe = self._recipes.get(value.node)
        made = Operator(
            "rows of a table",
            (value,),
            lambda strip: cut(strip.inputs[0], axis, strip.start, strip.stop),
            axis,
            needs=(None,),
            columns=_columns(value.shape, axis),
        )
        return self._append(
            f"rows_of_{value.node}_{axis.dim}", made, value.shape, value.dtype, recipe.fx if recipe else None
        )


def _specification(call: Call, place: int) -> Operator | None:
    rule = lookup(call.target)
    try:
        found = rule(call) if rule is not None else None
    except Refusal:
        return None
    return found[place] if isinstance(found, tuple) else found


def _gives(call: Call, place: int, axis: Axis) -> bool:
    """Whether the rows of the result lie in `axis` when the inputs have the rows that they have in `call`."""
    found = _specification(call, place)
    return found is not None and found.barrier is None and found.rows == axis


def _reads_row_for_row(call: Call, table: Value, axis: Axis, rows: Axis) -> bool:
    found = _specification(_with(call, {table.node: _as_if(table, axis)}), 0)
    if found is None or found.barrier is not None or found.rows != rows or axis.count != rows.count:
        return False
    needs = dict(zip((value.node for value in found.inputs), found.row_needs(), strict=True))
    return needs.get(table.node) == Same(axis.count)


def _sources(recipe: _Recipe, axis: Axis) -> Iterator[tuple[int, Axis]]:
    """Inputs of a computation that may be given rows, and where, so that its result has them in `axis`."""
    values = [value for value in recipe.call.values if value.rows is None]
    for value in dict.fromkeys(values if _side_by_side(recipe.call) else values[:1]):
        for found in _axes(value):
            if _gives(_with(recipe.call, {value.node: _as_if(value, found)}), recipe.place, axis):
                yield value.node, found
                break


def _side_by_side(call: Call) -> bool:
    name = call.target.split(".")[1]
    rule = lookup(call.target)
    return name in _SIDE_BY_SIDE or (rule is not None and rule.__name__ == "elementwise")


def _axes(value: Value) -> list[Axis]:
    return [Axis(dim, size) for dim, size in enumerate(value.shape) if size > 1]


def _as_if(value: Value, axis: Axis) -> Value:
    return replace(value, rows=axis, columns=_columns(value.shape, axis))


def _columns(shape: Sequence[int], axis: Axis) -> Axis | None:
    return Axis(axis.dim + 1, shape[axis.dim + 1]) if axis.dim == len(shape) - 2 else None


def _with(call: Call, given: dict[int, Value]) -> Call:
    """`call` with values replaced, by the nodes that make them."""

    def put(argument: Any) -> Any:
        if isinstance(argument, Value):
            return given.get(argument.node, argument)
        return [put(item) for item in argument] if isinstance(argument, list) else argument

    return replace(call, arguments={name: put(argument) for name, argument in call.arguments.items()})


def _filled(call: Call, axis: Axis) -> Operator | None:
    """Rows of a value that holds one number throughout."""
    if call.target not in _FILLS:
        return None
    number = call.arguments.get("fill_value", int(call.target == "aten.ones.default"))
    shape, dtype = call.shape, call.dtype

    def compute(strip: Strip) -> torch.Tensor:
        return torch.full(_sized(shape, axis, strip), number, dtype=dtype)

    return Operator("full", (), compute, axis, needs=(), columns=_columns(shape, axis))


def _spread(call: Call, axis: Axis) -> Operator | None:
    """Rows of a value that repeats what has no rows."""
    if call.target != "aten.expand.default":
        return None
    (value,), shape = call.values, call.shape
    dim = axis.dim - len(shape) + len(value.shape)
    if dim >= 0 and value.shape[dim] != 1:
        return None

    def compute(strip: Strip) -> torch.Tensor:
        return strip.inputs[0].expand(_sized(shape, axis, strip))

    return Operator("expand", (value,), compute, axis, needs=(None,), columns=_columns(shape, axis))


def _sized(shape: Sequence[int], axis: Axis, strip: Strip) -> list[int]:
    return [strip.stop - strip.start if dim == axis.dim else size for dim, size in enumerate(shape)]
