from __future__ import annotations

import numpy as np
import pytest
import torch

from narrows.water.recipes.augmentation import Batch, add_atmosphere, add_clouds, vary
from narrows.water.simulation import simulate_scene


def batch(n: int = 4, side: int = 96) -> Batch:
    x, water = simulate_scene(side, side * n, 2, kind="lakes")
    reflectance = torch.from_numpy(np.stack(np.split(x, n, 2)))
    target = torch.zeros(n, 2, side, side)
    target[:, 0] = torch.from_numpy(np.stack(np.split(water, n, 1)))
    return Batch(reflectance, target, torch.ones_like(target))


def test_augmentation_repeats_with_its_generator_and_keeps_shapes() -> None:
    one, two, other = (vary(batch(), torch.Generator().manual_seed(s)) for s in (1, 1, 2))
    assert torch.equal(one.reflectance, two.reflectance)
    assert not torch.equal(one.reflectance, other.reflectance)
    for part in (one.target, one.weight):
        assert part.shape == (4, 2, 96, 96)
    assert set(one.target.unique().tolist()) <= {0.0, 1.0}
    assert torch.isfinite(one.reflectance).all()


def test_clouds_hide_and_shadows_leave_water_water() -> None:
    clear = batch(8)
    found = add_clouds(clear, torch.Generator().manual_seed(3), share=1.0)
    hidden = found.target[:, 1] > 0
    assert 0.02 < hidden.float().mean() < 0.98
    blue, before = found.reflectance[:, 0], clear.reflectance[:, 0]
    under_cloud, in_shadow = hidden & (blue > before + 0.1), hidden & (blue < before)
    assert under_cloud.any()
    assert in_shadow.any()
    assert torch.equal(found.target[:, 0][in_shadow], clear.target[:, 0][in_shadow])
    gone = (found.target[:, 0] == 0) & (clear.target[:, 0] == 1)
    assert gone.any()
    assert hidden[gone].all()


def test_atmosphere_raises_blue_most_and_dims_nothing_dark() -> None:
    x = torch.full((1, 6, 2, 2), 0.03)
    rise = (add_atmosphere(x, torch.tensor(0.1)) - x)[0, :, 0, 0]
    assert (rise > 0).all()
    assert (rise.diff() < 0).all()
    assert rise[0] == pytest.approx(0.1, abs=0.01)


def test_a_few_variants_lose_their_shortwave_infrared() -> None:
    lost = 0
    for seed in range(12):
        found = vary(batch(8, 48), torch.Generator().manual_seed(seed)).reflectance
        gone = (found[:, 4:] == 1).flatten(1).float().mean(1) > 0.5
        lost += int(gone.sum())
        assert not (found[:, :4] == 1).flatten(1).all(1).any()
    assert 1 <= lost <= 20
