"""Columns of the receptive field, on generated networks: what lies outside doesn't matter."""

from __future__ import annotations

import pytest
import torch
from tests.properties.generate import KINDS, generate
from torch.utils import _pytree as pytree

import narrows
from narrows.errors import CaptureError
from narrows.streaming.capturing import captured

DRAWS = 12


@torch.no_grad()
@pytest.mark.parametrize("kind", list(KINDS))
def test_what_lies_outside_the_columns_of_the_field_does_not_matter(kind):
    case, graph, field = drawn_with_columns(kind)
    axis = graph.nodes[graph.outputs[0]].columns
    image, *others = case.inputs
    middle = image.shape[-1] // 2
    kept = slice(max(middle - field.left, 0), middle + field.right + 1)
    changed = torch.rand_like(image)
    changed[..., kept] = image[..., kept]
    before, after = (
        pytree.tree_leaves(case.network(x, *others))[0].select(axis.dim, axis.count // 2).double()
        for x in (image, changed)
    )
    assert torch.equal(before.isnan(), after.isnan())
    assert (before - after).nan_to_num(0.0).abs().max() <= 1e-9 * before.nan_to_num(0.0).abs().max()


def drawn_with_columns(kind):
    """The first of some networks drawn with an operator of `kind` whose columns are known."""
    first = list(KINDS).index(kind)
    for draw in range(DRAWS):
        case = generate(first + len(KINDS) * draw, torch.float64, must=kind)
        shapes = [tuple(x.shape) for x in case.inputs]
        try:
            graph = captured(case.network, shapes, torch.float64)
            field = narrows.cost(case.network, 1, 1, inputs=shapes).field
        except CaptureError:
            continue
        axis = graph.nodes[graph.outputs[0]].columns
        if field is not None and field.columns is not None and axis is not None and axis.outer == 1:
            print(case.listing)
            return case, graph, field
    raise AssertionError(f"none of {DRAWS} networks with {kind} has columns that are known")
