"""What a mask drawn by people teaches."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from narrows.water.evaluation.truth import CLOUD, LAND, SHADOW, WATER
from narrows.water.recipes.augmentation import Batch

__all__ = ["batch_of", "blanked", "give_swir", "lacks_swir"]

# Where cloud or shadow hides the ground a map should not say water, but the mask doesn't know: half as sure.
_COVERED_WEIGHT = 0.5


def batch_of(reflectance: NDArray[np.float32], classes: NDArray[np.uint8]) -> Batch:
    """Crops as the losses want them.

    Land and water are seen: they teach both outputs. Cloud and shadow are hidden, and weakly taught as not water.
    Unsure and fill teach nothing.

    Args:
        reflectance: (n, 6, H, W), NaN where the scene has no data.
        classes: (n, H, W), as `read_truth` gives them, 255 also where the scene wasn't observed.
    """
    water, covered = classes == WATER, (classes == CLOUD) | (classes == SHADOW)
    seen = water | (classes == LAND)
    target = np.stack((water, covered), 1).astype(np.float32)
    weight = np.stack((seen + _COVERED_WEIGHT * covered, seen | covered), 1).astype(np.float32)
    return Batch(torch.from_numpy(reflectance), torch.from_numpy(target), torch.from_numpy(weight))


def lacks_swir(batch: Batch) -> Tensor:
    """Which crops come from a scene without shortwave infrared (it reads as 1 in both bands), bool (n,). There it
    becomes 0, so that nothing of it gets into the other bands while a crop is varied; see `give_swir`."""
    swir = batch.reflectance[:, 4:]
    lacking = (swir.nan_to_num(1.0) == 1).flatten(1).all(1)
    swir[lacking] *= 0  # NaN stays NaN
    return lacking


def give_swir(batch: Batch, lacking: Tensor) -> Batch:
    """The batch with 1 again in the bands that the `lacking` crops don't have, wherever there is data."""
    blank = (batch.reflectance[:, :4] == 0).all(1, keepdim=True)
    swir = batch.reflectance[:, 4:][lacking]
    batch.reflectance[:, 4:][lacking] = swir * 0 + (~blank[lacking]).float()
    return batch


def blanked(batch: Batch) -> Batch:
    """The batch with 0 where a pixel isn't finite, and nothing taught there.

    Whatever augmentation does to a pixel that is NaN (turns, clouds, calibrations) leaves it NaN; so it shows where the
    pixels without data went.
    """
    missing = ~torch.isfinite(batch.reflectance).all(1, keepdim=True)
    return Batch(torch.where(missing, 0.0, batch.reflectance), batch.target, torch.where(missing, 0.0, batch.weight))
