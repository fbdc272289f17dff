"""What hardware that takes an image row by row keeps and waits for.

It follows the schedule of the row graph with one row for each step, and books the rows of each value that are left when
a step is over: those that a later row still needs. Where a step makes several rows of a value (a stride follows), they
come one after the other, and those that wait for the last of them are booked too. A 5 x 1 convolution keeps 4.

Hardware codes a skip line before it waits, and so does the schedule: a coder (`narrows.layers.line_coding`), and what
leads to it alone, runs as soon as its input is there, and what waits behind it is booked at the coder's own bits.

An operator that needs all rows (a barrier) ends a stage: what it reads is made as the image comes in, what follows once
it is through. It takes rows as they come if it only sums, averages or compares them; every other value that waits for
it is kept whole.
"""

from __future__ import annotations

from dataclasses import replace

from narrows.costing.report import LineBuffer, Lines
from narrows.rowgraph.graph import Node, RowGraph
from narrows.rowgraph.rows import Axis, RowNeed, Same, Whole
from narrows.streaming.schedule import Schedule, coders

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
    levels = _levels(graph)
    kept = _kept(graph, levels)
    buffers = []
    for index, lines in kept.items():
        node = graph.nodes[index]
        window = min(lines, _window(graph, node))
        elements = node.nbytes // node.itemsize // max(node.height, 1)
        row_bits = elements * bits if node.coded_bits is None else node.coded_bits
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
                bytes=-(-lines * row_bits // 8),
            )
        )
    buffers.sort(key=lambda buffer: (-buffer.bytes, buffer.name))
    states = sum(-(-node.state_values * bits // 8) for node in graph.nodes)
    waits = any(levels[index] for index in graph.outputs)
    delay = graph.nodes[graph.inputs[0]].height if waits else Schedule(graph, 1).delay
    whole = tuple(graph.nodes[i].name for i, lines in kept.items() if waits and 1 < graph.nodes[i].height == lines)
    return Lines(bits, delay, tuple(buffers), sum(b.bytes for b in buffers) + states, whole)


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


def _levels(graph: RowGraph) -> list[int]:
    """For each value how many barriers, one after the other, it waits for."""
    levels: list[int] = []
    for node in graph.nodes:
        pairs = zip(node.inputs, node.needs, strict=True)
        levels.append(max((levels[i] + _waits(graph.nodes[i], need, node) for i, need in pairs), default=0))
    return levels


def _waits(source: Node, need: RowNeed | None, node: Node) -> bool:
    """Whether `node` needs all rows of `source` before it can make its first."""
    if need is None or source.height <= 1:
        return False
    if isinstance(need, Whole) or node.barrier:
        return True
    return node.height == 1 and need.first(0) == 0 and need.last(1) == source.height


def _kept(graph: RowGraph, levels: list[int]) -> dict[int, int]:
    """For each value that is kept between steps its rows, at most. Outputs leave as they are made."""
    done = [0] * len(graph.nodes)
    kept: dict[int, int] = {}
    readers = _readers(graph)
    early = frozenset(coders(graph))
    for stage in range(max(levels, default=0) + 1):
        ends = {index for index in graph.outputs if levels[index] == stage}
        for node in graph.nodes:
            for source, need in zip(node.inputs, node.needs, strict=True):
                if levels[source] == stage and _waits(graph.nodes[source], need, node):
                    ends.add(source)
        for steps in Schedule(replace(graph, outputs=tuple(sorted(ends))), 1).steps():
            changed: set[int] = set()
            several = []
            for step in steps:
                if step.stop > done[step.node]:
                    if step.node not in early:
                        several += [(step.node, rows) for rows in range(done[step.node] + 1, step.stop)]
                    done[step.node] = step.stop
                    changed.update((step.node, *graph.nodes[step.node].inputs))
            for index in changed:
                first = done[index]
                for reader, need, takes in readers[index]:
                    if not takes and done[reader] < graph.nodes[reader].height:
                        first = min(first, need.first(done[reader]))
                if first < done[index]:
                    kept[index] = max(kept.get(index, 0), done[index] - first)
            for index, rows in several:
                first = min([rows, *(_wanted(need, rows, done[r]) for r, need, takes in readers[index] if not takes)])
                if first < rows:
                    kept[index] = max(kept.get(index, 0), rows - first)
    return kept


def _wanted(need: RowNeed, rows: int, made: int) -> int:
    """The first of `rows` rows that a reader still needs, which has by then made what it can of its `made` rows."""
    while made > 0 and need.last(made) > rows:
        made -= 1
    return need.first(made)


def _readers(graph: RowGraph) -> list[list[tuple[int, RowNeed, bool]]]:
    found: list[list[tuple[int, RowNeed, bool]]] = [[] for _ in graph.nodes]
    for node in graph.nodes:
        for source, need in zip(node.inputs, node.needs, strict=True):
            if need is None:
                continue
            before = graph.nodes[source]
            takes = node.operator in _TAKEN_AS_THEY_COME and node.height == 1 and _waits(before, need, node)
            found[source].append((node.index, need, takes))
    return found


def _window(graph: RowGraph, node: Node) -> int:
    """Rows that the widest window of a reader keeps, were all its inputs in step: its own but the newest."""
    widest = 0
    for reader, need, takes in _readers(graph)[node.index]:
        if takes or isinstance(need, (Same, Whole)):
            continue
        height = graph.nodes[reader].height
        for row in {0, height // 4, height // 2, height // 2 + 1, height - 1}:
            widest = max(widest, need.last(row + 1) - 1 - need.first(row))
            if row + 1 < height:
                widest = max(widest, need.last(row + 1) - need.first(row + 1))
    return widest
