"""G13: vertical reach that a recursive filter would remove."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn

from narrows.guidelines.core.guideline import Experiment, Guideline, Suspicion
from narrows.guidelines.core.lines import delay_of
from narrows.guidelines.core.subject import Conv, Subject, place_of
from narrows.guidelines.core.surgery import with_replacements
from narrows.layers.conversion import RecursiveConv2d, reason_against
from narrows.layers.fitting import Fit
from narrows.units import format_bytes

REACH = 5
SHARE = 0.5
DELAY = 32
ORDER = 1


def find(subject: Subject) -> Iterator[Suspicion]:
    windows = [conv for conv in subject.convs if conv.node.operator == "conv2d" and conv.reach > conv.stride]
    tall = [conv for conv in windows if conv.reach >= REACH]
    held, total = sum(map(_lines, tall)), sum(map(_lines, windows))
    delay = delay_of(subject)
    if not tall or held < SHARE * total or delay is None or delay < DELAY:
        return
    one = sum(conv.x.row_bytes for conv in tall)
    experiment, why = _experiment(subject, tall)
    yield Suspicion(
        place_of(conv.node.module for conv in tall),
        tall[0].node.source,
        f"{len(tall)} convolution{'s' * (len(tall) > 1)} of {REACH} rows and more keep {format_bytes(held)} of the "
        f"{format_bytes(total)} of lines that convolutions keep; the first output row waits for {delay} rows",
        f"where the image comes line by line, let a recursive filter of order {ORDER} do the vertical part "
        "(narrows.layers.fir_iir; narrows.fir_to_iir fits trained kernels and says with which error): it keeps one "
        f"line of state ({format_bytes(one)}) and waits for none below; it is another function, to be trained anew",
        held / max(total, 1),
        experiment,
        why,
        places=len(tall),
        modules=tuple(conv.node.module for conv in tall),
    )


def _lines(conv: Conv) -> int:
    return max(conv.reach - conv.stride, 0) * conv.x.row_bytes


def _experiment(subject: Subject, tall: list[Conv]) -> tuple[Experiment | None, str]:
    macs = subject.macs
    for conv in tall:
        if why := subject.why_no_module(conv.node, nn.Conv2d):
            return None, why
        layer = subject.module(conv.node.module)
        assert isinstance(layer, nn.Conv2d)
        if reason := reason_against(layer):
            return None, f"no recursive filter can stand for '{conv.node.module}': it is {reason}"
        macs += _macs(conv, layer) - conv.macs
    title = (
        "a recursive vertical filter in its place" if len(tall) == 1 else "recursive vertical filters in their place"
    )
    change = with_replacements({conv.node.module: _recursive for conv in tall})
    return Experiment(title, change, "lines", macs / max(subject.macs, 1), streams=True), ""


def _macs(conv: Conv, layer: nn.Conv2d) -> int:
    """Of the filters, ``2 n + 1`` for each value of the image, and of what mixes their states within the row."""
    filters = (2 * ORDER + 1) * conv.x.nbytes // conv.x.itemsize
    return filters if _alone(layer) else filters + (ORDER + 1) * conv.macs // layer.kernel_size[0]


def _alone(layer: nn.Conv2d) -> bool:
    return layer.groups == layer.in_channels == layer.out_channels and layer.kernel_size[1] == 1


def _recursive(old: nn.Module) -> nn.Module:
    """As `narrows.fir_to_iir` makes it, not fitted: time and lines don't depend on the weights."""
    assert isinstance(old, nn.Conv2d)
    channels, responses = old.in_channels, old.out_channels // old.groups * old.kernel_size[1]
    drawn = torch.Generator().manual_seed(0)
    coefficients = torch.randn(channels, ORDER + 1, responses, generator=drawn, dtype=torch.float64)
    nothing = torch.zeros(channels, dtype=torch.float64)
    unfitted = Fit(torch.full((channels, ORDER), 0.5, dtype=torch.float64), coefficients / channels, nothing, nothing)
    return RecursiveConv2d(old, unfitted, ORDER, delay=0)


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
    tries=f"Recursive filters of order {ORDER} that wait for no row, with as many channels, in place of the vertical "
    "part of these convolutions (`narrows.layers.conversion`, not fitted: time and lines don't depend on weights). "
    "The finding stands if fewer lines are kept, and no more rows waited for; both are counted as `narrows cost` "
    "counts them, and what a run in strips holds. The time is measured beside them, and withdraws nothing.",
    find=find,
)
