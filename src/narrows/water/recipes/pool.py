"""Simulated chips kept on disk, so that training doesn't wait for them."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator

from narrows.water.recipes.augmentation import Batch
from narrows.water.simulation import Chip, simulate_chip

__all__ = ["FIRST_SEED", "SIDE", "SimulatedPool", "labels_of", "make_pool"]

SIDE = 128
FIRST_SEED = 100_000
_SHARD = 250
# A pixel counts as water from half; around that no label is sure.
_RAMP = 4.0
# Beyond this share of light kept away nothing is told of the ground; below the lower one everything may be.
HIDDEN_BY_CLOUD, SEEN_THROUGH_CLOUD = 0.75, 0.45
HIDDEN_BY_SHADOW, SEEN_IN_SHADOW = 0.75, 0.4


def labels_of(chip: Chip) -> NDArray[np.uint8]:
    """What is taught of a chip, (4, h, w) in 255ths: water and its weight, hidden and its weight.

    Water is open water that fills more than half of a pixel; where plants or ice cover water it is unknown. Hidden is
    what cloud or its shadow keeps from being told, unknown where they are neither thin nor thick. Under cloud that
    hides the ground water is taught as none, with half the weight.
    """
    water = np.clip(0.5 + _RAMP * (chip.open_water - 0.5), 0, 1)
    overgrown = (chip.water > 0.3) & (chip.open_water < 0.5) & (chip.water - chip.open_water > 0.15)
    # A shadow on dark ground takes nothing that could be told; cloud over it still does.
    covered = (chip.veiled > HIDDEN_BY_CLOUD) | ((chip.shadow > HIDDEN_BY_SHADOW) & (chip.shade > 0.2))
    doubtful = ((chip.veiled > SEEN_THROUGH_CLOUD) | (chip.shadow > SEEN_IN_SHADOW)) & ~covered
    under = chip.veiled > HIDDEN_BY_CLOUD
    half_seen = (chip.veiled > SEEN_THROUGH_CLOUD) & ~under
    weight = np.where(under, 0.5, np.where(half_seen, 0.25, 1.0)) * ~(overgrown & ~under)
    parts = np.stack((water * ~under, weight * chip.known, covered.astype(np.float32), ~doubtful * chip.known))
    labels: NDArray[np.uint8] = np.rint(255 * parts).astype(np.uint8)
    return labels


def _write_shard(folder: Path, number: int, split: str) -> None:
    target = folder / f"reflectance_{number:04d}.npy"
    if target.exists():
        return
    first = FIRST_SEED + number * _SHARD
    chips = [simulate_chip(SIDE, SIDE, seed, split=split) for seed in range(first, first + _SHARD)]
    labels = np.stack([labels_of(chip) for chip in chips])
    reflectance = np.stack([chip.reflectance for chip in chips]).astype(np.float16)
    for path, array in ((folder / f"labels_{number:04d}.npy", labels), (target, reflectance)):
        beside = path.with_suffix(".part")
        with beside.open("wb") as file:
            np.save(file, array)
        beside.replace(path)


def make_pool(folder: Path, chips: int, *, workers: int = 1, split: str = "train") -> None:
    """Simulate at least `chips` chips into `folder`; those that stand there already are kept."""
    folder.mkdir(parents=True, exist_ok=True)
    shards = -(-chips // _SHARD)
    with ProcessPoolExecutor(workers) as executor:
        for done in [executor.submit(_write_shard, folder, number, split) for number in range(shards)]:
            done.result()


@dataclass
class SimulatedPool:
    """The chips of a folder, left on disk: for each shard float16 (n, 6, h, w) and uint8 (n, 4, h, w)."""

    reflectance: Sequence[NDArray[np.float16]]
    labels: Sequence[NDArray[np.uint8]]

    @classmethod
    def open(cls, folder: Path) -> SimulatedPool:
        """Read what `make_pool` left."""
        found = sorted(folder.glob("reflectance_*.npy"))
        labels = [path.with_name(path.name.replace("reflectance", "labels")) for path in found]
        return cls([np.load(path, mmap_mode="r") for path in found], [np.load(path, mmap_mode="r") for path in labels])

    def __len__(self) -> int:
        return sum(len(shard) for shard in self.reflectance)

    def draw(self, count: int, generator: Generator) -> Batch:
        """`count` chips drawn with replacement."""
        chosen = torch.randint(len(self), (count,), generator=generator).tolist()
        places = [divmod(each, _SHARD) for each in chosen]
        x = torch.from_numpy(np.stack([self.reflectance[k][i] for k, i in places]).astype(np.float32))
        labels = torch.from_numpy(np.stack([self.labels[k][i] for k, i in places])).float() / 255
        return Batch(x, labels[:, 0::2].contiguous(), labels[:, 1::2].contiguous())
