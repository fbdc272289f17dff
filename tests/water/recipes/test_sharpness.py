from __future__ import annotations

import copy

import pytest
import torch

from narrows.networks.water_net import WaterNet
from narrows.water.recipes.augmentation import Batch
from narrows.water.recipes.sharpness import fit_sharpness


def test_logits_become_as_sure_as_they_are_right_and_nothing_else() -> None:
    torch.manual_seed(2)
    model = WaterNet((4, 4, 4, 4), (1, 1)).eval()
    x = torch.rand(3, 6, 32, 32)
    with torch.no_grad():
        before = model.logits(x)
        target = (torch.rand(before.shape) < torch.sigmoid(0.4 * before + 0.3)).float()
    weight = torch.ones_like(target)
    weight[:, :, :4] = 0
    batch = Batch(x, target, weight)
    found = fit_sharpness(model, batch, batch)
    assert set(found) == {"water", "hidden"}
    with torch.no_grad():
        after = model.logits(x)
    for k, name in enumerate(("water", "hidden")):
        scale, shift = found[name]
        assert torch.allclose(after[:, k], before[:, k] * scale + shift, atol=1e-3)
    known = (weight[:, 0] > 0) & (before[:, 0].abs() < 4)
    assert float(torch.sigmoid(after[:, 0][known]).mean()) == pytest.approx(float(target[:, 0][known].mean()), abs=1e-4)


def test_labels_of_which_the_network_is_surely_told_the_opposite_move_nothing() -> None:
    torch.manual_seed(2)
    model = WaterNet((4, 4, 4, 4), (1, 1)).eval()
    with torch.no_grad():
        x = torch.rand(3, 6, 32, 32)
        assert model.head.bias is not None
        model.head.bias.zero_()
        enlarged = 3 / model.logits(x).std()
        model.head.weight *= enlarged
        model.head_of_squares.weight *= enlarged
        logits = model.logits(x)
    target = (torch.rand(logits.shape) < torch.sigmoid(logits)).float()
    wrong = torch.where(logits.abs() > 4, 1 - target, target)
    assert not torch.equal(wrong, target)
    found = [
        fit_sharpness(copy.deepcopy(model), batch, batch)
        for batch in (Batch(x, each, torch.ones_like(each)) for each in (target, wrong))
    ]
    assert found[0] == found[1]
    scale, shift = found[0]["water"]
    assert scale == pytest.approx(1, abs=0.1)
    assert shift == pytest.approx(0, abs=0.1)
