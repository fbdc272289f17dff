"""How many rows a step should make.

Plain integers; no tensors. Memory sets the upper limit; below it more is not always better. Three things cost time by
the step and ask for tall strips: starting each operator, reading every weight again, and the last rows that don't fill
vector registers. One asks for low ones: a strip that stays in the processor's cache is read from there by the next
operator.
"""

from __future__ import annotations

from math import ceil

from narrows.rowgraph.graph import RowGraph

__all__ = ["strip_candidates"]

LARGEST_STRIP = 256
_SIZES = (LARGEST_STRIP, 192, 128, 96, 64, 48, 32, 24, 16, 12, 8, 4, 2, 1)
_LEAST = 32
# Values that an operator should make in a step, on average, to be worth its start.
_VALUES_PER_OPERATOR = 250_000
# Values that a step should make for each weight that it reads.
_VALUES_PER_WEIGHT = 6


def strip_candidates(graph: RowGraph) -> list[int]:
    """Strip heights to try, the best and tallest first; as a rule each needs less memory than the one before it."""
    ends = [graph.nodes[i] for i in (*graph.inputs, *graph.outputs) if graph.nodes[i].rows]
    height = max((node.height for node in ends), default=1)
    wanted = min(_wanted(graph, height), LARGEST_STRIP, height)
    stride = _total_stride(graph)
    sizes = [size for size in _SIZES if size < wanted and (size % stride == 0 or size <= min(stride, 16))]
    first = min(height, ceil(wanted / stride) * stride) if stride <= LARGEST_STRIP else wanted
    return [first, *sizes]


def _wanted(graph: RowGraph, height: int) -> int:
    made = [node for node in graph.nodes if node.rows is not None and node.view_of is None]
    values = sum(node.nbytes // node.itemsize for node in made)
    weights = graph.constant_bytes // 4
    by_start = _VALUES_PER_OPERATOR * len(made) * height / max(values, 1)
    by_weights = _VALUES_PER_WEIGHT * weights * height / max(values, 1)
    return max(_LEAST, ceil(by_start), ceil(by_weights))


def _total_stride(graph: RowGraph) -> int:
    """Rows of the tallest value for one row of the coarsest."""
    heights = [node.height for node in graph.nodes if node.rows and node.height > 1]
    return max(1, round(max(heights) / min(heights))) if heights else 1
