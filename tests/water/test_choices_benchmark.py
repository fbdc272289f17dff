"""The networks whose training says why the water networks are built as they are: alike in cost, and all stream."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

from water_choices import BASE, CHOICES, Batches, Cost, compared, cost_of

import narrows
from narrows.networks.water_net import water_small
from narrows.water.recipes.augmentation import Batch


@cache
def cost(name: str) -> Cost:
    """Raises where there is a barrier."""
    return cost_of(CHOICES[name]())


def test_the_base_is_the_small_network() -> None:
    assert sum(p.numel() for p in CHOICES[BASE]().parameters()) == sum(p.numel() for p in water_small().parameters())


@pytest.mark.parametrize("name", CHOICES)
def test_a_network_costs_as_much_on_a_chip_and_has_no_barrier(name: str) -> None:
    base = cost(BASE).macs_on_chips
    assert abs(cost(name).macs_on_chips - base) <= 0.1 * base


@pytest.mark.parametrize("name", ["attention within rows added", "separable, wider", "recursive at 1/8, wider"])
def test_a_network_of_other_blocks_streams(name: str) -> None:
    torch.manual_seed(0)
    model = CHOICES[name]().eval()
    image = torch.rand(1, 6, 75, 61)
    with torch.inference_mode():
        whole = model(image)
    streamed = narrows.stream(model, image[0].numpy(), strip=8)
    for full, rows in zip(whole, streamed, strict=True):
        np.testing.assert_allclose(rows, full[0].numpy(), atol=1e-5)


def test_attention_within_rows_costs_more_where_rows_are_longer() -> None:
    attended = cost("attention within rows added")
    assert attended.macs_a_pixel > 1.3 * attended.macs_on_chips


def test_recursive_filters_wait_for_fewer_rows_than_their_twin() -> None:
    recursive, twin = (cost(name) for name in ("recursive at 1/8, wider", "its FIR twin"))
    assert recursive.macs_a_pixel == twin.macs_a_pixel
    assert recursive.parameters == twin.parameters
    assert recursive.delay < twin.delay
    assert recursive.line_bytes < twin.line_bytes


class Drawn:
    """A mixture that counts how often it is asked."""

    asked = 0

    def draw(self, generator: torch.Generator) -> Batch:
        self.asked += 1
        return Batch(*(torch.rand(2, n, 4, 4, generator=generator) for n in (6, 2, 2)))


def test_networks_of_one_seed_see_the_same_batches_drawn_once() -> None:
    mixture = Drawn()
    batches = Batches(mixture)  # type: ignore[arg-type]
    first, second = ([batches.draw(g).reflectance for _ in range(3)] for g in (seeded(1), seeded(1)))
    assert mixture.asked == 3
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(first[0], batches.draw(seeded(2)).reflectance)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_differences_are_taken_seed_by_seed() -> None:
    base = {1: 0.80, 2: 0.90, 3: 0.85}
    told = compared({1: 0.82, 2: 0.93, 4: 0.99}, base)
    assert told["seeds"] == 3
    assert told["difference"] == pytest.approx(0.025)
    assert told["standard_error"] == pytest.approx(np.std([0.02, 0.03], ddof=1) / 2**0.5)
    assert "difference" not in compared(base, base)
