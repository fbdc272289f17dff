"""G10: attention that is missing where it is cheap."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from torch import nn

from narrows.guidelines.core.attentions import attentions_of
from narrows.guidelines.core.guideline import Experiment, Guideline, Suspicion
from narrows.guidelines.core.subject import ACTIVATIONS, Subject
from narrows.guidelines.core.surgery import with_replacements
from narrows.guidelines.core.trying import CHEAP
from narrows.layers.spatial_attention import SpatialAttention
from narrows.layers.squeeze_excitation import SqueezeExcitation

DEEP = 8
WIDE = 64
LAYERS = 8
REDUCTION = 16


def find(subject: Subject) -> Iterator[Suspicion]:
    # An image that is padded to a multiple of the stride has a little less than an eighth of its rows there.
    deep = [c for c in subject.convs if round(subject.scale(c.node)) >= DEEP and c.channels_out >= WIDE]
    if attentions_of(subject) or len(subject.convs) < LAYERS or len(deep) < 2:
        return
    lowest = max(subject.scale(conv.node) for conv in deep)
    last = [conv for conv in deep if subject.scale(conv.node) == lowest and not subject.to_output(conv.node)]
    if not last:
        return
    end = subject.past(last[-1].node, {"batch_norm", *ACTIVATIONS})
    channels = end.shape[1]
    squeezes = bool(subject.graph.refusals)
    macs = 2 * channels * max(channels // REDUCTION, 1) if squeezes else 2 * 49 * end.shape[-2] * end.shape[-1]
    kind = (
        "squeeze-and-excitation"
        if squeezes
        else "spatial attention (it needs no row beyond its kernel; squeeze-and-excitation would)"
    )
    make: Callable[[], nn.Module] = partial(SqueezeExcitation, channels, REDUCTION) if squeezes else SpatialAttention
    why = subject.why_no_module(end, nn.Module)
    if not why and sum(node.module == end.module for node in subject.nodes) > 1:
        why = f"'{end.module}' is called in several places"
    title = f"{'squeeze-and-excitation' if squeezes else 'spatial attention'} there"
    ratio = 1 + macs / max(subject.macs, 1)
    change = with_replacements({end.module: lambda old: nn.Sequential(old, make())})
    yield Suspicion(
        end.module,
        end.source,
        f"no attention in the network; {channels} channels at 1/{round(lowest)} of the resolution",
        f"try {kind} after this layer",
        0.0,
        None if why else Experiment(title, change, "cost", ratio),
        why,
        quality=None if squeezes else "",
    )


GUIDELINE = Guideline(
    key="G10",
    name="Attention missing where it is cheap",
    statement="Attention (squeeze-and-excitation, spatial) pays in most vision tasks, and costs next to nothing at "
    "low resolution.",
    source="Hu et al., Squeeze-and-Excitation Networks, CVPR 2018 (arXiv 1709.01507); Woo et al., CBAM, ECCV 2018 "
    "(arXiv 1807.06521)",
    figures="ResNet-50 with squeeze-and-excitation, r = 16: 3.86 to 3.87 GFLOPs, 10 % more parameters, 164 to 167 "
    "ms on a CPU.",
    finds=f"Networks of at least {LAYERS} convolutions without any attention, with at least two of {WIDE} channels "
    f"or more at 1/{DEEP} of the "
    "resolution or below; the last layer of the lowest resolution is named.",
    tries="One attention module after that layer: squeeze-and-excitation where the network looks at all rows "
    "anyhow, else spatial attention, "
    f"which streams. It is called cheap, and the finding stands, if it takes at most {100 * CHEAP - 100:.0f} % of "
    "the time with certainty.",
    quality="ResNet-50's top-5 error falls from 7.48 to 6.62 % with squeeze-and-excitation on ImageNet (arXiv "
    "1709.01507)",
    find=find,
)
