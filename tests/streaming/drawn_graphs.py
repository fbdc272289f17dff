"""Row graphs drawn by hand: nodes with row needs and sizes, and nothing that computes."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from narrows.rowgraph.graph import Node, RowGraph
from narrows.rowgraph.rows import Axis, Blocks, RowNeed, Same, Transposed, Window

WIDTH = 8


class Drawing:
    """A graph in the making. Each method adds a node of (1, channels, rows, width) in float32 and returns its index."""

    def __init__(self, height: int, channels: int = 1, width: int = WIDTH):
        self.nodes: list[Node] = []
        self.inputs = [self.add("input", height=height, channels=channels, width=width)]

    def add(
        self,
        operator: str,
        *reads: tuple[int, RowNeed | None],
        height: int,
        channels: int = 1,
        width: int = WIDTH,
        **more: Any,
    ) -> int:
        index = len(self.nodes)
        self.nodes.append(
            Node(
                index,
                f"{operator}{index}",
                operator,
                inputs=tuple(source for source, _ in reads),
                needs=tuple(need for _, need in reads),
                shape=(1, channels, height, width),
                dtype="float32",
                itemsize=4,
                rows=Axis(2, height),
                columns=Axis(3, width),
                **more,
            )
        )
        return index

    def height(self, source: int) -> int:
        return self.nodes[source].height

    def window(self, source: int, kernel: int = 3, stride: int = 1, before: int = 1, dilation: int = 1) -> int:
        """A convolution or pooling with `before` rows of padding above and below."""
        rows = self.height(source)
        made = (rows + 2 * before - dilation * (kernel - 1) - 1) // stride + 1
        return self.add("conv", (source, Window(rows, kernel, stride, dilation, before)), height=made)

    def pool(self, source: int, width: int = WIDTH) -> int:
        rows = self.height(source)
        return self.add("pool", (source, Window(rows, 2, 2)), height=rows // 2, width=width)

    def upsample(self, source: int) -> int:
        rows = self.height(source)
        return self.add("up", (source, Blocks(rows, 1, 2)), height=rows * 2)

    def transposed(self, source: int, kernel: int, stride: int) -> int:
        rows = self.height(source)
        return self.add("deconv", (source, Transposed(rows, kernel, stride)), height=(rows - 1) * stride + kernel)

    def sum(self, *sources: int) -> int:
        rows = self.height(sources[0])
        return self.add("add", *((source, Same(rows)) for source in sources), height=rows, overwrites=0)

    def graph(self, *outputs: int) -> RowGraph:
        return RowGraph(tuple(self.nodes), tuple(self.inputs), outputs)


def unet(height: int, levels: int = 2) -> RowGraph:
    """A U-Net of `levels` poolings, one convolution at each level on the way down and one on the way up."""
    drawing = Drawing(height)
    value, skips = 0, []
    for _ in range(levels):
        skips.append(drawing.window(value))
        value = drawing.pool(skips[-1])
    value = drawing.window(value)
    for skip in reversed(skips):
        value = drawing.window(drawing.sum(drawing.upsample(value), skip))
    return drawing.graph(value)


@st.composite
def graphs(draw: st.DrawFn) -> RowGraph:
    """Networks of up to ten nodes over values of any height, with one or two outputs."""
    drawing = Drawing(draw(st.integers(1, 40)))
    for _ in range(draw(st.integers(1, 9))):
        source = draw(st.sampled_from(range(len(drawing.nodes))))
        rows = drawing.height(source)
        alike = [node.index for node in drawing.nodes if node.height == rows]
        kinds = ["same", "sum", "transposed", "window"] + ["pool"] * (rows >= 2) + ["upsample"] * (rows <= 80)
        kind = draw(st.sampled_from(kinds))
        if kind == "same":
            drawing.add("relu", (source, Same(rows)), height=rows, overwrites=0)
        elif kind == "sum":
            drawing.sum(source, draw(st.sampled_from(alike)))
        elif kind == "pool":
            drawing.pool(source)
        elif kind == "upsample":
            drawing.upsample(source)
        elif kind == "transposed":
            stride = draw(st.integers(1, 2))
            drawing.transposed(source, draw(st.integers(stride, 4)), stride)
        else:
            kernel, dilation = draw(st.integers(1, 5)), draw(st.integers(1, 2))
            reach = dilation * (kernel - 1)
            before = draw(st.integers(max(0, -(-(reach + 1 - rows) // 2)), reach + 1))
            drawing.window(source, kernel, draw(st.integers(1, 3)), before, dilation)
    last = len(drawing.nodes) - 1
    return drawing.graph(*sorted({last, draw(st.integers(1, last))}))
