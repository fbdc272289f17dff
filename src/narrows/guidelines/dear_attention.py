"""G11: attention that costs more time than its operations suggest."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from narrows.guidelines.core.gates import gates_of
from narrows.guidelines.core.guideline import Experiment, Guideline, Suspicion
from narrows.guidelines.core.subject import Subject, place_of
from narrows.guidelines.core.surgery import with_replacements


def find(subject: Subject) -> Iterator[Suspicion]:
    gates = gates_of(subject)
    if not gates:
        return
    nodes = {node.index: node for gate in gates for node in gate.between}
    macs = sum(subject.macs_of(node) for node in nodes.values())
    paths = [gate.module for gate in gates if gate.module is not None]
    why = next((gate.why for gate in gates if gate.why), "")
    moved = sum(subject.moved(gate.product) + subject.moved(gate.barrier) for gate in gates)
    ratio = 1 - macs / max(subject.macs, 1)
    places = f"{len(gates)} channel attention modules" if len(gates) > 1 else "channel attention"
    title = "without them the network" if len(gates) > 1 else "without it the network"
    yield Suspicion(
        place_of(gate.module or gate.product.module for gate in gates),
        gates[0].product.source,
        f"{places} with {100 * macs / max(subject.macs, 1):.2g} % of the operations",
        "keep attention where it is cheap: at low resolution, on few channels, in few stages; a hard sigmoid is "
        "cheaper",
        moved / max(sum(subject.moved(n) for n in subject.nodes), 1),
        None
        if why
        else Experiment(title, with_replacements({p: lambda old: nn.Identity() for p in paths}), macs_ratio=ratio),
        why,
        places=len(gates),
        modules=tuple(gate.module or gate.product.module for gate in gates),
    )


GUIDELINE = Guideline(
    key="G11",
    name="Attention dearer than its operations",
    statement="Channel attention reads its whole input before it can scale it: it can take far more time than its "
    "operations suggest.",
    source="Ma et al., ShuffleNet V2, ECCV 2018 (arXiv 1807.11164), table 8",
    figures="ShuffleNet V2 2x without and with squeeze-and-excitation, 591 and 597 MFLOPs: 217 and 161 batches/s on "
    "a GPU, 6.7 and 5.6 "
    "images/s on an ARM core.",
    finds="Products that scale channels by what a statistic of all pixels gave (squeeze-and-excitation and its "
    "kin). Attention over "
    "positions isn't looked at.",
    tries="All of them left out. The finding stands if that saves more time, beyond the noise, than operations.",
    find=find,
)
