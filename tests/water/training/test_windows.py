from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from labelled_scenes import LAND, WATER, classes_of, write_pair, write_pairs

from narrows.water.recipes.augmentation import Batch, add_clouds, vary
from narrows.water.training.division import Part, divide, whole
from narrows.water.training.labelled import Library, open_library
from narrows.water.training.labels import batch_of, blanked, give_swir, lacks_swir
from narrows.water.training.windows import RandomWindows, fixed_windows


def draw(library: Library, parts: tuple[Part, ...], side: int, count: int = 64, seed: int = 0):
    return RandomWindows(library, parts, side).draw(count, torch.Generator().manual_seed(seed))


def test_crops_show_their_labels_and_half_of_them_are_around_water(tmp_path: Path) -> None:
    pairs = write_pairs(tmp_path, 3, ponds=1)
    with open_library(pairs) as library:
        reflectance, classes = draw(library, whole(library.scenes), 48)
        again, _ = draw(library, whole(library.scenes), 48)
        other, _ = draw(library, whole(library.scenes), 48, seed=1)
    assert reflectance.shape == (64, 6, 48, 48)
    assert classes.shape == (64, 48, 48)
    np.testing.assert_array_equal(reflectance, again)
    assert not np.array_equal(reflectance, other)
    wet = (classes == 1).any((1, 2)).mean()
    assert 0.4 < wet < 0.95
    looks = reflectance[:, 3] < (WATER[3] + LAND[3]) / 2
    assert (looks == (classes == 1)).mean() > 0.999


def test_a_scene_smaller_than_the_crop_is_mirrored(tmp_path: Path) -> None:
    classes = classes_of(40, 50)
    with open_library([write_pair(tmp_path, "a", classes)]) as library:
        _, found = draw(library, whole(library.scenes), 64, count=2)
    np.testing.assert_array_equal(found[0][:40, :50], classes)
    np.testing.assert_array_equal(found[0][40:64, :50], classes[15:39][::-1])
    np.testing.assert_array_equal(found[0][:40, 50:64], classes[:, 35:49][:, ::-1])


def test_blocks_that_validate_teach_nothing(tmp_path: Path) -> None:
    pair = write_pair(tmp_path, "a", classes_of(256, 256, ponds=20))
    with open_library([pair]) as library:
        division = divide(library.scenes, 0.3, 0)
        _, taught = draw(library, division.training, 256, count=1)
        kept = fixed_windows(library, division.validation, 64, 0)
    held = np.kron(division.validation[0].cells, np.ones((32, 32), bool))
    assert (taught[0][held] == 255).all()
    assert (taught[0][~held] != 255).all()
    assert sum((classes != 255).sum() for _, classes in kept) == held.sum()


def test_fixed_windows_cover_what_is_labelled_once_and_are_limited(tmp_path: Path) -> None:
    classes = classes_of(150, 200, ponds=2)
    pair = write_pair(tmp_path, "a", classes)
    with open_library([pair]) as library:
        every = fixed_windows(library, whole(library.scenes), 32, 0)
        some = fixed_windows(library, whole(library.scenes), 32, 0, most=6)
        none = fixed_windows(library, (), 32, 0)
    assert len(every) == 5 * 7
    assert all(x.shape == (6, 32, 32) for x, _ in every)
    assert len(some) == 6
    assert sum((part == 1).any() for _, part in some) == 3
    assert none == []


def test_what_a_mask_teaches() -> None:
    classes = np.array([[[0, 1, 2], [3, 4, 255]]], np.uint8)
    batch = batch_of(np.zeros((1, 6, 2, 3), np.float32), classes)
    assert batch.target[0, 0].tolist() == [[0, 1, 0], [0, 0, 0]]
    assert batch.weight[0, 0].tolist() == [[1, 1, 0], [0.5, 0.5, 0]]
    assert batch.target[0, 1].tolist() == [[0, 0, 0], [1, 1, 0]]
    assert batch.weight[0, 1].tolist() == [[1, 1, 0], [1, 1, 0]]


def test_a_crop_without_shortwave_infrared_keeps_1_there() -> None:
    reflectance = np.full((4, 6, 32, 32), 0.2, np.float32)
    reflectance[:2, 4:] = 1
    reflectance[1, :, :8] = np.nan
    batch = batch_of(reflectance, np.zeros((4, 32, 32), np.uint8))
    lacking = lacks_swir(batch)
    assert lacking.tolist() == [True, True, False, False]
    for seed in range(6):
        copy = Batch(batch.reflectance.clone(), batch.target, batch.weight)
        generator = torch.Generator().manual_seed(seed)
        found = blanked(give_swir(vary(add_clouds(copy, generator, share=0.0), generator), lacking))
        swir, blank = found.reflectance[:2, 4:], (found.reflectance[:2, :4] == 0).all(1, keepdim=True)
        assert torch.equal(swir, (~blank).float().expand_as(swir))


def test_no_data_stays_no_data_and_teaches_nothing_whatever_is_done_to_a_crop() -> None:
    reflectance = np.full((16, 6, 64, 64), 0.2, np.float32)
    reflectance[:, :, :24] = np.nan
    classes = np.zeros((16, 64, 64), np.uint8)
    classes[:, :24] = 255
    for seed in (1, 2, 3, 4):
        generator = torch.Generator().manual_seed(seed)
        batch = blanked(vary(add_clouds(batch_of(reflectance, classes), generator), generator))
        assert torch.isfinite(batch.reflectance).all()
        empty = (batch.reflectance == 0).all(1)
        assert 0.2 < empty.float().mean() < 0.6
        assert (batch.weight[:, 0][empty] == 0).all()
        assert (batch.weight[:, 1][empty] == 0).all()
        # Most of what has data does teach.
        assert (batch.weight[:, 0][~empty] > 0).float().mean() > 0.6
