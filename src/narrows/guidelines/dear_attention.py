"""G11: attention that costs more time than its operations suggest."""

from __future__ import annotations

from collections.abc import Iterator

from narrows.guidelines.core.attentions import Attention, attentions_of, passed_through
from narrows.guidelines.core.guideline import Experiment, Guideline, Suspicion
from narrows.guidelines.core.subject import Subject, place_of
from narrows.guidelines.core.surgery import with_replacements

SHARE = 0.02
_NAMES = {"channel": "channel attention", "spatial": "spatial attention", "self": "self-attention"}
_CHANGES = {
    "channel": "keep attention where it is cheap: at low resolution, on few channels, in few stages; a hard sigmoid is "
    "cheaper",
    "spatial": "keep the map where it is cheap: at low resolution, in few stages",
    "self": "attend where positions are few: at low resolution, within smaller windows, in few stages",
}


def find(subject: Subject) -> Iterator[Suspicion]:
    by_kind: dict[str, list[Attention]] = {}
    for attention in attentions_of(subject):
        by_kind.setdefault(attention.kind, []).append(attention)
    moved_in_all = max(sum(subject.moved(n) for n in subject.nodes), 1)
    for kind, places in by_kind.items():
        nodes = {node.index: node for place in places for node in place.nodes}.values()
        macs = sum(subject.macs_of(node) for node in nodes) / max(subject.macs, 1)
        moved = sum(subject.moved(node) for node in nodes) / moved_in_all
        if max(macs, moved) < SHARE:
            continue
        paths = {place.module for place in places if place.module is not None}
        why = next((place.why for place in places if place.why), "")
        title = "without them the network" if len(places) > 1 else "without it the network"
        change = with_replacements(dict.fromkeys(sorted(paths), passed_through))
        yield Suspicion(
            place_of(place.module or place.node.module for place in places),
            places[0].node.source,
            f"{f'{len(places)} modules of {_NAMES[kind]}' if len(places) > 1 else _NAMES[kind]} with "
            f"{100 * macs:.2g} % of the operations",
            _CHANGES[kind],
            moved,
            None if why else Experiment(title, change, macs_ratio=1 - macs),
            why,
            places=len(places),
            modules=tuple(place.module or place.node.module for place in places),
        )


GUIDELINE = Guideline(
    key="G11",
    name="Attention dearer than its operations",
    statement="Attention moves much for what it computes: channel attention reads its whole input before it can scale "
    "it, self-attention holds a score for each pair of positions. It can take far more time than its operations "
    "suggest.",
    source="Ma et al., ShuffleNet V2, ECCV 2018 (arXiv 1807.11164), table 8",
    figures="ShuffleNet V2 2x without and with squeeze-and-excitation, 591 and 597 MFLOPs: 217 and 161 batches/s on "
    "a GPU, 6.7 and 5.6 "
    "images/s on an ARM core.",
    finds="Products that scale channels by what a statistic of all pixels gave (squeeze-and-excitation and its "
    "kin), or pixels by a map of one channel; softmax between two products of matrices, and PyTorch's fused attention, "
    f"over rows, windows or all pixels. Of each kind, where they make {100 * SHARE:g} % of the operations or move as "
    "much of the bytes.",
    tries="All of one kind left out. The finding stands if that saves more time, beyond the noise, than operations.",
    find=find,
)
