"""Crops of labelled scenes as a network is taught by them."""

from __future__ import annotations

from torch import Generator

from narrows.water.recipes.augmentation import Batch, add_clouds, vary
from narrows.water.training.labels import batch_of, give_swir, lacks_swir
from narrows.water.training.windows import RandomWindows

__all__ = ["varied_crops"]


def varied_crops(windows: RandomWindows, count: int, generator: Generator) -> Batch:
    """`count` crops: turned, of another calibration, some under clouds; NaN where there is no data (see `blanked`)."""
    crops = batch_of(*windows.draw(count, generator))
    lacking = lacks_swir(crops)
    return give_swir(vary(add_clouds(crops, generator), generator), lacking)
