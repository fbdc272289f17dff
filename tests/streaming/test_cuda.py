"""Streaming on a CUDA device: the same rows as its full frame. Needs one; elsewhere these tests are skipped."""

from __future__ import annotations

import copy

import pytest
import torch
from torch.utils import _pytree as pytree

import narrows
from narrows.networks.convnext import convnext_dense
from narrows.networks.rowwise_water import rowwise_water
from narrows.networks.unet import unet

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")

TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5}


@pytest.fixture(autouse=True)
def _full_precision(monkeypatch: pytest.MonkeyPatch):
    """Without TF32, whose 10 bits are coarser than what is asserted."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    monkeypatch.setattr(torch.backends.cuda.matmul, "allow_tf32", False)


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("factory", [unet, convnext_dense, rowwise_water])
@pytest.mark.parametrize("strip", [1, 16, 1000])
def test_streamed_on_the_device_equals_its_full_frame(factory, strip, dtype):
    torch.manual_seed(0)
    model = factory().eval().to("cuda", dtype)
    x = torch.rand(1, 6, 96, 64, dtype=dtype, device="cuda")
    with torch.no_grad():
        full = model(x)
    streamed = narrows.stream(model, x, strip=strip)
    for got, wanted in zip(pytree.tree_leaves(streamed), pytree.tree_leaves(full), strict=True):
        assert got.device.type == "cuda"
        assert (got - wanted).abs().max() <= TOLERANCE[dtype] * wanted.abs().max()


def test_rows_from_memory_are_computed_on_the_device_and_come_back():
    torch.manual_seed(0)
    model = unet().eval()
    x = torch.rand(6, 96, 64)
    with torch.no_grad():
        full = model(x[None])[0].numpy()
    streamed = narrows.stream(copy.deepcopy(model).cuda(), x.numpy(), strip=8)
    assert abs(streamed - full).max() <= 1e-5 * abs(full).max()
    kept = narrows.stream(model, x.numpy(), strip=8, device="cuda")
    assert abs(kept - full).max() <= 1e-5 * abs(full).max()
