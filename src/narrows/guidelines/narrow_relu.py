"""G6: narrow layers that end in ReLU."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from narrows.guidelines.core.guideline import Experiment, Guideline, Suspicion
from narrows.guidelines.core.subject import RECTIFIERS, Conv, Subject, place_of
from narrows.guidelines.core.surgery import with_replacements
from narrows.rowgraph.graph import Node

NARROW = 8


def find(subject: Subject) -> Iterator[Suspicion]:
    by_width: dict[int, list[tuple[Conv, Node]]] = {}
    for conv in subject.convs:
        end = subject.past(conv.node, {"batch_norm"})
        readers = subject.consumers[end.index]
        if (
            conv.channels_out <= NARROW
            and len(readers) == 1
            and _rectifies(subject, readers[0])
            and not subject.is_output(end)
        ):
            by_width.setdefault(conv.channels_out, []).append((conv, readers[0]))
    for width, found in by_width.items():
        relus = [relu for _, relu in found]
        why = next((w for relu in relus if (w := subject.why_no_module(relu, (nn.ReLU, nn.ReLU6)))), "")
        shared = {relu.module for relu in relus if sum(n.module == relu.module for n in subject.nodes) > 1}
        if not why and shared:
            why = f"'{min(shared)}' is called in several places"
        linear = with_replacements({relu.module: lambda old: nn.Identity() for relu in relus})
        more = f" (and {len(found) - 1} more as wide)" if len(found) > 1 else ""
        yield Suspicion(
            place_of(conv.node.module for conv, _ in found),
            relus[0].source,
            f"ReLU on {width} channel{'s' * (width > 1)}{more}",
            "leave out the ReLU here (a linear bottleneck), or widen the layer; narrows.training.DeadUnits shows in "
            "training "
            "whether units die",
            sum(conv.macs for conv, _ in found) / max(subject.macs, 1),
            None if why else Experiment("a linear end", linear),
            why,
            certain=True,
            places=len(found),
            modules=tuple(conv.node.module for conv, _ in found),
        )


def _rectifies(subject: Subject, node: Node) -> bool:
    """PyTorch writes ReLU6 as a hard tangent from 0 to 6: the module tells it from others."""
    if node.operator == "hardtanh":
        return isinstance(subject.module(node.module), nn.ReLU6)
    return node.operator in RECTIFIERS


GUIDELINE = Guideline(
    key="G6",
    name="Narrow layers with ReLU",
    statement="A layer of 8 channels or fewer that ends in ReLU loses what it is given, may die in training, and "
    "takes the model with it: end "
    "it linearly.",
    source="Sandler et al., MobileNetV2, CVPR 2018 (arXiv 1801.04381), linear bottlenecks",
    figures="A random He-initialised ReLU layer of width 2, 4, 8, 16 maps 25, 6.1, 0.4, 0 % of its inputs to zero "
    "in all channels.",
    finds=f"Convolutions to at most {NARROW} channels, with or without batch norm, whose only reader is a ReLU or "
    "ReLU6.",
    tries="The ReLU left out, for what that does to the time. What it does to quality isn't measured: the finding "
    "stands whatever the time.",
    quality="ReLU in narrow bottlenecks destroys information, and linear ones are more accurate",
    find=find,
)
