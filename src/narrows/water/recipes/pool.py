"""Chips kept on disk with what is taught of them, so that training doesn't wait for the simulator."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from narrows.water.recipes.augmentation import Batch
from narrows.water.simulation import Chip, simulate_chip

__all__ = ["FIRST_SEED", "SIDE", "Pool", "as_batch", "difficult", "labels_of", "make_pool", "simulated"]

SIDE = 128
FIRST_SEED = 100_000
_SHARD = 250
_MOST = 1e4
_DIFFICULT = ("flood", "mountains", "wetland", "flood", "farmland", "mountains", "mine", "savanna")
_DIFFICULT_FROM = 300_000
# A pixel counts as water from half; around that no label is sure.
_RAMP = 4.0
# Where cloud or shadow takes more than this share of the light the ground can't be told; below the lower one it can.
HIDDEN_BY_CLOUD, SEEN_THROUGH_CLOUD = 0.42, 0.2
HIDDEN_BY_SHADOW, SEEN_IN_SHADOW = 0.62, 0.4


def labels_of(chip: Chip) -> NDArray[np.uint8]:
    """What is taught of a chip, (4, h, w) in 255ths: water and its weight, hidden and its weight.

    Water is open water that fills more than half of a pixel; where plants or ice cover water it is unknown. Hidden is
    what cloud or its shadow keeps from being told, unknown where they are neither thin nor thick. Under cloud that
    hides the ground water is taught as none, with half the weight.
    """
    water = np.clip(0.5 + _RAMP * (chip.open_water - 0.5), 0, 1)
    overgrown = (chip.water > 0.3) & (chip.open_water < 0.5) & (chip.water - chip.open_water > 0.15)
    # Ground in its own shadow has no light that a cloud could take.
    in_shadow = chip.dimmed * (chip.shade > 0.2)
    covered = (chip.veiled > HIDDEN_BY_CLOUD) | (in_shadow > HIDDEN_BY_SHADOW)
    doubtful = ((chip.veiled > SEEN_THROUGH_CLOUD) | (in_shadow > SEEN_IN_SHADOW)) & ~covered
    under = chip.veiled > HIDDEN_BY_CLOUD
    half_seen = (chip.veiled > SEEN_THROUGH_CLOUD) & ~under
    weight = np.where(under, 0.5, np.where(half_seen, 0.5, 1.0)) * ~(overgrown & ~under)
    parts = np.stack((water * ~under, weight * chip.known, covered.astype(np.float32), ~doubtful * chip.known))
    labels: NDArray[np.uint8] = np.rint(255 * parts).astype(np.uint8)
    return labels


def as_batch(reflectance: Tensor, labels: Tensor) -> Batch:
    """Chips (n, 6, h, w) with their labels, uint8 (n, 4, h, w) as `labels_of` gives them."""
    parts = labels.float() / 255
    return Batch(reflectance, parts[:, 0::2].contiguous(), parts[:, 1::2].contiguous())


Maker = Callable[[int], tuple[NDArray[np.float32], NDArray[np.uint8]]]


def simulated(number: int, *, first: int = FIRST_SEED, split: str = "train") -> tuple[Any, Any]:
    """Chip `number` of those whose seeds begin at `first`: reflectance (6, h, w) and its labels (4, h, w)."""
    chip = simulate_chip(SIDE, SIDE, first + number, split=split)
    return chip.reflectance, labels_of(chip)


def difficult(number: int) -> tuple[Any, Any]:
    """As `simulated`, of the kinds of scenes with flooded fields, waters of few pixels and shaded slopes, in turn."""
    chip = simulate_chip(SIDE, SIDE, _DIFFICULT_FROM + number, kind=_DIFFICULT[number % len(_DIFFICULT)])
    return chip.reflectance, labels_of(chip)


def _write_shard(folder: Path, shard: int, make: Maker) -> None:
    target = folder / f"reflectance_{shard:04d}.npy"
    if target.exists():
        return
    made = [make(number) for number in range(shard * _SHARD, (shard + 1) * _SHARD)]
    # Where hardly any light reaches the ground, a correction for the air can give any number.
    reflectance = np.stack([x for x, _ in made]).clip(-_MOST, _MOST).astype(np.float16)
    for path, array in ((folder / f"labels_{shard:04d}.npy", np.stack([y for _, y in made])), (target, reflectance)):
        beside = path.with_suffix(".part")
        with beside.open("wb") as file:
            np.save(file, array)
        beside.replace(path)


def make_pool(folder: Path, chips: int, make: Maker = simulated, *, workers: int = 1) -> None:
    """Write at least `chips` chips and their labels into `folder`; those that stand there already are kept.

    Args:
        make: from a chip's number to its reflectance and labels; with several workers it is pickled.
    """
    folder.mkdir(parents=True, exist_ok=True)
    shards = range(-(-chips // _SHARD))
    if workers == 1:
        for shard in shards:
            _write_shard(folder, shard, make)
        return
    with ProcessPoolExecutor(workers) as executor:
        for done in [executor.submit(_write_shard, folder, shard, make) for shard in shards]:
            done.result()


@dataclass
class Pool:
    """The chips of a folder, left on disk: for each shard float16 (n, 6, h, w) and uint8 (n, 4, h, w)."""

    reflectance: Sequence[NDArray[np.float16]]
    labels: Sequence[NDArray[np.uint8]]

    @classmethod
    def open(cls, folder: Path) -> Pool:
        """Read what `make_pool` left."""
        found = sorted(folder.glob("reflectance_*.npy"))
        labels = [path.with_name(path.name.replace("reflectance", "labels")) for path in found]
        return cls([np.load(path, mmap_mode="r") for path in found], [np.load(path, mmap_mode="r") for path in labels])

    def __len__(self) -> int:
        return sum(len(shard) for shard in self.reflectance)

    def draw(self, count: int, generator: Generator) -> Batch:
        """`count` chips drawn with replacement."""
        return self.take(torch.randint(len(self), (count,), generator=generator).tolist())

    def take(self, chosen: Sequence[int]) -> Batch:
        """The chips of these numbers."""
        places = [divmod(each, _SHARD) for each in chosen]
        x = torch.from_numpy(np.stack([self.reflectance[k][i] for k, i in places]).astype(np.float32))
        return as_batch(x, torch.from_numpy(np.stack([self.labels[k][i] for k, i in places])))
