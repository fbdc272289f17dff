"""The monitor counts what a count by hand counts, changes nothing, and leaves nothing behind."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from narrows.training.dead_units import DeadUnits


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.Conv2d(4, 2, 1), nn.ReLU6())


def test_a_channel_that_is_never_above_zero_is_dead() -> None:
    model = network()
    with torch.no_grad():
        model[0].weight[2].zero_()
        model[0].bias[2] = -1.0
    x = torch.rand(2, 3, 8, 8)
    with DeadUnits(model) as monitor:
        model(x)
        first, second = monitor.layers()
    assert (first.name, first.units, first.dead) == ("1", 4, (2,)) and not first.collapsed
    assert (second.name, second.units) == ("3", 2)


def test_lost_places_are_those_where_every_channel_is_zero() -> None:
    model = network()
    batches = [torch.randn(2, 3, 9, 7) for _ in range(3)]
    with DeadUnits(model) as monitor:
        for batch in batches:
            model(batch)
        found = monitor.layers()[0]
    zero = torch.cat([(F.relu(model[0](batch)) == 0).all(1).flatten() for batch in batches])
    assert found.lost == pytest.approx(float(zero.double().mean()))


def test_a_unit_that_lives_in_one_batch_lives() -> None:
    model = nn.Sequential(nn.ReLU())
    with DeadUnits(model) as monitor:
        model(torch.tensor([[1.0, -1.0, -1.0]]))
        model(torch.tensor([[-1.0, 2.0, -1.0]]))
        (layer,) = monitor.layers()
        assert layer.dead == (2,) and layer.lost == 0.0
        monitor.reset()
        assert monitor.layers() == []
        model(-torch.ones(1, 3))
        (layer,) = monitor.layers()
    assert layer.collapsed and layer.lost == 1.0 and "collapsed" in str(layer)


def test_training_is_the_same_with_and_without_it() -> None:
    def trained(watched: bool) -> Tensor:
        model = network()
        monitor = DeadUnits(model) if watched else None
        step = torch.optim.SGD(model.parameters(), 0.1)
        for _ in range(3):
            step.zero_grad()
            model(torch.ones(1, 3, 6, 6)).square().mean().backward()
            step.step()
        if monitor is not None:
            monitor.remove()
        assert not any(part._forward_hooks for part in model.modules())
        return model[0].weight.detach()

    assert torch.equal(trained(True), trained(False))


def test_functional_networks_name_what_to_watch() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 1))
    with pytest.raises(ValueError, match="no ReLU module"):
        DeadUnits(model)
    with DeadUnits(model, {"first": model[0]}) as monitor:
        model(torch.ones(1, 1, 2, 2))
        assert [layer.name for layer in monitor.layers()] == ["first"]
