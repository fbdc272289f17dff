"""G8: small kernels split into a vertical and a horizontal one."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from torch import nn

from narrows.guidelines.core.guideline import Experiment, Guideline, Suspicion
from narrows.guidelines.core.subject import ELEMENTWISE, Conv, Subject
from narrows.guidelines.core.surgery import replaced
from narrows.rowgraph.graph import Node
from narrows.units import format_bytes

LARGEST = 5


def find(subject: Subject) -> Iterator[Suspicion]:
    for first in subject.convs:
        end = subject.past(first.node, ELEMENTWISE)
        readers = subject.consumers[end.index]
        second = subject.conv_of.get(readers[0].index) if len(readers) == 1 else None
        if second is None or not _halves(first, second):
            continue
        down, across = max(first.kernel[0], second.kernel[0]), max(first.kernel[1], second.kernel[1])
        between = _between(subject, first.node, second.node)
        why = next(
            (w for conv in (first, second) if (w := subject.why_no_module(conv.node, nn.Conv2d))),
            next((w for node in between if (w := subject.why_no_module(node, nn.Module))), ""),
        )
        whole = first.macs // (first.kernel[0] * first.kernel[1]) * down * across
        whole = whole * second.channels_out // max(first.channels_out, 1)
        ratio = (subject.macs - first.macs - second.macs + whole) / max(subject.macs, 1)
        lines, merged = _lines(first if first.kernel[0] > 1 else second), (down - 1) * first.x.row_bytes
        pays = (
            f"by lines the split pays: it keeps {format_bytes(lines)} where one kernel keeps {format_bytes(merged)}"
            if lines < merged
            else f"by lines it saves nothing: it keeps {format_bytes(lines)}, one kernel {format_bytes(merged)}"
        )
        title = f"one {down} x {across} convolution"
        experiment = Experiment(title, _merged(first, second, between), macs_ratio=ratio, counted=pays)
        yield Suspicion(
            first.node.module,
            first.node.source,
            f"{down} x {across} split into {_by(first)} and {_by(second)}",
            "use the whole kernel, unless the lines that the vertical half keeps are what counts and it runs on "
            "fewer channels",
            (first.macs + second.macs) / max(subject.macs, 1),
            None if why else experiment,
            why,
            modules=(first.node.module, second.node.module),
        )


def _halves(first: Conv, second: Conv) -> bool:
    """One is vertical, one horizontal, neither grouped or transposed, both small."""
    if any(c.node.operator != "conv2d" or c.groups > 1 or 1 not in c.kernel or c.pointwise for c in (first, second)):
        return False
    if max(*first.kernel, *second.kernel) > LARGEST:
        return False
    return (first.kernel[0] > 1) != (second.kernel[0] > 1)


def _by(conv: Conv) -> str:
    return f"{conv.kernel[0]} x {conv.kernel[1]}"


def _lines(vertical: Conv) -> int:
    return (vertical.kernel[0] - 1) * vertical.x.row_bytes


def _between(subject: Subject, first: Node, second: Node) -> list[Node]:
    found, node = [], subject.nodes[second.inputs[0]]
    while node.index != first.index:
        found.append(node)
        node = subject.nodes[node.inputs[0]]
    return found


def _merged(first: Conv, second: Conv, between: list[Node]) -> Callable[[nn.Module], None]:
    def change(model: nn.Module) -> None:
        a, b = model.get_submodule(first.node.module), model.get_submodule(second.node.module)
        assert isinstance(a, nn.Conv2d) and isinstance(b, nn.Conv2d)

        def both(name: str) -> tuple[int, int]:
            """Each direction's setting from the half that has a kernel there."""
            vertical, horizontal = (a, b) if a.kernel_size[0] > 1 else (b, a)
            down, across = getattr(vertical, name), getattr(horizontal, name)
            return (down[0], across[1]) if not isinstance(down, str) else down  # type: ignore[return-value]

        made = nn.Conv2d(
            a.in_channels, b.out_channels, both("kernel_size"), (a.stride[0] * b.stride[0], a.stride[1] * b.stride[1]),
            both("padding"), both("dilation"), bias=b.bias is not None,
        )  # fmt: skip
        replaced(model, first.node.module, made)
        for path in (second.node.module, *(node.module for node in between)):
            replaced(model, path, nn.Identity())

    return change


GUIDELINE = Guideline(
    key="G8",
    name="Small kernels split in two",
    statement="Splitting a 3 x 3 into 3 x 1 and 1 x 3 saves little time; it pays where a row costs more than a "
    "column: line by line, where the "
    "vertical half can run on fewer channels, or be replaced by a recursive filter.",
    source="practice; Asama et al., arXiv 2001.00630, split their kernels because hardware gets the image line by line",
    finds=f"A vertical and a horizontal convolution of at most {LARGEST} in a row, without groups, with nothing but "
    "element-wise operators "
    "between.",
    tries="One convolution with the whole kernel in place of both and of what is between them. The lines that each "
    "keeps are counted.",
    find=find,
)
