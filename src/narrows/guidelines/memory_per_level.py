"""G9: memory that isn't constant from level to level."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from narrows.guidelines.core.guideline import Experiment, Guideline, NotTriable, Suspicion
from narrows.guidelines.core.subject import Subject
from narrows.guidelines.core.widths import Widths, widths_of
from narrows.rowgraph.graph import Node
from narrows.units import format_bytes

HUGE = 100_000_000
LEVELS = 3
FALLS = 1.5


def find(subject: Subject) -> Iterator[Suspicion]:
    levels: dict[int, list[Node]] = {}
    for conv in subject.convs:
        if not subject.to_output(conv.node):
            levels.setdefault(conv.node.height, []).append(conv.node)
    ordered = sorted(levels, reverse=True)
    if len(ordered) < LEVELS:
        return
    bytes_at = [max(node.nbytes for node in levels[height]) for height in ordered]
    falls = [a / b for a, b in pairwise(bytes_at)]
    if bytes_at[0] < HUGE or min(falls[: LEVELS - 1]) < FALLS:
        return
    experiment, why = _experiment(widths_of(subject), levels, ordered)
    widest = max(levels[ordered[0]], key=lambda node: node.nbytes)
    yield Suspicion(
        widest.module,
        widest.source,
        f"a value of the first level holds {format_bytes(bytes_at[0])}, of the next "
        f"{', '.join(format_bytes(b) for b in bytes_at[1:4])}",
        "start narrower and multiply the channels by 4 with each halving, so that every level holds the same",
        1.0,
        experiment,
        why,
        modules=tuple(node.module for node in levels[ordered[0]]),
    )


def _experiment(widths: Widths, levels: dict[int, list[Node]], ordered: list[int]) -> tuple[Experiment | None, str]:
    level: dict[int, int] = {}
    why = ""
    for depth, height in enumerate(ordered):
        for node in levels[height]:
            group = widths.group(node)
            fixed = widths.why_fixed([group])
            if fixed or group is None:
                why = why or fixed
            else:
                level.setdefault(group, depth)
    if not level or {0, 1} - set(level.values()):
        return None, why or "the widths of its first levels can't be changed"
    widest = {depth: max(widths.count(g) for g, d in level.items() if d == depth) for depth in set(level.values())}

    def make(quarter: int) -> dict[int, int]:
        start = quarter / 4
        return {g: max(1, round(start * 4**d * widths.count(g) / widest[d])) for g, d in level.items()}

    try:
        solved = widths.solve(make, 8 * widest[0])
    except NotTriable as error:
        return None, str(error)
    now = [max(c for g, c in solved.widths.items() if level[g] == d) for d in sorted(widest)]
    title = f"quadrupling widths ({', '.join(str(c) for c in now)})"
    return Experiment(title, widths.change(solved.widths), "memory", solved.ratio, streams=True), ""


GUIDELINE = Guideline(
    key="G9",
    name="Memory per level",
    statement="For huge images, multiply the channels by 4 where each side halves: every level then holds as many "
    "values. With channels that "
    "double, the first level holds most of the memory.",
    source="Isikdogan et al., Seeing Through the Clouds With DeepWaterMap, IEEE GRSL 2019",
    figures="DeepWaterMapV2 has 4, 16, 64, 256 and 1024 channels: each level holds 4 x H x W values.",
    finds=f"Networks with at least {LEVELS} levels whose largest value at the first level is at least "
    f"{format_bytes(HUGE)} and falls by at "
    f"least {FALLS:g} x from level to level at the first {LEVELS}.",
    tries="Widths that quadruple from level to level, the first chosen so that the whole network's operations stay "
    "the same within 5 %; judged by "
    "the peak of what PyTorch allocates for a full frame. What a run in strips holds is counted beside it: there a "
    "level keeps rows, not whole values.",
    find=find,
)
