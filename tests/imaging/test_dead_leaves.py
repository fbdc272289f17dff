from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

from narrows.errors import InputError
from narrows.imaging.dead_leaves import LeafPool, dead_leaves
from narrows.imaging.palette import LUMA


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return dead_leaves(6, 128, 128, seed=1)


def test_is_seeded_and_in_range(images: torch.Tensor) -> None:
    assert images.shape == (6, 3, 128, 128)
    assert images.dtype == torch.float32
    assert images.min() >= 0 and images.max() <= 1
    assert torch.equal(images, dead_leaves(6, 128, 128, seed=1))
    assert not torch.equal(images, dead_leaves(6, 128, 128, seed=2))


def test_one_channel_is_the_luma_of_three(images: torch.Tensor) -> None:
    luma = torch.einsum("nchw,c->nhw", images, torch.tensor(LUMA))
    assert torch.allclose(dead_leaves(6, 128, 128, channels=1, seed=1)[:, 0], luma, atol=1e-6)


def test_has_the_spectrum_of_photographs() -> None:
    # Power falls as frequency to the minus 2 or so (Field 1987; Ruderman 1994), from 1.6 to 2.8 among photographs.
    images = dead_leaves(12, 128, 128, channels=1, seed=4)[:, 0].numpy()
    window = np.hanning(128)[:, None] * np.hanning(128)
    power = (np.abs(np.fft.fft2((images - images.mean((1, 2), keepdims=True)) * window)) ** 2).mean(0)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(128), np.fft.fftfreq(128)))
    bands = np.geomspace(0.03, 0.4, 9)
    mean = [power[(frequency >= a) & (frequency < b)].mean() for a, b in pairwise(bands)]
    slope = np.polyfit(np.log(np.sqrt(bands[:-1] * bands[1:])), np.log(mean), 1)[0]
    assert -3.0 < slope < -1.5


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 40), (7, 3), (65, 17)])
def test_any_size(height: int, width: int) -> None:
    assert dead_leaves(2, height, width, seed=0).shape == (2, 3, height, width)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"count": 0, "height": 4, "width": 4, "seed": 0}, "0 images of 4 x 4"),
        ({"count": 1, "height": 4, "width": 4, "channels": 2, "seed": 0}, "1 or 3 channels, not 2"),
        ({"count": 1, "height": 4, "width": 4, "seed": -1}, "seed of dead-leaves images is -1"),
    ],
)
def test_refuses(asked: dict[str, int], said: str) -> None:
    with pytest.raises(InputError, match=said):
        dead_leaves(**asked)  # type: ignore[arg-type]


def test_a_pool_gives_crops_of_its_plates() -> None:
    pool = LeafPool(2, 48, seed=3)
    crops = pool.draw(5, 32, 24, torch.Generator().manual_seed(0))
    assert crops.shape == (5, 3, 32, 24)
    assert torch.equal(crops, pool.draw(5, 32, 24, torch.Generator().manual_seed(0)))
    with pytest.raises(InputError, match="larger than the plates"):
        pool.draw(1, 49, 8, torch.Generator())


def test_leaves_are_cut_by_no_box_and_cover_the_area_that_is_reckoned_with() -> None:
    import narrows.imaging.dead_leaves as module

    random = np.random.default_rng(0)
    leaves = module._fall(2, 40, 40, random)
    boxed = module._visible(leaves, 2, 80, 80)
    whole = np.repeat(np.arange(len(leaves.radius), len(leaves.radius) + 2, dtype=np.int32), 80 * 80)
    for kind, sides in enumerate(module._SIDES):
        for one in np.flatnonzero(leaves.kind == kind):
            module._drop(leaves, np.array([one]), sides, 10**6, whole, 80, 80)
    np.testing.assert_array_equal(boxed.ravel(), whole)
    bare = np.mean([(module._visible(leaves, 1, 400, 400) == len(leaves.radius)).mean() for leaves in _falls(module)])
    assert bare == pytest.approx(np.exp(-module._LAYERS), abs=0.012)


def _falls(module: Any) -> list[Any]:
    random = np.random.default_rng(1)
    return [module._fall(1, 200, 200, random) for _ in range(8)]
