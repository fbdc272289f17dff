"""G7: a depthwise separable first layer."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from torch import nn

from narrows.guidelines.core.guideline import Experiment, Guideline, Suspicion
from narrows.guidelines.core.subject import ELEMENTWISE, Conv, Subject
from narrows.guidelines.core.surgery import replaced

FEW = 8


def find(subject: Subject) -> Iterator[Suspicion]:
    for conv in subject.convs:
        if not (conv.depthwise and conv.channels_in <= FEW and subject.from_image(conv.x)):
            continue
        after = subject.consumers[subject.past(conv.node, ELEMENTWISE).index]
        point = subject.conv_of.get(after[0].index) if len(after) == 1 else None
        if point is None or not point.pointwise or point.groups > 1:
            continue
        why = subject.why_no_module(conv.node, nn.Conv2d) or subject.why_no_module(point.node, nn.Conv2d)
        if not why and conv.channels_in != conv.channels_out:
            why = "its depthwise part makes several channels of each"
        dense = point.macs * conv.kernel[0] * conv.kernel[1]
        ratio = (subject.macs - conv.macs - point.macs + dense) / max(subject.macs, 1)
        yield Suspicion(
            conv.node.module,
            conv.node.source,
            f"a depthwise separable first layer on {conv.channels_in} channels",
            "use one dense convolution on the image",
            (conv.macs + point.macs) / max(subject.macs, 1),
            None if why else Experiment("one dense convolution", _dense(conv, point), macs_ratio=ratio),
            why,
        )


def _dense(depthwise: Conv, point: Conv) -> Callable[[nn.Module], None]:
    def change(model: nn.Module) -> None:
        old = model.get_submodule(depthwise.node.module)
        new = model.get_submodule(point.node.module)
        assert isinstance(old, nn.Conv2d) and isinstance(new, nn.Conv2d)
        made = nn.Conv2d(
            old.in_channels,
            new.out_channels,
            old.kernel_size,  # type: ignore[arg-type]
            old.stride,  # type: ignore[arg-type]
            old.padding,  # type: ignore[arg-type]
            old.dilation,  # type: ignore[arg-type]
            bias=new.bias is not None,
        )
        replaced(model, point.node.module, made)
        replaced(model, depthwise.node.module, nn.Identity())

    return change


GUIDELINE = Guideline(
    key="G7",
    name="Depthwise separation of the first layer",
    statement="Separating the first layer isn't worth it where the image has few channels: there is little to save, "
    "and one more pass over the "
    "largest values of the network.",
    source="practice; the first layers of MobileNet (arXiv 1704.04861), MobileNetV2 and ShuffleNet V2 are dense",
    finds=f"A depthwise convolution on an image of at most {FEW} channels, followed by a pointwise one.",
    tries="One dense convolution with the same kernel and stride; its further operations are stated.",
    find=find,
)
