"""Columns of the receptive field, on generated networks: what lies outside doesn't matter."""

from __future__ import annotations

import pytest
import torch
from tests.properties.generate import KINDS, generate
from torch.utils import _pytree as pytree

import narrows
from narrows.errors import CaptureError
from narrows.streaming.capturing import captured

KNOWN = [0, 0]


@pytest.fixture(scope="module", autouse=True)
def mostly_known():
    """Fails where columns are seldom known."""
    yield
    known, drawn = KNOWN
    assert known >= 0.6 * drawn


@torch.no_grad()
@pytest.mark.parametrize("seed", range(len(KINDS)))
def test_what_lies_outside_the_columns_of_the_field_does_not_matter(seed):
    case = generate(seed, torch.float64, must=list(KINDS)[seed])
    shapes = [tuple(x.shape) for x in case.inputs]
    try:
        graph = captured(case.network, shapes, torch.float64)
        field = narrows.cost(case.network, 1, 1, inputs=shapes).field
    except CaptureError:
        pytest.skip("it can't be captured")
    axis = graph.nodes[graph.outputs[0]].columns
    if field is None or axis is None or axis.outer > 1:
        pytest.skip("its rows aren't known, or its output has no columns of its own")
    KNOWN[1] += 1
    if field.columns is None:
        return
    KNOWN[0] += 1
    print(case.listing)
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
