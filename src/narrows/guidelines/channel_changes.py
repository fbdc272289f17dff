"""G5: frequent changes of channel count."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from math import exp, log

from narrows.guidelines.core.guideline import Experiment, Guideline, NotTriable, Suspicion
from narrows.guidelines.core.subject import Conv, Subject, place_of
from narrows.guidelines.core.widths import Widths, widths_of

SHARE = 0.5
TURNS = 4
_UNIT = 256


def find(subject: Subject) -> Iterator[Suspicion]:
    inner = [
        conv
        for conv in subject.convs
        if conv.node.operator == "conv2d" and not conv.depthwise and conv.stride == 1
        and not subject.from_image(conv.x) and not subject.to_output(conv.node)
    ]  # fmt: skip
    changing = [conv for conv in inner if conv.channels_in != conv.channels_out]
    turns = _turns(changing)
    if not inner or len(changing) <= SHARE * len(inner) or turns < TURNS:
        return
    experiment, why = _experiment(widths_of(subject), changing)
    yield Suspicion(
        place_of(conv.node.module for conv in changing),
        changing[0].node.source,
        f"{len(changing)} of {len(inner)} convolutions at constant resolution change the channel count, up and down "
        "in turn",
        "keep one width along each resolution",
        sum(conv.macs for conv in changing) / max(subject.macs, 1),
        experiment,
        why,
        places=len(changing),
        modules=tuple(conv.node.module for conv in changing),
    )


def _turns(convs: list[Conv]) -> int:
    """How often the count turns from growing to shrinking or back, along the network."""
    grows = [conv.channels_out > conv.channels_in for conv in convs]
    return sum(a != b for a, b in pairwise(grows))


def _experiment(widths: Widths, convs: list[Conv]) -> tuple[Experiment | None, str]:
    by_height: dict[int, set[int]] = {}
    seen: set[int] = set()
    why = ""
    for conv in convs:
        for value in (conv.x, conv.node):
            group = widths.group(value)
            fixed = widths.why_fixed([group])
            if fixed or group is None:
                why = why or fixed
            elif group not in seen:
                seen.add(group)
                by_height.setdefault(conv.node.height, set()).add(group)
    if len(seen) < 2:
        return None, why or "its widths are tied to each other"
    middle = {h: exp(sum(log(widths.count(g)) for g in groups) / len(groups)) for h, groups in by_height.items()}

    def made(step: int) -> Callable[[int], dict[int, int]]:
        def make(scale: int) -> dict[int, int]:
            return {
                g: max(step, round(middle[h] * scale / _UNIT / step) * step)
                for h, groups in by_height.items()
                for g in groups
            }

        return make

    solved = None
    for step in (8, 4, 1):
        try:
            solved = widths.solve(made(step), 16 * _UNIT)
            break
        except NotTriable as error:
            why = str(error)
    if solved is None:
        return None, why
    counts = [solved.widths[next(iter(groups))] for _, groups in sorted(by_height.items(), reverse=True)]
    title = f"one width along each resolution ({', '.join(str(c) for c in counts)})"
    return Experiment(title, widths.change(solved.widths), macs_ratio=solved.ratio), ""


GUIDELINE = Guideline(
    key="G5",
    name="Frequent changes of channel count",
    statement="Don't change channel counts often along the network, as SqueezeNet and MobileNetV2 do between wide "
    "and narrow.",
    source="follows from guideline 1 of Ma et al., ShuffleNet V2, ECCV 2018 (arXiv 1807.11164)",
    finds=f"Networks in which more than {100 * SHARE:g} % of the convolutions at constant resolution (depthwise "
    "ones, those on the image and "
    "those that make the output left out) change the channel count, turning from more to fewer or back at least "
    f"{TURNS} times.",
    tries="One width along each resolution, all scaled so that the whole network's operations stay the same within "
    "5 %.",
    quality="MobileNetV2 (arXiv 1801.04381) and SqueezeNet (arXiv 1602.07360) change widths to save parameters and "
    "operations",
    find=find,
)
