"""Attention in a network, of every kind: over channels, by a map of one channel, of positions to positions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from narrows.guidelines.core.gates import gates_of
from narrows.guidelines.core.subject import Subject, common_path
from narrows.rowgraph.graph import Node

__all__ = ["Attention", "attentions_of", "maps_of", "passed_through"]

Kind = Literal["channel", "spatial", "self"]
# Over all rows, and within rows or windows of them.
_FUSED = frozenset(("attention", "scaled_dot_product_attention"))
_PRODUCTS = frozenset(("matmul", "einsum", "baddbmm", "bmm"))
_LAYERS = frozenset(("linear", "conv2d", "conv_transpose2d", "addmm"))


@dataclass(frozen=True)
class Attention:
    """One place that attends.

    Attributes:
        kind: what it weighs: channels by a statistic of all pixels, pixels by a map of one channel, or values of
            positions by their likeness to others (self-attention).
        node: the product that applies it, or the softmax, or the fused operator.
        nodes: all that it computes.
        module: the module that is this attention and nothing else; None where it shares its module, with `why`.
    """

    kind: Kind
    node: Node
    nodes: tuple[Node, ...]
    module: str | None
    why: str = ""


def attentions_of(subject: Subject) -> list[Attention]:
    """Every attention of the network, in order."""
    found = [
        Attention("channel", gate.product, (*gate.between, gate.product), gate.module, gate.why)
        for gate in gates_of(subject)
    ]
    for product, weights in maps_of(subject):
        found.append(_placed(subject, "spatial", product, common_path((product.module, weights.module))))
    for node in subject.nodes:
        if node.operator in _FUSED or (node.operator == "softmax" and _between_products(subject, node)):
            found.append(_placed(subject, "self", node, node.module))
    return sorted(found, key=lambda attention: attention.node.index)


def maps_of(subject: Subject) -> list[tuple[Node, Node]]:
    """Products that a map of one channel weighs all channels in, each with its map."""
    found = []
    for node in subject.nodes:
        values = [subject.nodes[i] for i in node.inputs]
        weights = next((v for v in values if v.rows and len(v.shape) == 4 and v.shape[1] == 1 < node.shape[1]), None)
        if node.operator == "mul" and node.rows and len(node.shape) == 4 and weights is not None:
            found.append((node, weights))
    return found


def passed_through(old: nn.Module) -> nn.Module:
    """What leaves the values as they are where `old` attended."""
    return _Passed(isinstance(old, nn.MultiheadAttention))


class _Passed(nn.Module):
    def __init__(self, pair: bool) -> None:
        super().__init__()
        self.pair = pair

    def forward(self, x: Tensor, *_: object, **__: object) -> Tensor | tuple[Tensor, None]:
        return (x, None) if self.pair else x


def _between_products(subject: Subject, node: Node) -> bool:
    """Whether products of matrices make what it reads and read what it makes, with nothing but scales between."""
    plain = {"mul", "div", "add", "sub", "view", "dropout", "copy", "clone", "masked_fill", "where", "alias"}
    before = subject.before(subject.nodes[node.inputs[0]], plain)
    after = subject.past(node, plain)
    return before.operator in _PRODUCTS and any(r.operator in _PRODUCTS for r in subject.consumers[after.index])


def _placed(subject: Subject, kind: Kind, node: Node, path: str) -> Attention:
    nodes = subject.nodes_under(path)
    inside = {n.index for n in nodes}
    constant = {n.index for n in subject.nodes if n.operator == "constant" or _from_weights(subject, n)}
    given = {i for n in nodes for i in n.inputs if i not in inside and i not in constant}
    results = [
        n for n in nodes if subject.is_output(n) or any(c.index not in inside for c in subject.consumers[n.index])
    ]
    why = ""
    if subject.model is None:
        why = "an exported program has no modules to change"
    elif not path or _others(subject, node, nodes):
        where = f"'{path}'" if path else "the network itself"
        why = f"the attention is written into {where} with other layers"
    elif len(given) != 1 or len(results) != 1 or subject.nodes[min(given)].shape != results[0].shape:
        why = f"what '{path}' gives has another shape than what it takes, or there are several"
    own = nodes if path and not _others(subject, node, nodes) else [node]
    return Attention(kind, node, tuple(own), None if why else path, why)


def _from_weights(subject: Subject, node: Node) -> bool:
    return bool(node.inputs) and all(subject.nodes[i].operator == "constant" for i in node.inputs)


def _others(subject: Subject, node: Node, nodes: list[Node]) -> bool:
    """Whether a module holds layers beyond those that lead to the attention and the one that follows it."""
    leads = {node.index}
    for before in reversed(nodes):
        if any(reader.index in leads for reader in subject.consumers[before.index]):
            leads.add(before.index)
    depth: dict[int, int] = {}
    for other in nodes:
        if other.index in leads:
            depth[other.index] = 0
            continue
        depth[other.index] = max((depth.get(i, 0) for i in other.inputs), default=0) + (other.operator in _LAYERS)
    return max(depth.values(), default=0) > 1
