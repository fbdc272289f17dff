"""The calls of an exported network as a machine meets them: shapes, strides, which memory each makes, reuses and frees.

Read from the program before it is made functional, so that in-place forms stay what the user wrote.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind
from torch.utils._pytree import tree_leaves

__all__ = ["Call", "Layout", "PlacedCall", "normalised", "placed_calls"]

_DROPOUTS = ("aten.dropout.default", "aten.feature_dropout.default", "aten.alpha_dropout.default")


@dataclass(frozen=True)
class Layout:
    """How a tensor lies in memory: shape, strides in elements, bytes of an element; `constant` for weights."""

    shape: tuple[int, ...]
    stride: tuple[int, ...]
    itemsize: int = 4
    constant: bool = False

    @property
    def count(self) -> int:
        """Elements."""
        return prod(self.shape)

    @property
    def contiguous(self) -> bool:
        """Row-major without gaps, as PyTorch counts it: dimensions of one element don't matter."""
        return self._lies(range(len(self.shape)))

    @property
    def channels_last(self) -> bool:
        """(N, C, H, W) with the channels closest together, and not also row-major."""
        return len(self.shape) == 4 and self._lies((0, 2, 3, 1)) and not self.contiguous

    @property
    def dense(self) -> bool:
        """Every element once, in some order, without gaps."""
        order = sorted(range(len(self.shape)), key=lambda d: (-self.stride[d], -self.shape[d]))
        return self._lies(order)

    def _lies(self, order: Sequence[int]) -> bool:
        step = 1
        for dimension in reversed(order):
            if self.shape[dimension] != 1 and self.stride[dimension] != step:
                return False
            step *= self.shape[dimension]
        return True


@dataclass(frozen=True)
class Call:
    """One operator at one shape: ATen name, every argument of its schema in order (tensors as `Layout`), results."""

    target: str
    args: tuple[Any, ...]
    outputs: tuple[Layout, ...]

    @property
    def tensors(self) -> list[Layout]:
        """Every tensor among the arguments."""
        return [leaf for leaf in tree_leaves(list(self.args)) if isinstance(leaf, Layout)]

    @property
    def name(self) -> str:
        """``"conv2d"`` for ``"aten.conv2d.default"``."""
        return self.target.split(".")[1] if self.target.count(".") else self.target


@dataclass(frozen=True)
class PlacedCall:
    """A call of a network, and what it does to memory.

    Attributes:
        name: of its value in the exported program.
        module: path of the innermost module.
        makes: (storage, bytes) of each block that it allocates for its results.
        frees: storages that nothing needs after it.
        view: it computes nothing.
    """

    name: str
    call: Call
    module: str
    makes: tuple[tuple[int, int], ...]
    frees: tuple[int, ...]
    view: bool


def normalised(target: str, args: Sequence[Any], kwargs: dict[str, Any] | None = None) -> tuple[Any, ...]:
    """`args` and `kwargs` of the ATen operator `target`, in the order of its schema, defaults filled in."""
    parts = target.split(".")
    namespace, packet, overload = parts if len(parts) == 3 else (*parts, "default")
    try:
        schema = getattr(getattr(getattr(torch.ops, namespace), packet), overload)._schema
    except AttributeError:
        return (*args, *(kwargs or {}).values())
    given = dict(kwargs or {})
    filled = list(args)
    for argument in schema.arguments[len(args) :]:
        filled.append(given.get(argument.name, argument.default_value))
    return tuple(filled)


def placed_calls(program: ExportedProgram) -> list[PlacedCall]:
    """The calls of `program` in order. Storages are freed at their last use."""
    return list(_Reader(program).read())


class _Reader:
    def __init__(self, program: ExportedProgram):
        self.program = program
        self.constants: set[int] = set()
        self.nodes = [node for node in program.graph.nodes if node.op in ("call_function", "placeholder")]
        kinds = {spec.arg.name: spec.kind for spec in program.graph_signature.input_specs}
        self.inputs: set[int] = set()
        for node in self.nodes:
            if node.op == "placeholder":
                held = self.inputs if kinds.get(node.name) is InputKind.USER_INPUT else self.constants
                held.update(_storages(node.meta.get("val")))

    def read(self) -> Iterator[PlacedCall]:
        last = self._last_uses()
        known = self.constants | self.inputs
        for place, node in enumerate(self.nodes):
            if node.op == "placeholder" or not isinstance(node.target, torch._ops.OpOverload):
                continue
            value = node.meta.get("val")
            made = {key: size for key, size in _blocks(value) if key not in known}
            known |= made.keys()
            written = any(a.alias_info is not None and a.alias_info.is_write for a in node.target._schema.arguments)
            module = _module(node)
            args = normalised(
                str(node.target),
                [self._argument(each) for each in node.args],
                {name: self._argument(each) for name, each in node.kwargs.items()},
            )
            if str(node.target) in _DROPOUTS and args[2] is False:
                made = {}  # in eval mode it gives back its input
            outputs = tuple(self._layout(t) for t in tree_leaves(value) if isinstance(t, torch.Tensor))
            yield PlacedCall(
                node.name,
                Call(str(node.target), args, outputs),
                module,
                tuple(made.items()),
                tuple(last.get(place, ())),
                not made and not written,
            )

    def _last_uses(self) -> dict[int, list[int]]:
        places: dict[int, int] = {}
        kept = set(self.constants | self.inputs)
        for place, node in enumerate(self.nodes):
            for used in (node, *node.all_input_nodes):
                for key in _storages(used.meta.get("val")):
                    places[key] = place
        output = next(node for node in self.program.graph.nodes if node.op == "output")
        for node in output.all_input_nodes:
            for key in _storages(node.meta.get("val")):
                places[key] = len(self.nodes) - 1  # what is returned is freed by the caller, after the last call
        freed: dict[int, list[int]] = {}
        for key, place in places.items():
            if key not in kept:
                freed.setdefault(place, []).append(key)
        return freed

    def _argument(self, value: Any) -> Any:
        if isinstance(value, torch.fx.Node):
            inner = value.meta.get("val")
            if isinstance(inner, torch.Tensor):
                return self._layout(inner)
            if isinstance(inner, (tuple, list)):
                return [self._layout(each) for each in inner if isinstance(each, torch.Tensor)]
            return inner
        if isinstance(value, (list, tuple)):
            return [self._argument(each) for each in value]
        return value

    def _layout(self, tensor: torch.Tensor) -> Layout:
        shape, stride = tuple(tensor.shape), tuple(tensor.stride())
        key = tensor.untyped_storage()._cdata
        if key in self.inputs and 0 in stride:  # an example expanded from one element stands for a real image
            stride = tuple(prod(shape[place + 1 :]) for place in range(len(shape)))
        return Layout(shape, stride, tensor.element_size(), key in self.constants)


def _blocks(value: Any) -> Iterator[tuple[int, int]]:
    for tensor in tree_leaves(value):
        if isinstance(tensor, torch.Tensor):
            yield tensor.untyped_storage()._cdata, tensor.untyped_storage().nbytes()


def _storages(value: Any) -> set[int]:
    return {key for key, _ in _blocks(value)}


def _module(node: torch.fx.Node) -> str:
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    return str(stack[-1][0]) if stack else ""
