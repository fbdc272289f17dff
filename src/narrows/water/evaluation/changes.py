"""Scenes made harder by degrees: noise, shifted bands, haze, clouds. The truth changes with them where it must."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from narrows.water.evaluation.truth import CLOUD, FILL, UNSURE
from narrows.water.evaluation.view import View
from narrows.water.recipes.augmentation import Batch, add_clouds
from narrows.water.recipes.scoring import at_top_of_atmosphere

__all__ = ["CHANGES", "Change", "Changed"]

Reflectance = NDArray[np.float32]
Truth = NDArray[np.uint8]

_CLOUD_DRAWS = 24
_DIRECTIONS = ((0, 0), (0, 1), (1, 0), (0, -1), (-1, 0), (1, 1))


@dataclass(frozen=True)
class Changed:
    view: View
    truth: Truth


@dataclass(frozen=True)
class Change:
    """A way to make a scene harder. `levels` are the degrees, the first being none; `unit` says what they are."""

    name: str
    unit: str
    levels: tuple[float, ...]
    apply: Callable[[View, Truth, float, int], Changed]

    def at(self, view: View, truth: Truth, level: float) -> Changed:
        """`view` and its truth at `level`; the same for every method, and on every run."""
        if level == self.levels[0]:
            return Changed(view, truth)
        return self.apply(view, truth, level, zlib.crc32(f"{view.name} {self.name}".encode()))


def _noise(view: View, truth: Truth, level: float, seed: int) -> Changed:
    noise = np.random.default_rng(seed).standard_normal(view.reflectance.shape, np.float32)
    return Changed(view.showing(view.reflectance + np.float32(level) * noise), truth)


def _band_shift(view: View, truth: Truth, level: float, seed: int) -> Changed:
    """Each band moves towards its neighbour of longer wavelength, as if another sensor's bands lay between."""
    x = view.reflectance
    last = view.bands - 1
    following = np.concatenate([x[1 : last + 1], x[last : last + 1], x[last + 1 :]])
    return Changed(view.showing(x + np.float32(level) * (following - x)), truth)


def _misregistration(view: View, truth: Truth, level: float, seed: int) -> Changed:
    """Each band but the first lies `level` pixels aside, each in a direction of its own."""
    from scipy.ndimage import shift

    moved = [
        shift(band, (level * down, level * across), order=1, mode="nearest")
        for band, (down, across) in zip(view.reflectance, _DIRECTIONS, strict=True)
    ]
    return Changed(view.showing(np.stack(moved)), truth)


def _haze(view: View, truth: Truth, level: float, seed: int) -> Changed:
    return Changed(view.showing(at_top_of_atmosphere(view.reflectance[None], level)[0]), truth)


def _clouds(view: View, truth: Truth, level: float, seed: int) -> Changed:
    """Of 24 random skies the one whose clouds and shadows cover nearest to `level` of the scene. What they hide becomes
    cloud in the truth, what they half hide unsure."""
    clear = Batch(
        torch.from_numpy(view.reflectance)[None], torch.zeros(1, 2, *view.shape), torch.ones(1, 2, *view.shape)
    )
    best: tuple[float, Batch] | None = None
    for draw in range(_CLOUD_DRAWS):
        sky = add_clouds(clear, torch.Generator().manual_seed(seed + draw), share=1.0)
        miss = abs(float(sky.target[0, 1].mean()) - level)
        if best is None or miss < best[0]:
            best = miss, sky
    assert best is not None
    sky = best[1]
    hidden, known = sky.target[0, 1].numpy() > 0, sky.weight[0].numpy() > 0
    seen = np.where(hidden, CLOUD, np.where(known.all(axis=0), truth, UNSURE)).astype(np.uint8)
    kept = np.where(truth == FILL, truth, seen)
    return Changed(view.showing(sky.reflectance[0].numpy()), kept)


CHANGES = (
    Change("noise", "standard deviation of reflectance", (0.0, 0.005, 0.01, 0.02, 0.04), _noise),
    Change("band shift", "of the way to the next longer band", (0.0, 0.05, 0.1, 0.2, 0.3), _band_shift),
    Change("misregistration", "pixels between bands", (0.0, 0.25, 0.5, 1.0, 2.0), _misregistration),
    Change("haze", "path light in blue, reflectance", (0.0, 0.03, 0.06, 0.09, 0.12), _haze),
    Change("cloud cover", "share of the scene", (0.0, 0.1, 0.25, 0.4, 0.6), _clouds),
)
