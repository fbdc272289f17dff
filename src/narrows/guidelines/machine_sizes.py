"""G15: widths and sizes that the machine dislikes."""

from __future__ import annotations

from collections.abc import Iterator

from narrows.guidelines.core.guideline import Experiment, Guideline, NotTriable, Suspicion
from narrows.guidelines.core.subject import Subject, place_of
from narrows.guidelines.core.widths import widths_of

BLOCK = 8
SHARE = 0.05
PAGE = 4096
_WIDER = 32


def find(subject: Subject) -> Iterator[Suspicion]:
    yield from _odd_widths(subject)
    yield from _aliased_rows(subject)


def _odd_widths(subject: Subject) -> Iterator[Suspicion]:
    widths = widths_of(subject)
    odd = [
        conv
        for conv in subject.convs
        if conv.channels_out > BLOCK and conv.channels_out % BLOCK and not subject.to_output(conv.node)
    ]
    share = sum(conv.macs for conv in odd) / max(subject.macs, 1)
    if not odd or share < SHARE:
        return
    groups = {
        group: conv for conv in odd if (group := widths.group(conv.node)) is not None and not widths.why_fixed([group])
    }
    rounded = {group: -(-widths.count(group) // BLOCK) * BLOCK for group in groups}
    seen = sorted({conv.channels_out for conv in odd})
    pairs = ", ".join(f"{old} to {-(-old // BLOCK) * BLOCK}" for old in seen[:4])
    experiment = None
    if rounded:
        title = f"widths rounded up ({pairs}{', …' if len(seen) > 4 else ''})"
        experiment = Experiment(title, widths.change(rounded), macs_ratio=widths.macs(rounded) / max(subject.macs, 1))
    yield Suspicion(
        place_of(conv.node.module for conv in odd),
        odd[0].node.source,
        f"{len(odd)} convolution{'s' * (len(odd) > 1)} to {', '.join(map(str, seen[:4]))} channels, no multiple of "
        f"{BLOCK}",
        f"use multiples of {BLOCK} (of 16 where the processor's vectors hold 16 values)",
        share,
        experiment,
        "" if rounded else widths.why_fixed(widths.group(conv.node) for conv in odd),
        places=len(odd),
        modules=tuple(conv.node.module for conv in odd),
    )


def _aliased_rows(subject: Subject) -> Iterator[Suspicion]:
    stride = subject.width * subject.image.itemsize
    if not subject.width or stride % PAGE:
        return

    def wider(height: int, width: int) -> tuple[int, int]:
        if width != subject.width:
            raise NotTriable("rows of this width don't fit into the memory or time of an experiment")
        return height, width + _WIDER

    yield Suspicion(
        "",
        None,
        f"rows of {subject.width} columns lie {stride:,} bytes apart, a multiple of {PAGE:,}",
        "pad the image by a few columns, or cut it otherwise",
        0.0,
        Experiment(f"{_WIDER} columns more, for each pixel,", lambda model: None, size=wider),
        "",
    )


GUIDELINE = Guideline(
    key="G15",
    name="Widths and sizes that the machine dislikes",
    statement="Convolutions are computed in blocks of channels, and rows that lie a multiple of a page apart fall "
    "into the same places of the "
    "cache: some widths and sizes cost more than their operations.",
    source="oneDNN's blocked layouts (8 or 16 channels); cache associativity. How much it costs is for each machine "
    "to say.",
    finds=f"Convolutions to more than {BLOCK} channels that are no multiple of {BLOCK} and together make at least "
    f"{100 * SHARE:g} % of the "
    f"operations; images whose rows lie a multiple of {PAGE:,} bytes apart.",
    tries=f"Widths rounded up to multiples of {BLOCK}, whose further operations are stated; the image {_WIDER} "
    "columns wider, compared by time for each pixel.",
    find=find,
)
