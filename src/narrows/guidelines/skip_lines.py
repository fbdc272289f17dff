"""G12: skips that hold most of the lines."""

from __future__ import annotations

from collections.abc import Iterator

from narrows.guidelines.core.guideline import Experiment, Guideline, Suspicion
from narrows.guidelines.core.lines import STRIP, Kept, kept_lines
from narrows.guidelines.core.subject import Subject
from narrows.guidelines.core.widths import widths_of
from narrows.units import format_bytes

SHARE = 0.5


def find(subject: Subject) -> Iterator[Suspicion]:
    kept = kept_lines(subject)
    total = sum(line.bytes for line in kept)
    skips = sorted((line for line in kept if line.skip), key=lambda line: -line.bytes)
    held = sum(line.bytes for line in skips)
    if not skips or held < SHARE * total:
        return
    largest = skips[0]
    tried = [_experiment(subject, kept, skip, total) for skip in skips]
    experiment, why = next((found for found in tried if found[0] is not None), tried[0])
    yield Suspicion(
        largest.node.module,
        largest.node.source,
        f"{len(skips)} skip{'s' * (len(skips) > 1)} hold{'s' * (len(skips) == 1)} {format_bytes(held)} of "
        f"{format_bytes(total)} of lines; "
        f"the largest waits {largest.rows} rows with {format_bytes(largest.bytes)}",
        "narrow what is skipped (a 1 x 1 convolution before it is kept), take it at a lower resolution, or shorten "
        "what it waits for",
        held / max(total, 1),
        experiment,
        why,
        certain=True,
        places=len(skips),
        modules=tuple(line.node.module for line in skips),
    )


def _experiment(subject: Subject, kept: list[Kept], skip: Kept, total: int) -> tuple[Experiment | None, str]:
    if subject.from_image(skip.node):
        return None, "what is kept is the image itself"
    widths = widths_of(subject)
    by_name = {node.name: node for node in subject.nodes}
    value = by_name.get(skip.node.name)
    group = widths.group(value) if value is not None else None
    if why := widths.why_fixed([group]):
        return None, why
    assert group is not None
    half = {group: max(1, widths.count(group) // 2)}
    after = sum(
        line.rows * widths.bytes_of(by_name[line.node.name], half) / max(line.node.height, 1)
        for line in kept
        if line.node.name in by_name
    )
    counted = f"its lines fall from {format_bytes(total)} to {format_bytes(after)} (counted, strips of {STRIP} rows)"
    ratio = widths.macs(half) / max(subject.macs, 1)
    title = f"half the channels in {skip.node.module or 'that of the network'} ({half[group]})"
    return Experiment(title, widths.change(half), macs_ratio=ratio, counted=counted, counted_gain=total / after), ""


GUIDELINE = Guideline(
    key="G12",
    name="Skips that hold most of the lines",
    statement="Run line by line or strip by strip, a skip waits until the path that it bypasses has caught up: long "
    "skips at high resolution hold "
    "more lines than the convolutions do.",
    source="Asama et al., arXiv 2001.00630, compress their skip lines; US patent 11302035 B2 covers hybrid IIR-FIR "
    "convolution together "
    "with a channel compressor or DPCM coder for skip lines",
    finds=f"Networks in which values kept for a distant reader hold at least {100 * SHARE:g} % of all line buffers, "
    "by a dry run in strips "
    f"of {STRIP} rows. Networks with barriers have no such run.",
    tries="Half the channels in the value of the largest skip whose width isn't fixed, and in whatever shares it; the "
    "lines are counted, so the finding "
    "stands whatever the time.",
    find=find,
)
