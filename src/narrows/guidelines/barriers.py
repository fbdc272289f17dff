"""G14: barriers that cost a pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor, nn

from narrows.guidelines.core.gates import gates_of
from narrows.guidelines.core.guideline import Experiment, Guideline, Suspicion
from narrows.guidelines.core.subject import Subject, place_of
from narrows.guidelines.core.surgery import with_replacements
from narrows.rowgraph.graph import Node

_NORMS = ("instance_norm", "group_norm", "layer_norm")
_CHANGES = {
    "norm": "use batch norm, whose statistics are known before the image comes",
    "gate": "weigh channels by the mean of the rows so far (RunningSqueezeExcitation of "
    "narrows.layers.squeeze_excitation, to be trained so), or pixels by a map (SpatialAttention)",
    "other": "attend or pool over a window instead of all pixels",
}


def find(subject: Subject) -> Iterator[Suspicion]:
    inner = [node for node in subject.nodes if node.barrier and _comes_back(subject, node)]
    by_kind: dict[str, list[Node]] = {}
    gates = {gate.barrier.index for gate in gates_of(subject)}
    for node in inner:
        by_kind.setdefault(node.operator, []).append(node)
    for kind, nodes in by_kind.items():
        experiment, why = _experiment(subject, kind, nodes)
        times = f"{len(nodes)} times {kind.replace('_', ' ')}" if len(nodes) > 1 else kind.replace("_", " ")
        passes = len(_levels(subject, nodes))
        yield Suspicion(
            place_of(node.module for node in nodes),
            nodes[0].source,
            f"{times} ({nodes[0].barrier}): {passes} further pass{'es' * (passes > 1)} over all rows, and the "
            "network can't be streamed",
            _CHANGES["norm" if kind in _NORMS else "gate" if any(node.index in gates for node in nodes) else "other"],
            len(nodes) / max(len(subject.nodes), 1),
            experiment,
            why,
            certain=True,
            places=len(nodes),
            modules=tuple(node.module for node in nodes),
        )


def _comes_back(subject: Subject, node: Node) -> bool:
    """Whether rows are made from it again: a pooling at the end of a classifier costs no pass."""
    todo, seen = [node], set()
    while todo:
        value = todo.pop()
        if value.rows and (value is not node or node.rows):
            return True
        for reader in subject.consumers[value.index]:
            if reader.index not in seen:
                seen.add(reader.index)
                todo.append(reader)
    return False


def _levels(subject: Subject, nodes: list[Node]) -> list[list[Node]]:
    """The barriers by how many of them, one after the other, they wait for: each level is a pass."""
    chosen = {node.index for node in nodes}
    depth: dict[int, int] = {}
    levels: list[list[Node]] = []
    for node in subject.nodes:
        before = max((depth[i] for i in node.inputs), default=0)
        depth[node.index] = before + (node.index in chosen)
        if node.index in chosen:
            levels += [[]] if before == len(levels) else []
            levels[before].append(node)
    return levels


def _batch_norm(channels: int, old: nn.Module) -> nn.Module:
    return nn.BatchNorm2d(channels)


def _experiment(subject: Subject, kind: str, nodes: list[Node]) -> tuple[Experiment | None, str]:
    make: dict[str, Callable[[nn.Module], nn.Module]] = {}
    if kind in _NORMS:
        for node in nodes:
            if len(node.shape) != 4 or kind == "layer_norm":
                return None, f"there is no batch norm in place of a {kind.replace('_', ' ')} of this shape"
            if why := subject.why_no_module(node, nn.Module):
                return None, why
            if not isinstance(subject.module(node.module), (nn.InstanceNorm2d, nn.GroupNorm)):
                return None, f"{kind.replace('_', ' ')} is called as a function, not as a module"
            make[node.module] = partial(_batch_norm, node.shape[1])
        again = tuple({n.module: make[n.module] for n in level} for level in _levels(subject, nodes))
        title = "batch norm in its place" if len(nodes) == 1 else "batch norms in their place"
        return Experiment(title, with_replacements(make), streams=True, again=again), ""
    gates = {gate.barrier.index: gate for gate in gates_of(subject)}
    modules: dict[int, str] = {}
    for node in nodes:
        gate = gates.get(node.index)
        if gate is None:
            return None, f"nothing that streams does the same as {kind.replace('_', ' ')} over all rows"
        if gate.module is None:
            return None, gate.why
        make[gate.module] = lambda old: nn.Identity()
        modules[node.index] = gate.module
    macs = sum(subject.macs_of(n) for node in nodes for n in gates[node.index].between)
    title = "the network without them" if len(nodes) > 1 else "the network without it"
    ratio = 1 - macs / max(subject.macs, 1)
    again = tuple({modules[n.index]: _scaled for n in level} for level in _levels(subject, nodes))
    return Experiment(title, with_replacements(make), macs_ratio=ratio, streams=True, again=again), ""


class _Scale(nn.Module):
    """What is left of a gate once its weights are known."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale


def _scaled(old: nn.Module) -> nn.Module:
    return _Scale()


GUIDELINE = Guideline(
    key="G14",
    name="Barriers",
    statement="An operator that needs every row before it can make its first (statistics or pooling over all "
    "pixels, attention over all of them) "
    "costs a further pass over the image, and ends streaming in one.",
    source="this project's own: it follows from row needs (see how it works)",
    finds="Barriers from which rows are made again. The pooling before a classifier's last layers is none. Those of "
    "one kind are one finding.",
    tries="Batch norm in place of instance and group norm; channel attention left out. The pass is a fact and the "
    "finding stands whatever the time. What the further passes would take is measured, streamed: for each, the rows "
    "are swept once more as far as its barriers, with the results of those before in their places. What a run in "
    "strips holds without the barriers is counted.",
    find=find,
)
