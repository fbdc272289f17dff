"""Faults that generated networks found."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from tests.properties.checks import TOLERANCE, check_laws
from torch import nn


class Resized(nn.Module):
    """A convolution keeps lines of the resized image, so that strips of it are copied from what the kernel makes."""

    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv2d(3, 2, 3, dtype=torch.float64)

    def forward(self, x):
        return self.convolution(F.interpolate(x * 2, scale_factor=2, mode="bilinear"))


@pytest.mark.parametrize("strip", [1, 2, 5, 1000])
def test_rows_that_a_narrow_resize_makes_too_many_are_in_the_ledger(strip):
    """With up to 3 channels PyTorch's kernel for small images sums otherwise, so that low strips are made higher."""
    torch.manual_seed(0)
    model, x = Resized().eval(), torch.randn(2, 3, 64, 8, dtype=torch.float64)
    with torch.no_grad():
        full = model(x)
    run = check_laws(model, [x], full, strip, TOLERANCE[x.dtype])
    booked = {entry.name: entry.bytes for entry in run.plan.ledger}
    assert booked["upsample_bilinear2d (resize) scratch"] > booked["upsample_bilinear2d (resize)"]
