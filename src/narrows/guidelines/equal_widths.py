"""G1: equal widths of input and output."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from narrows.guidelines.core.guideline import Experiment, Guideline, NotTriable, Suspicion
from narrows.guidelines.core.subject import Conv, Subject, place_of
from narrows.guidelines.core.widths import widths_of

RATIO = 4.0
SHARE = 0.02


def find(subject: Subject) -> Iterator[Suspicion]:
    widths = widths_of(subject)
    alike: dict[tuple[int, int, int], list[Conv]] = {}
    for conv in subject.convs:
        pair = (conv.channels_in, conv.channels_out)
        forced = subject.from_image(conv.x) or subject.to_output(conv.node)
        if conv.node.operator == "conv2d" and conv.groups == 1 and not forced and _unequal(conv):
            alike.setdefault((min(pair), max(pair), conv.node.height), []).append(conv)
    for (narrow, wide, _), convs in alike.items():
        share = sum(conv.macs for conv in convs) / max(subject.macs, 1)
        if share < SHARE:
            continue
        groups = [group for conv in convs for group in (widths.group(conv.x), widths.group(conv.node))]
        experiment, why = None, widths.why_fixed(groups)
        if not why:
            try:
                solved = widths.solve(_all_of(groups), wide)
                (width,) = set(solved.widths.values())
                title = f"equal width ({width} to {width})"
                experiment = Experiment(title, widths.change(solved.widths), macs_ratio=solved.ratio)
            except NotTriable as error:
                why = str(error)
        first = convs[0]
        fact = f"{first.channels_in} to {first.channels_out} channels"
        if len(convs) > 1:
            fact += f" (and {len(convs) - 1} more between {narrow} and {wide} there)"
        yield Suspicion(
            place_of(conv.node.module for conv in convs),
            first.node.source,
            fact,
            "give input and output of this layer like widths, with the same operations in all",
            share,
            experiment,
            why,
            places=len(convs),
            modules=tuple(conv.node.module for conv in convs),
        )


def _unequal(conv: Conv) -> bool:
    """In channels, and in bytes as well: where the sides halve, four times the channels are as much memory."""
    return all(
        max(pair) >= RATIO * min(pair)
        for pair in ((conv.channels_in, conv.channels_out), (conv.x.nbytes, conv.node.nbytes))
    )


def _all_of(groups: list[int | None]) -> Callable[[int], dict[int, int]]:
    chosen = [group for group in groups if group is not None]
    return lambda width: dict.fromkeys(chosen, width)


GUIDELINE = Guideline(
    key="G1",
    name="Equal widths",
    statement="At the same number of operations, a convolution moves least memory where it has as many input as "
    "output channels.",
    source="Ma et al., ShuffleNet V2, ECCV 2018 (arXiv 1807.11164), guideline 1",
    figures="With widths 1:1, 1:2, 1:6 and 1:12 at the same operations: 1480, 1296, 876, 748 batches/s on a GPU; 76.2, "
    "72.9, 69.1, 57.6 images/s on an ARM core (table 1, x1).",
    finds=f"Convolutions without groups that have {RATIO:g} times as many input as output channels or the other way "
    "round, and read so many times as many values as they write (four times the channels where the sides halve are as "
    "much memory), where the "
    "image or the output doesn't fix one of their widths, and which together make at least "
    f"{100 * SHARE:g} % of the operations. Layers with the same two widths at the same resolution are one finding.",
    tries="Both widths, and every width tied to them, are set to one, chosen so that the whole network's operations "
    "stay "
    "the same within 5 %.",
    find=find,
)
