from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from narrows.networks.rowwise_water import rowwise_water
from narrows.networks.water_net import water, water_small

LIMITS = {rowwise_water: 500_000, water: 500_000, water_small: 60_000}


@pytest.fixture(scope="module", params=LIMITS, ids=lambda factory: factory.__name__)
def network(request: pytest.FixtureRequest) -> nn.Module:
    torch.manual_seed(0)
    network = request.param()
    network.limit = LIMITS[request.param]
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-0.2, 0.2)
            module.running_var.uniform_(0.5, 2.0)
    return network.eval()


def test_is_compact(network: nn.Module) -> None:
    assert sum(p.numel() for p in network.parameters()) <= network.limit


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (7, 3), (8, 8), (33, 17)])
def test_gives_two_probabilities_of_the_images_size(network: nn.Module, size: tuple[int, int]) -> None:
    with torch.inference_mode():
        water, hidden = network(torch.rand(2, 6, *size))
    assert water.shape == hidden.shape == (2, 1, *size)
    for map_ in (water, hidden):
        assert ((map_ >= 0) & (map_ <= 1)).all()


def test_reflectance_beyond_zero_and_one_counts_as_zero_and_one(network: nn.Module) -> None:
    x = torch.rand(1, 6, 24, 24) * 3 - 1
    with torch.inference_mode():
        assert torch.equal(network(x)[0], network(x.clamp(0, 1))[0])


def _touched(network: nn.Module, axis: int) -> tuple[int, int]:
    """How far before and after a line of NaN the map is NaN: what cannot reach a pixel leaves it whole."""
    size = [16, 16]
    size[axis] = 416
    x = torch.rand(1, 6, *size)
    x.select(axis + 2, 208).fill_(torch.nan)
    with torch.inference_mode():
        felt = torch.isnan(network(x)[0][0, 0]).any(1 - axis).nonzero().flatten()
    return 208 - int(felt.min()), int(felt.max()) - 208


def test_looks_far_along_the_row_and_short_across(network: nn.Module) -> None:
    above, below = _touched(network, 0)
    left, right = _touched(network, 1)
    assert max(above, below) < 100
    assert min(left, right) > max(above, below)


def test_no_barrier_a_crop_on_the_grid_agrees_far_from_its_border(network: nn.Module) -> None:
    x = torch.rand(1, 6, 320, 16)
    with torch.inference_mode():
        whole, part = network(x)[0], network(x[:, :, 96:])[0]
    torch.testing.assert_close(whole[:, :, 96 + 96 :], part[:, :, 96:], atol=1e-5, rtol=0)


def test_the_first_layer_is_given_roots_and_normalised_differences_square_by_square() -> None:
    torch.manual_seed(0)
    image = torch.rand(1, 6, 6, 8) * 0.4
    found = F.pixel_shuffle(water_small().features_of(F.pixel_unshuffle(image, 2)), 2)
    _, green, red, near, short, _ = image[0]
    assert torch.equal(found[0, :6], image[0].sqrt())
    for given, (a, b) in zip(found[0, 6:], ((green, short), (green, near), (near, red)), strict=True):
        assert torch.allclose(given, (a - b) / (a + b + 0.02))
    darker = F.pixel_shuffle(water_small().features_of(F.pixel_unshuffle(0.5 * image, 2)), 2)
    bright = (image[0, [1, 1, 3]] + image[0, [4, 3, 2]]) > 0.3
    assert (darker - found)[0, 6:].abs()[bright].max() < 0.06
    assert (darker - found)[0, :6].abs().mean() > 0.1


def test_what_one_square_shows_reaches_its_own_logits_directly() -> None:
    torch.manual_seed(0)
    network = water_small().eval()
    with torch.no_grad():
        network.head.weight.zero_()
        image = torch.rand(1, 6, 16, 16)
        changed = image.clone()
        changed[0, :, 5, 8] = 0
        different = (network.logits(image) != network.logits(changed)).any(1)[0]
    assert different[4:6, 8:10].any()
    different[4:6, 8:10] = False
    assert not different.any()
