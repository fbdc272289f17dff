"""G13: vertical reach that a recursive filter would remove."""

from __future__ import annotations

from collections.abc import Iterator

from narrows.guidelines.core.guideline import Guideline, Suspicion
from narrows.guidelines.core.lines import delay_of
from narrows.guidelines.core.subject import Conv, Subject, place_of
from narrows.units import format_bytes

REACH = 5
SHARE = 0.5
DELAY = 32


def find(subject: Subject) -> Iterator[Suspicion]:
    windows = [conv for conv in subject.convs if conv.node.operator == "conv2d" and conv.reach > conv.stride]
    tall = [conv for conv in windows if conv.reach >= REACH]
    held, total = sum(map(_lines, tall)), sum(map(_lines, windows))
    delay = delay_of(subject)
    if not tall or held < SHARE * total or delay is None or delay < DELAY:
        return
    one = sum(conv.x.row_bytes for conv in tall)
    yield Suspicion(
        place_of(conv.node.module for conv in tall),
        tall[0].node.source,
        f"{len(tall)} convolution{'s' * (len(tall) > 1)} of {REACH} rows and more keep {format_bytes(held)} of the "
        f"{format_bytes(total)} of lines that convolutions keep; the first output row waits for {delay} rows",
        "where the image comes line by line, a recursive vertical filter keeps one line of state "
        f"({format_bytes(one)}) and waits for none below",
        held / max(total, 1),
        None,
        "a network with recursive filters has to be trained anew (narrows.fir_to_iir begins from yours)",
        places=len(tall),
        modules=tuple(conv.node.module for conv in tall),
    )


def _lines(conv: Conv) -> int:
    return max(conv.reach - conv.stride, 0) * conv.x.row_bytes


GUIDELINE = Guideline(
    key="G13",
    name="Vertical reach",
    statement="A vertical kernel of k rows keeps k - 1 lines and waits for half of them; a recursive filter of "
    "order n keeps n lines of state and "
    "waits for none below.",
    source="Asama et al., A Machine Learning Imaging Core using Separable FIR-IIR Filters, arXiv 2001.00630; US "
    "patent 11302035 B2",
    finds=f"Convolutions whose window spans at least {REACH} rows, where they keep at least {100 * SHARE:g} % of "
    "the lines that convolutions keep "
    f"and the first output row waits for at least {DELAY} rows.",
    tries="Nothing: recursive filters have to be trained, beginning from what `narrows.fir_to_iir` fits.",
    find=find,
)
