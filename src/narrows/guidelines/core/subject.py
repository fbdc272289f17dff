"""A network as the finders see it: its row graph, unfolded and folded, its module tree, its convolutions."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.export import ExportedProgram

from narrows.rowgraph.graph import Node, RowGraph
from narrows.rowgraph.rows import Window
from narrows.streaming.capturing import Shapes, captured

__all__ = ["ACTIVATIONS", "ELEMENTWISE", "RECTIFIERS", "Conv", "Subject", "common_path", "place_of", "within"]

# Operators that read and write as many values as they compute, by their kind in the row graph.
_ELEMENTWISE = """
    add sub mul div maximum minimum relu relu6 hardtanh hardswish hardsigmoid sigmoid tanh silu gelu mish elu selu celu
    leaky_relu prelu softplus clamp clamp_min clamp_max abs neg exp sqrt rsqrt square pow batch_norm addcmul addcdiv
    where masked_fill
"""
_ACTIVATIONS = "relu relu6 hardtanh hardswish silu gelu mish elu selu celu leaky_relu prelu"
ELEMENTWISE = frozenset(_ELEMENTWISE.split())
ACTIVATIONS = frozenset(_ACTIVATIONS.split())
RECTIFIERS = frozenset(("relu", "relu6"))


@dataclass(frozen=True)
class Conv:
    """One convolution of the graph."""

    node: Node
    x: Node
    weight: tuple[int, ...]

    @property
    def channels_in(self) -> int:
        return self.x.shape[1]

    @property
    def channels_out(self) -> int:
        return self.node.shape[1]

    @property
    def groups(self) -> int:
        return self.channels_in // self.weight[1] if self.node.operator == "conv2d" else 1

    @property
    def depthwise(self) -> bool:
        return self.groups > 1 and self.groups == self.channels_in

    @property
    def kernel(self) -> tuple[int, int]:
        return (self.weight[-2], self.weight[-1])

    @property
    def pointwise(self) -> bool:
        return self.kernel == (1, 1)

    @property
    def reach(self) -> int:
        """Rows that its window spans."""
        need = self.node.needs[0]
        return need.dilation * (need.kernel - 1) + 1 if isinstance(need, Window) else self.kernel[0]

    @property
    def stride(self) -> int:
        need = self.node.needs[0]
        return need.stride if isinstance(need, Window) else 1

    @property
    def macs(self) -> int:
        return prod(self.node.shape) * prod(self.weight[1:])


class Subject:
    """What is known of a network at one size, without running it.

    Attributes:
        model: the user's module, never touched; None for an exported program, whose modules can't be changed.
        inputs: whole shapes of its inputs.
        dtype: of all of them.
        graph: operators as the user's Python runs them.
    """

    def __init__(self, model: nn.Module | ExportedProgram, inputs: Shapes, dtype: torch.dtype):
        self.captured_from = model
        self.model = model if isinstance(model, nn.Module) else None
        self.inputs = inputs
        self.dtype = dtype
        self.graph: RowGraph = captured(model, inputs, dtype, fold=False)
        self.nodes = self.graph.nodes
        self.widths: Any = None
        self.consumers = [[self.nodes[c] for c, _ in readers] for readers in self.graph.consumers()]

    @cached_property
    def folded(self) -> RowGraph:
        """The graph as it is streamed."""
        return captured(self.captured_from, self.inputs, self.dtype)

    @property
    def image(self) -> Node:
        """The first input that has rows."""
        return next(self.nodes[i] for i in self.graph.inputs if self.nodes[i].rows)

    @property
    def height(self) -> int:
        return self.image.height

    @property
    def width(self) -> int:
        return self.image.columns.count if self.image.columns else 0

    @cached_property
    def convs(self) -> list[Conv]:
        """Convolutions over rows, and transposed ones, in order."""
        return [
            Conv(node, self.nodes[node.inputs[0]], self.nodes[node.inputs[1]].shape)
            for node in self.nodes
            if node.operator in ("conv2d", "conv_transpose2d")
            and node.rows
            and len(node.shape) == 4
            and not node.unsupported
        ]

    @cached_property
    def conv_of(self) -> dict[int, Conv]:
        return {conv.node.index: conv for conv in self.convs}

    @cached_property
    def macs(self) -> int:
        """Multiply-accumulates of the whole network."""
        return sum(self.macs_of(node) for node in self.nodes)

    def macs_of(self, node: Node) -> int:
        if node.operator in ("conv2d", "linear") and len(node.inputs) > 1:
            return prod(node.shape) * prod(self.nodes[node.inputs[1]].shape[1:])
        if node.operator == "conv_transpose2d" and len(node.inputs) > 1:
            return prod(self.nodes[node.inputs[0]].shape) * prod(self.nodes[node.inputs[1]].shape[1:])
        return node.macs

    def moved(self, node: Node) -> int:
        """Bytes that an operator reads and writes, weights included."""
        return 0 if self.free(node) else node.nbytes + sum(self.nodes[i].nbytes for i in node.inputs)

    def free(self, node: Node) -> bool:
        """Nothing is computed: an input, a constant, a view."""
        return node.operator in ("input", "constant", "alias") or node.view_of is not None

    def is_output(self, node: Node) -> bool:
        return node.index in self.graph.outputs

    def from_image(self, node: Node) -> bool:
        """Whether a value is the image, or the image channel by channel."""
        kinds = ELEMENTWISE | {"alias", "pad", "copy", "split", "slice", "resize"}
        return self.before(node, kinds).operator == "input"

    def to_output(self, node: Node) -> bool:
        """Whether nothing but element-wise operators, crops, resizes or pooling lies between it and the outputs."""
        kinds = ELEMENTWISE | {"alias", "pad", "copy", "split", "slice", "resize", "softmax", "pixel_shuffle"}
        kinds |= {"adaptive_avg_pool", "avg_pool", "mean", "view", "dropout", "log_softmax"}
        readers = self.consumers[node.index]
        return self.is_output(node) or any(r.operator in kinds and self.to_output(r) for r in readers)

    def scale(self, node: Node) -> float:
        """Rows of the image for each row of the value; 0 where it has none."""
        return self.height / node.height if node.height else 0.0

    def past(self, node: Node, kinds: Iterable[str]) -> Node:
        """The value after `node` once operators of these kinds that alone read it have been passed."""
        kinds = frozenset(kinds)
        while True:
            readers = self.consumers[node.index]
            if len(readers) != 1 or readers[0].operator not in kinds or self.is_output(node):
                return node
            node = readers[0]

    def before(self, node: Node, kinds: Iterable[str]) -> Node:
        """The value before `node` once operators of these kinds have been passed backwards."""
        kinds = frozenset(kinds)
        while node.operator in kinds and node.inputs:
            node = self.nodes[node.inputs[0]]
        return node

    def nodes_under(self, path: str) -> list[Node]:
        """Operators that the module at `path`, or one inside it, called."""
        return [n for n in self.nodes if n.operator not in ("input", "constant") and within(n.module, path)]

    def module(self, path: str) -> nn.Module | None:
        if self.model is None:
            return None
        try:
            return self.model.get_submodule(path)
        except AttributeError:
            return None

    def why_no_module(self, node: Node, kind: type[nn.Module] | tuple[type[nn.Module], ...]) -> str:
        """Why the call can't be changed as a module of that kind; empty where it can."""
        if self.model is None:
            return "an exported program has no modules to change"
        if not isinstance(self.module(node.module), kind):
            name = node.target.split(".")[1] if node.target else node.operator
            return f"{name} is called as a function, not as a module"
        return ""

    def source_files(self, path: str) -> list[Path]:
        """The files of the classes of the module at `path` and of those around it, innermost first."""
        found: list[Path] = []
        if self.model is None:
            return found
        parts = path.split(".") if path else []
        for depth in range(len(parts), -1, -1):
            module = self.module(".".join(parts[:depth]))
            for kind in type(module).__mro__ if module is not None else ():
                if kind.__module__.partition(".")[0] in ("torch", "builtins"):
                    continue
                try:
                    name = inspect.getsourcefile(kind)
                except (TypeError, OSError):
                    continue
                if name and os.path.isfile(name) and Path(name) not in found:
                    found.append(Path(name))
        return found

    def class_line(self, path: str) -> str | None:
        """Where the class of the module at `path`, or of the next around it outside torch, begins: ``"net.py:12"``."""
        if self.model is None:
            return None
        parts = path.split(".") if path else []
        for depth in range(len(parts), -1, -1):
            kind = type(self.module(".".join(parts[:depth])))
            if kind.__module__.partition(".")[0] not in ("torch", "builtins"):
                try:
                    return f"{os.path.basename(inspect.getfile(kind))}:{inspect.getsourcelines(kind)[1]}"
                except (TypeError, OSError):
                    continue
        return None


def place_of(paths: Iterable[str]) -> str:
    """The module to name for several: the innermost around all, or the first where that would say too little."""
    paths = list(paths)
    around = common_path(paths)
    return around if "." in around or len(set(paths)) == 1 else paths[0]


def common_path(paths: Iterable[str]) -> str:
    """The innermost module around all of these."""
    split = [path.split(".") if path else [] for path in paths]
    shared = []
    for parts in zip(*split, strict=False):
        if len(set(parts)) > 1:
            break
        shared.append(parts[0])
    return ".".join(shared)


def within(path: str, around: str) -> bool:
    """Whether the module at `path` is the one at `around`, or inside it."""
    return not around or path == around or path.startswith(around + ".")
