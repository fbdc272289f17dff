from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Generator, Tensor, nn

from narrows.training.loop import LoopSettings, Step, fit

SETTINGS = LoopSettings(steps=60, rate=0.05, warm=5, average=0.9, save_every=20, seed=3)
TRUE = torch.tensor([[1.0, -2.0, 0.5]])


def network() -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Linear(8, 1))


def loss(model: nn.Module, generator: Generator) -> Tensor:
    x = torch.randn((32, 3), generator=generator)
    return (model(x) - x @ TRUE.T).square().mean()


def error(model: nn.Module) -> float:
    x = torch.randn((200, 3), generator=Generator().manual_seed(9))
    with torch.no_grad():
        return float((model(x) - x @ TRUE.T).square().mean())


def test_it_learns_and_gives_the_averaged_weights(tmp_path: Path) -> None:
    model = network()
    before = error(model.eval())
    told: list[Step] = []
    assert fit(model, loss, tmp_path, SETTINGS, report=told.append) is model
    assert not model.training
    assert error(model) < 0.2 * before
    assert [step.step for step in told] == list(range(1, 61))
    assert [step.step for step in told if step.noted] == [20, 40, 60]
    kept = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    averaged, last = kept["average"]["module.0.weight"], kept["model"]["0.weight"]
    assert torch.equal(model.state_dict()["0.weight"], averaged)
    assert not torch.equal(averaged, last)


def test_an_interrupted_run_ends_with_the_same_weights(tmp_path: Path) -> None:
    whole = fit(network(), loss, tmp_path / "whole", SETTINGS)

    def stumbling(model: nn.Module, generator: Generator) -> Tensor:
        nonlocal calls
        calls += 1
        if calls == 50:
            raise KeyboardInterrupt
        return loss(model, generator)

    calls = 0
    with pytest.raises(KeyboardInterrupt):
        fit(network(), stumbling, tmp_path / "cut", SETTINGS)
    again = fit(network(), loss, tmp_path / "cut", SETTINGS)
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name
    assert not list(tmp_path.rglob("*.part"))


def test_it_stops_when_nothing_gets_better_and_keeps_the_best(tmp_path: Path) -> None:
    scores = iter([0.2, 0.8, 0.5, 0.6, 0.7, 0.9])
    seen: list[Tensor] = []

    def validate(model: nn.Module) -> float:
        seen.append(model.state_dict()["0.weight"].clone())
        return next(scores)

    told: list[Step] = []
    settings = replace(SETTINGS, validate_every=5, patience=3)
    model = fit(network(), loss, tmp_path, settings, validate=validate, report=told.append)
    assert [(step.step, step.score, step.best) for step in told if step.score is not None] == [
        (5, 0.2, True),
        (10, 0.8, True),
        (15, 0.5, False),
        (20, 0.6, False),
        (25, 0.7, False),
    ]
    assert torch.equal(model.state_dict()["0.weight"], seen[1])
    # Started again it knows that it is done.
    again = fit(network(), loss, tmp_path, settings, validate=validate)
    assert torch.equal(again.state_dict()["0.weight"], seen[1])


def test_the_rate_rises_and_falls() -> None:
    rates = [SETTINGS.rate_at(step) for step in range(60)]
    assert rates[0] < rates[3] < max(rates) <= SETTINGS.rate * 1.001
    assert rates[-1] < 0.01 * SETTINGS.rate
    assert LoopSettings(steps=10, warm=0).rate_at(0) > 0
