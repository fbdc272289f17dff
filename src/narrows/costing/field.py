"""What of the image the central value of an output depends on.

The theoretical field composes the row needs of all operators, from the central row of the first output back to the
input; for columns, those of the network with rows and columns exchanged (`columns.py`).

The effective field follows Luo et al. 2016 (arXiv 1701.04128): the gradient of the central value, summed over its
channels, with respect to an input of standard normal noise, its absolute value averaged over channels and over several
draws. Taken as a density over the rows (columns), its size is four standard deviations, which hold 95 % of a normal
distribution. The network is run as it is, on a crop that is larger than the theoretical field where that fits.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.export import ExportedProgram
from torch.utils._pytree import tree_leaves

from narrows.costing.columns import transposed_graph
from narrows.costing.report import Field
from narrows.errors import CaptureError
from narrows.rowgraph.graph import RowGraph

__all__ = ["effective_field", "theoretical_field"]

_DRAWS = 4
_LARGEST_CROP = 512
_STEP = 32


def theoretical_field(program: ExportedProgram, graph: RowGraph) -> Field | None:
    """The field in rows and columns of the first input of `program`, whose row graph is `graph`.

    None where an output has no rows or an operator has no need; its columns are None where that is so of columns.
    """
    rows = _span(graph)
    if rows is None:
        return None
    try:
        across = transposed_graph(program)
    except CaptureError:
        return Field(*rows)
    return Field(*rows, *(_span(across) or ()))


def _span(graph: RowGraph) -> tuple[int, int, int, bool] | None:
    """Of the rows of the first input that the central row of the first output depends on: how many, how far above and
    below the input's own centre they go, and whether they are all."""
    output = graph.nodes[graph.outputs[0]]
    image = graph.nodes[graph.inputs[0]]
    if not image.rows or any(node.unsupported for node in graph.nodes):
        return None
    middle = output.height // 2
    spans = {output.index: (middle, middle + 1) if output.rows else (0, 1)}
    for node in reversed(graph.nodes):
        if node.index not in spans:
            continue
        start, stop = spans[node.index]
        for source, need in zip(node.inputs, node.needs, strict=True):
            before = graph.nodes[source]
            if before.rows is None:
                first, last = 0, 1
            elif need is None or node.rows is None or node.barrier:
                first, last = 0, before.height
            else:
                # A recurrence carries a state: what it makes depends on every row before.
                first, last = 0 if node.state_bytes else need.first(start), need.last(stop)
            known = spans.get(source)
            spans[source] = (min(first, known[0]), max(last, known[1])) if known else (first, last)
    first, last = spans.get(image.index, (0, 0))
    centre = image.height // 2
    return (last - first, max(centre - first, 0), max(last - 1 - centre, 0), last - first >= image.height)


def effective_field(
    model: torch.nn.Module, shape: Sequence[int], dtype: torch.dtype, field: tuple[int, int]
) -> tuple[float, float, tuple[int, int]]:
    """Rows and columns of the effective field of `model`, and the crop that it was measured on.

    Args:
        shape: (N, C, H, W) of the image.
        field: rows and columns of the theoretical field.
    """
    wanted = [min(-(-(count + 2 * _STEP) // _STEP) * _STEP, _LARGEST_CROP) for count in field]
    crop = (min(wanted[0], shape[-2]), min(wanted[1], shape[-1]))
    generator = torch.Generator().manual_seed(0)
    total = torch.zeros(crop, dtype=torch.float64)
    for _ in range(_DRAWS):
        image = torch.randn((1, shape[1], *crop), generator=generator).to(dtype).requires_grad_()
        output = tree_leaves(model(image))[0]
        picked = output[(..., output.shape[-2] // 2, output.shape[-1] // 2)] if output.dim() > 3 else output
        (gradient,) = torch.autograd.grad(picked.sum(), image)
        total += gradient.abs().double().mean((0, 1))
    return _spread(total.sum(1)), _spread(total.sum(0)), crop


def _spread(density: torch.Tensor) -> float:
    """Four standard deviations of a density over places, each of which is one wide."""
    if not float(density.sum()):
        return 0.0
    density = density / density.sum()
    places = torch.arange(len(density), dtype=torch.float64)
    mean = (density * places).sum()
    return float(4 * (((places - mean) ** 2 * density).sum() + 1 / 12) ** 0.5)
