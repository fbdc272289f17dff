"""Channel attention (squeeze-and-excitation and its kin) in a network: statistics of all pixels that scale channels."""

from __future__ import annotations

from dataclasses import dataclass

from narrows.guidelines.core.subject import Subject, common_path
from narrows.rowgraph.graph import Node

__all__ = ["Gate", "gates_of"]


@dataclass(frozen=True)
class Gate:
    """One gate: the product that applies it, the barrier it comes from, what is computed between.

    `module` is the module that is this gate and nothing else; None where it shares its module, with `why`.
    """

    product: Node
    barrier: Node
    between: tuple[Node, ...]
    module: str | None
    why: str = ""


def gates_of(subject: Subject) -> list[Gate]:
    """Products of a value with rows and one without, the latter made from a barrier."""
    found = []
    for node in subject.nodes:
        if node.operator != "mul" or not node.rows:
            continue
        values = [subject.nodes[i] for i in node.inputs]
        scale = next((v for v in values if not v.rows and len(v.shape) == 4 and v.operator != "constant"), None)
        if scale is None or not any(v.rows for v in values):
            continue
        between = _back(subject, scale)
        barrier = next((n for n in between if n.barrier), None)
        if barrier is not None:
            found.append(_gate(subject, node, barrier, between))
    return found


def _back(subject: Subject, scale: Node) -> list[Node]:
    """Values without rows that lead to `scale`, the barrier that they come from included."""
    seen, todo = [], [scale]
    while todo:
        node = todo.pop()
        if node in seen or node.operator == "constant":
            continue
        seen.append(node)
        if not node.barrier:
            todo += [subject.nodes[i] for i in node.inputs if not subject.nodes[i].rows]
    return seen


def _gate(subject: Subject, product: Node, barrier: Node, between: list[Node]) -> Gate:
    nodes = (*between, product)
    path = common_path(n.module for n in nodes)
    others = [n for n in subject.nodes_under(path) if n not in nodes and not subject.free(n)]
    if subject.model is None:
        return Gate(product, barrier, tuple(between), None, "an exported program has no modules to change")
    if not path or others:
        where = f"'{path}'" if path else "the network itself"
        return Gate(product, barrier, tuple(between), None, f"the attention is written into {where} with other layers")
    return Gate(product, barrier, tuple(between), path)
