"""Which widths of a network belong together, what it costs with others, and how to give it others.

Each convolution makes a width of its own. Values that are added, multiplied or normalised channel by channel share
their width; values joined side by side put theirs in a row. A width that something fixes (the image's channels, the
output's, a reshape, a parameter with one entry for each channel) can't be changed, and says why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import gcd, prod

from torch import nn

from narrows.guidelines.core.guideline import NotTriable
from narrows.guidelines.core.subject import ELEMENTWISE, Subject
from narrows.guidelines.core.surgery import resized
from narrows.rowgraph.graph import Node

__all__ = ["Solved", "Widths", "widths_of"]

# Operators that keep the channels of their first input as they are.
_CHANNELWISE = """
    alias clone copy dropout max_pool avg_pool adaptive_avg_pool adaptive_max_pool resize pad mean sum amax amin
    instance_norm softmax log_softmax view
"""
_KEEPS = ELEMENTWISE | frozenset(_CHANNELWISE.split())
_NORMS = {"batch_norm": nn.BatchNorm2d, "instance_norm": nn.InstanceNorm2d, "prelu": nn.PReLU}
_LAYERS = {"conv2d": nn.Conv2d, "conv_transpose2d": nn.ConvTranspose2d, "linear": nn.Linear}
_OPERATIONS_WITHIN = 0.05


@dataclass(frozen=True)
class Solved:
    """New widths with about the operations of the old: `widths` by group, `ratio` of multiply-accumulates."""

    widths: dict[int, int]
    ratio: float


@dataclass
class _Layer:
    """A module whose weights have a side for each width: the atoms of its input and of its output."""

    path: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    groups: int
    depthwise: bool


class Widths:
    """The widths of a subject, as groups that change together."""

    def __init__(self, subject: Subject):
        self.subject = subject
        self._parent: list[int] = []
        self._count: list[int] = []
        self._frozen: list[str] = []
        self._divisor: list[int] = []
        self._segments: dict[int, tuple[int, ...]] = {}
        self._layers: list[tuple[Node, _Layer]] = []
        self._norms: dict[str, tuple[int, ...]] = {}
        for node in subject.nodes:
            self._visit(node)
        for index in subject.graph.outputs:
            self._freeze(self._segments.get(index, ()), "it is the width of the output")
        first: dict[str, _Layer] = {}
        for _, layer in self._layers:
            known = first.setdefault(layer.path, layer)
            if known is not layer:
                self._unify(known.inputs, layer.inputs)
                self._unify(known.outputs, layer.outputs)

    # -- groups -------------------------------------------------------------------------------------------------------

    def group(self, node: Node) -> int | None:
        """The group of a value's width; None where it is several side by side."""
        segments = self._segments.get(node.index, ())
        return self._find(segments[0]) if len(segments) == 1 else None

    def count(self, group: int) -> int:
        return self._count[self._find(group)]

    def why_fixed(self, groups: Iterable[int | None]) -> str:
        """Why one of these widths can't be changed; empty where all can."""
        for group in groups:
            if group is None:
                return "several values are joined to this width"
            if reason := self._frozen[self._find(group)]:
                return reason
        return ""

    def why_not_a_layer(self, node: Node) -> str:
        """Why a call isn't a layer whose weights can be made anew; empty where it is one."""
        if node.index in self._layer_of:
            return ""
        return self.subject.why_no_module(node, _LAYERS.get(node.operator, nn.Module)) or "its weight is computed"

    def free_groups(self) -> list[int]:
        """Every group that can be changed."""
        found = {self._find(atom) for _, layer in self._layers for atom in (*layer.inputs, *layer.outputs)}
        return sorted(group for group in found if not self._frozen[group])

    # -- other widths -------------------------------------------------------------------------------------------------

    def macs(self, widths: Mapping[int, int], dense: frozenset[str] = frozenset()) -> int:
        """Multiply-accumulates of the network with these widths; layers at paths in `dense` lose their groups."""
        return sum(self._macs(node, widths, dense) for node in self.subject.nodes)

    def _macs(self, node: Node, widths: Mapping[int, int], dense: frozenset[str]) -> int:
        base = self.subject.macs_of(node)
        layer = self._layer_of.get(node.index)
        if not base or layer is None:
            return base
        made = self._ratio(layer.outputs, widths)
        if layer.depthwise and layer.path not in dense:
            return round(base * made)
        factor = layer.groups if layer.path in dense else 1
        return round(base * factor * made * self._ratio(layer.inputs, widths))

    @property
    def _layer_of(self) -> dict[int, _Layer]:
        if not hasattr(self, "_by_node"):
            self._by_node = {node.index: layer for node, layer in self._layers}
        return self._by_node

    def bytes_of(self, node: Node, widths: Mapping[int, int]) -> float:
        """Bytes of a value with these widths."""
        segments = self._segments.get(node.index)
        return node.nbytes * self._ratio(segments, widths) if segments else float(node.nbytes)

    def _ratio(self, atoms: tuple[int, ...], widths: Mapping[int, int]) -> float:
        held = sum(self.count(atom) for atom in atoms)
        return sum(widths.get(self._find(atom), self.count(atom)) for atom in atoms) / held if held else 1.0

    def solve(
        self, make: Callable[[int], Mapping[int, int]], limit: int, dense: frozenset[str] = frozenset()
    ) -> Solved:
        """The widths `make(w)` whose operations are nearest to the network's own, w from 1 to `limit`.

        A multiple of 8 is taken where one is within 5 % of the operations, else of 4, else any: a width that the
        machine dislikes would speak against the change for another reason than the one tried.

        Raises:
            NotTriable: no width comes within 5 %.
        """
        target = self.macs({}, frozenset())
        steps = sorted({1, *range(1, min(limit, 64)), *range(64, limit + 1, 4)})
        best: dict[int, tuple[float, int]] = {}
        for w in steps:
            widths = make(w)
            if any(count < 1 or (not dense and count % self._divisor[self._find(g)]) for g, count in widths.items()):
                continue
            off = abs(self.macs(widths, dense) / max(target, 1) - 1)
            step = 8 if w % 8 == 0 else 4 if w % 4 == 0 else 1
            if step not in best or off < best[step][0]:
                best[step] = (off, w)
        for step in (8, 4, 1):
            if step in best and best[step][0] <= _OPERATIONS_WITHIN:
                widths = {self._find(group): count for group, count in make(best[step][1]).items()}
                return Solved(widths, self.macs(widths, dense) / max(target, 1))
        raise NotTriable("no width has the same operations within 5 %")

    def change(self, widths: Mapping[int, int], dense: frozenset[str] = frozenset()) -> Callable[[nn.Module], None]:
        """A function that gives a copy of the user's network these widths, with new random weights where they change.

        Layers at paths in `dense` lose their groups.
        """
        layers = {layer.path: layer for _, layer in self._layers}

        def total(atoms: tuple[int, ...]) -> int:
            return sum(widths.get(self._find(atom), self.count(atom)) for atom in atoms)

        def apply(model: nn.Module) -> None:
            for path, layer in layers.items():
                if path in dense or self._touched((*layer.inputs, *layer.outputs), widths):
                    made = total(layer.outputs)
                    groups = 1 if path in dense else made if layer.depthwise else layer.groups
                    resized(model.get_submodule(path), total(layer.inputs), made, groups)
            for path, atoms in self._norms.items():
                if self._touched(atoms, widths):
                    resized(model.get_submodule(path), total(atoms), total(atoms), 1)

        return apply

    def _touched(self, atoms: tuple[int, ...], widths: Mapping[int, int]) -> bool:
        return any(self._find(atom) in widths for atom in atoms)

    # -- reading the graph --------------------------------------------------------------------------------------------

    def _visit(self, node: Node) -> None:
        if node.operator == "constant" or len(node.shape) < 2:
            return
        if node.operator == "input":
            self._segments[node.index] = (self._atom(node.shape[1], "it is the width of the image"),)
        elif node.operator in _LAYERS and len(node.inputs) > 1:
            self._layer(node)
        elif node.operator == "cat" and self._joins_channels(node):
            parts = [self._of(index) for index in node.inputs]
            self._segments[node.index] = tuple(atom for part in parts for atom in part)
        elif node.operator in _KEEPS or node.operator == "cat" or self._crops(node):
            self._keep(node)
        else:
            for index in node.inputs:
                self._freeze(self._of(index), f"{_name(node)} fixes it")
            self._segments[node.index] = (self._atom(node.shape[1], f"{_name(node)} fixes it"),)

    def _crops(self, node: Node) -> bool:
        """A cut along rows or columns."""
        source = self.subject.nodes[node.inputs[0]] if node.inputs else node
        return node.operator in ("split", "slice", "window") and source.shape[:2] == node.shape[:2]

    def _joins_channels(self, node: Node) -> bool:
        return sum(self.subject.nodes[i].shape[1] for i in node.inputs) == node.shape[1]

    def _layer(self, node: Node) -> None:
        subject = self.subject
        x, weight = subject.nodes[node.inputs[0]], subject.nodes[node.inputs[1]]
        given = self._of(x.index)
        why = subject.why_no_module(node, _LAYERS[node.operator])
        if not why and weight.operator != "constant":
            why = f"the weight of '{node.module}' is computed"
        if node.operator == "linear" and (len(node.shape) != 2 or x.shape[1] != weight.shape[1]):
            why = f"{_name(node)} fixes it"
        module = subject.module(node.module)
        groups = getattr(module, "groups", 1) if not why else 1
        if why:
            self._freeze(given, why)
            self._segments[node.index] = (self._atom(node.shape[1], why),)
            return
        depthwise = groups > 1 and groups == x.shape[1] == node.shape[1]
        if depthwise:
            made = given
        else:
            made = (self._atom(node.shape[1]),)
            if groups > 1 and (len(given) > 1 or node.operator != "conv2d"):
                self._freeze((*given, *made), f"the groups of '{node.module}' fix it")
            for atom in (*given, *made) if groups > 1 else ():
                self._divide(atom, groups)
        self._segments[node.index] = made
        self._layers.append((node, _Layer(node.module, given, made, groups, depthwise)))

    def _keep(self, node: Node) -> None:
        """Channel by channel: every input with as many channels shares the width."""
        nodes, channels = self.subject.nodes, node.shape[1]
        tied: list[tuple[int, ...]] = []
        for index in node.inputs:
            value = nodes[index]
            if index in self._segments:
                if len(value.shape) >= 2 and value.shape[1] == channels:
                    tied.append(self._segments[index])
                elif value.shape[1:2] != (1,) and value.shape:
                    self._freeze(self._segments[index], f"{_name(node)} fixes it")
        if not tied:
            self._segments[node.index] = (self._atom(channels, f"{_name(node)} fixes it"),)
            return
        if node.operator == "view" and len(node.shape) > 2 and node.shape[2:] != nodes[node.inputs[0]].shape[2:]:
            self._freeze(tied[0], f"{_name(node)} fixes it")
        for other in tied[1:]:
            self._unify(tied[0], other)
        own = [i for i in node.inputs if i not in self._segments and max((0, *nodes[i].shape)) == channels > 1]
        if own:
            kind = _NORMS.get(node.operator)
            if kind is None or self.subject.why_no_module(node, kind):
                self._freeze(tied[0], f"a parameter of '{node.module}' has an entry for each channel")
            else:
                if node.module in self._norms:
                    self._unify(self._norms[node.module], tied[0])
                self._norms[node.module] = tied[0]
        self._segments[node.index] = tied[0]

    # -- union and find -----------------------------------------------------------------------------------------------

    def _of(self, index: int) -> tuple[int, ...]:
        if index not in self._segments:
            node = self.subject.nodes[index]
            width = node.shape[1] if len(node.shape) > 1 else prod(node.shape)
            self._segments[index] = (self._atom(width, "a constant of the network has this width"),)
        return self._segments[index]

    def _atom(self, count: int, frozen: str = "") -> int:
        self._parent.append(len(self._parent))
        self._count.append(count)
        self._frozen.append(frozen)
        self._divisor.append(1)
        return len(self._parent) - 1

    def _find(self, atom: int) -> int:
        while self._parent[atom] != atom:
            self._parent[atom] = self._parent[self._parent[atom]]
            atom = self._parent[atom]
        return atom

    def _freeze(self, atoms: Iterable[int], why: str) -> None:
        for atom in atoms:
            root = self._find(atom)
            self._frozen[root] = self._frozen[root] or why

    def _divide(self, atom: int, divisor: int) -> None:
        root = self._find(atom)
        self._divisor[root] = self._divisor[root] * divisor // gcd(self._divisor[root], divisor)

    def _unify(self, left: tuple[int, ...], right: tuple[int, ...]) -> None:
        if [self.count(a) for a in left] != [self.count(a) for a in right]:
            self._freeze((*left, *right), "values joined differently are added to each other")
            return
        for a, b in zip(left, right, strict=True):
            a, b = self._find(a), self._find(b)
            if a == b:
                continue
            self._parent[b] = a
            self._frozen[a] = self._frozen[a] or self._frozen[b]
            self._divide(a, self._divisor[b])


def widths_of(subject: Subject) -> Widths:
    """The widths of a subject, read once."""
    if subject.widths is None:
        subject.widths = Widths(subject)
    found: Widths = subject.widths
    return found


def _name(node: Node) -> str:
    return f"{node.operator} at {node.source}" if node.source else node.operator
