"""The registry of operators: from an ATen call to its specification.

A family file registers, for each ATen name it stands for, one function that looks at the call's shapes and arguments
and returns an `Operator`: row needs, what it costs, and the function that computes a strip.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch

from narrows.rowgraph.rows import Axis, RowNeed, Same

__all__ = ["Call", "Operator", "Refusal", "Value", "lookup", "macs_of", "multiplies", "operator", "registered"]


class Refusal(Exception):
    """Raised by a rule for arguments that can't be run strip by strip; its text says why and what to do."""


@dataclass(frozen=True)
class Value:
    """A tensor of the graph while it is being built: the node that makes it, and what is known of it.

    `extra` is what its operator tells those that read it (a pooling, where its places lie).
    """

    node: int
    shape: tuple[int, ...]
    dtype: torch.dtype
    rows: Axis | None
    columns: Axis | None = None
    extra: dict[str, Any] = field(default_factory=dict, compare=False)

    @property
    def axis(self) -> Axis:
        """The row axis of a value that has one."""
        assert self.rows is not None
        return self.rows


@dataclass(frozen=True)
class Call:
    """One ATen call: `arguments` by the names of its schema, defaults filled in, tensors as `Value`.

    `results` are the shapes and dtypes of what it returns, one pair for each result.
    """

    target: str
    arguments: dict[str, Any]
    results: tuple[tuple[tuple[int, ...], torch.dtype], ...]

    def __getitem__(self, name: str) -> Any:
        return self.arguments[name]

    def get(self, name: str, default: Any = None) -> Any:
        value = self.arguments.get(name, default)
        return default if value is None else value

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the first result."""
        return self.results[0][0]

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of the first result."""
        return self.results[0][1]

    @property
    def values(self) -> list[Value]:
        """Every tensor argument, in order; lists of tensors flattened."""
        found: list[Value] = []
        for argument in self.arguments.values():
            if isinstance(argument, Value):
                found.append(argument)
            elif isinstance(argument, (list, tuple)):
                found.extend(item for item in argument if isinstance(item, Value))
        return found


@dataclass(frozen=True)
class Operator:
    """What a call does with rows. `narrows.rowgraph.graph.Node` says what each field means.

    `inputs` are the values that `compute` sees, in its order. `needs` stands beside them: None for values without rows;
    left out, every input with rows is needed row for row. `rows` left out is the axis of the first input with rows.
    """

    kind: str
    inputs: tuple[Value, ...]
    compute: Callable[..., Any] | None
    rows: Axis | None
    needs: tuple[RowNeed | None, ...] | None = None
    columns: Axis | None = None
    prepare: Callable[..., Any] | None = None
    prepared_bytes: int = 0
    barrier: str | None = None
    view_of: int | None = None
    overwrites: int | None = None
    state_bytes: int = 0
    state_values: int = 0
    workspace: Callable[[int], int] | None = None
    discarded: Callable[[int, int], int] | None = None
    macs: int = 0
    bitwise: bool = True
    coded_bits: int | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    def row_needs(self) -> tuple[RowNeed | None, ...]:
        if self.needs is not None:
            return self.needs
        return tuple(Same(value.rows.count) if value.rows else None for value in self.inputs)


Rule = Callable[[Call], "Operator | tuple[Operator, ...]"]
Count = Callable[[Call], int]
R = TypeVar("R", bound=Rule)
C = TypeVar("C", bound=Count)
_rules: dict[str, Rule] = {}
_counts: dict[str, Count] = {}


def operator(*targets: str) -> Callable[[R], R]:
    """Register a rule for ATen names such as ``"aten.conv2d.default"`` (or a custom operator's name)."""
    return _registering(_rules, targets, "rules")


def multiplies(*targets: str) -> Callable[[C], C]:
    """Register how many multiply-accumulates calls of these ATen names make, from their shapes and arguments alone.

    Unlike a rule it is asked for every call, also for those on values without rows.
    """
    return _registering(_counts, targets, "counts of multiply-accumulates")


def _registering(table: dict[str, Any], targets: tuple[str, ...], what: str) -> Callable[[Any], Any]:
    def register(function: Any) -> Any:
        for target in targets:
            if target in table:
                raise ValueError(f"{target} has two {what}")
            table[target] = function
        return function

    return register


def macs_of(call: Call) -> int | None:
    """Multiply-accumulates of a call, or None where no count is registered for its name."""
    count = _counts.get(call.target)
    return count(call) if count is not None else None


def lookup(target: str) -> Rule | None:
    """The rule for an ATen name, or None."""
    return _rules.get(target)


def registered() -> tuple[str, ...]:
    """Every ATen name with a rule, sorted."""
    return tuple(sorted(_rules))
