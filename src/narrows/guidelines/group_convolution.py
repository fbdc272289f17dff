"""G2: group convolution."""

from __future__ import annotations

from collections.abc import Iterator

from narrows.guidelines.core.guideline import Experiment, Guideline, NotTriable, Suspicion
from narrows.guidelines.core.subject import Conv, Subject, place_of
from narrows.guidelines.core.widths import widths_of

SHARE = 0.02


def find(subject: Subject) -> Iterator[Suspicion]:
    alike: dict[tuple[int, int, int, int], list[Conv]] = {}
    for conv in subject.convs:
        if 1 < conv.groups < conv.channels_in:
            alike.setdefault((conv.groups, conv.channels_in, conv.channels_out, conv.node.height), []).append(conv)
    for (groups, channels_in, channels_out, _), convs in alike.items():
        share = sum(conv.macs for conv in convs) / max(subject.macs, 1)
        if share < SHARE:
            continue
        experiment, why = _experiment(subject, convs, groups)
        more = f" (and {len(convs) - 1} more like it)" if len(convs) > 1 else ""
        yield Suspicion(
            place_of(conv.node.module for conv in convs),
            convs[0].node.source,
            f"{channels_in} to {channels_out} channels in {groups} groups{more}",
            "use a dense convolution with fewer channels, or fewer groups",
            share,
            experiment,
            why,
            places=len(convs),
            modules=tuple(conv.node.module for conv in convs),
        )


def _experiment(subject: Subject, convs: list[Conv], groups: int) -> tuple[Experiment | None, str]:
    widths = widths_of(subject)
    dense = frozenset(conv.node.module for conv in convs)
    tied = [group for conv in convs for group in (widths.group(conv.x), widths.group(conv.node))]
    if not widths.why_fixed(tied):
        try:
            wide = max(max(conv.channels_in, conv.channels_out) for conv in convs)
            solved = widths.solve(lambda w: {group: w for group in tied if group is not None}, wide, dense)
            (width,) = set(solved.widths.values())
            title = f"a dense convolution of {width} channels"
            return Experiment(title, widths.change(solved.widths, dense), macs_ratio=solved.ratio), ""
        except NotTriable:
            pass
    if why := next((w for conv in convs if (w := widths.why_not_a_layer(conv.node))), ""):
        return None, why
    ratio = widths.macs({}, dense) / max(subject.macs, 1)
    return Experiment("a dense convolution of the same widths", widths.change({}, dense), macs_ratio=ratio), ""


GUIDELINE = Guideline(
    key="G2",
    name="Group convolution",
    statement="Much group convolution raises the cost of memory access: more channels are moved for the same "
    "operations.",
    source="Ma et al., ShuffleNet V2, ECCV 2018 (arXiv 1807.11164), guideline 2",
    figures="With 1 and with 8 groups at the same operations: 2451 and 634 batches/s on a GPU, 40.0 and 27.8 "
    "images/s on "
    "an ARM core (table 2, x1).",
    finds=f"Convolutions with more than one group, depthwise ones left out, that make at least {100 * SHARE:g} % of "
    "the operations.",
    tries="A dense convolution with fewer channels, chosen so that the whole network's operations stay the same "
    "within 5 %; "
    "where other layers fix the widths, a dense one of the same widths, whose further operations are stated.",
    find=find,
)
