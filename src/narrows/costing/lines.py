"""What hardware that takes an image row by row keeps and waits for.

It follows the schedule of the row graph with one row for each step, and books the rows of each value that are left when
a step is over: those that a later row still needs. A 5 x 1 convolution keeps 4.

An operator that needs all rows (a barrier) takes them as they come if it only sums, averages or compares them; every
other value that waits for it is kept whole.
"""

from __future__ import annotations

from dataclasses import replace

from narrows.costing.report import LineBuffer, Lines
from narrows.rowgraph.graph import Node, RowGraph
from narrows.rowgraph.rows import Axis, RowNeed, Same, Whole
from narrows.streaming.schedule import Schedule

__all__ = ["line_costs", "with_waits"]

# Barriers that a running sum, or a comparison with the best so far, replaces.
_ACCUMULATING = """
    mean sum amax amin max min all any argmax argmin prod norm linalg_vector_norm logsumexp lstm gru rnn_tanh
    rnn_relu linear matmul einsum addmm adaptive_avg_pool adaptive_max_pool avg_pool max_pool
    adaptive_avg_pool2d adaptive_max_pool2d var std var_mean count_nonzero
"""
_TAKEN_AS_THEY_COME = frozenset(_ACCUMULATING.split())


def line_costs(graph: RowGraph, bits: int) -> Lines | str:
    """Line buffers and delay at `bits` for each value; or why there are none."""
    for node in graph.nodes:
        if node.unsupported:
            return f"{node.place}: {node.unsupported}"
    graph = with_waits(graph)
    schedule = Schedule(graph, 1)
    kept = _kept(graph, schedule)
    buffers = []
    for index, lines in kept.items():
        node = graph.nodes[index]
        window = min(lines, _window(graph, schedule, node))
        elements = node.nbytes // node.itemsize // max(node.height, 1)
        buffers.append(
            LineBuffer(
                name=node.name,
                operator=node.operator,
                module=node.module,
                source=node.source,
                row_elements=elements,
                lines=lines,
                window=window,
                waiting=lines - window,
                bytes=-(-lines * elements * bits // 8),
            )
        )
    buffers.sort(key=lambda buffer: (-buffer.bytes, buffer.name))
    states = sum(-(-node.state_bytes // node.itemsize * bits // 8) for node in graph.nodes)
    whole = tuple(buffer.name for buffer in buffers if _is_whole(graph, buffer))
    return Lines(bits, schedule.delay, tuple(buffers), sum(b.bytes for b in buffers) + states, whole)


def _is_whole(graph: RowGraph, buffer: LineBuffer) -> bool:
    node = next(node for node in graph.nodes if node.name == buffer.name)
    return 1 < node.height <= buffer.lines + 1 and buffer.waiting > 0


def with_waits(graph: RowGraph) -> RowGraph:
    """The graph in which a value without rows that depends on the image is one row, which waits for all of them."""
    nodes: list[Node] = []
    for node in graph.nodes:
        needs: list[RowNeed | None] = list(node.needs) or [None for _ in node.inputs]
        depends = False
        for place, source in enumerate(node.inputs):
            before = nodes[source]
            if before.rows is None:
                continue
            depends = True
            if needs[place] is None:
                needs[place] = Whole(before.height)
        rows = node.rows or (Axis(0, 1) if depends or node.operator == "input" else None)
        nodes.append(replace(node, rows=rows, needs=tuple(needs)))
    return replace(graph, nodes=tuple(nodes))


def _kept(graph: RowGraph, schedule: Schedule) -> dict[int, int]:
    """For each value that is kept between steps its rows, at most. Outputs leave as they are made."""
    done = [0] * len(graph.nodes)
    kept: dict[int, int] = {}
    readers = _readers(graph)
    for steps in schedule.steps():
        changed: set[int] = set()
        for step in steps:
            done[step.node] = step.stop
            changed.add(step.node)
            changed.update(graph.nodes[step.node].inputs)
        for index in changed:
            if not done[index]:
                continue
            first = done[index]
            for reader, need, takes in readers[index]:
                if not takes and done[reader] < graph.nodes[reader].height:
                    first = min(first, need.first(done[reader]))
            if first < done[index]:
                kept[index] = max(kept.get(index, 0), done[index] - first)
    return kept


def _readers(graph: RowGraph) -> list[list[tuple[int, RowNeed, bool]]]:
    found: list[list[tuple[int, RowNeed, bool]]] = [[] for _ in graph.nodes]
    for node in graph.nodes:
        for source, need in zip(node.inputs, node.needs, strict=True):
            if need is None:
                continue
            before = graph.nodes[source]
            takes = (
                node.operator in _TAKEN_AS_THEY_COME
                and before.height > 1
                and node.height == 1
                and need.first(0) == 0
                and need.last(1) == before.height
            )
            found[source].append((node.index, need, takes))
    return found


def _window(graph: RowGraph, schedule: Schedule, node: Node) -> int:
    """Rows that the widest window of a reader keeps, were all its inputs in step: those of one step but the newest."""
    widest = 0
    for reader, need, takes in _readers(graph)[node.index]:
        if takes or isinstance(need, Same):
            continue
        height = graph.nodes[reader].height
        for row in {0, height // 4, height // 2, height // 2 + 1, height - 1}:
            kept = need.last(row + 1) - need.first(row + 1)
            if row + 1 < height:
                widest = max(widest, kept)
    return widest
