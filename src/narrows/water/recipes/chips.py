"""The 306 labelled chips: reading, split by place, what is known of each pixel."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from narrows.errors import InputError

__all__ = ["SPLIT_FILE", "Chips", "draw_split", "read_chips", "read_split"]

SPLIT_FILE = Path(__file__).with_name("split.json")


@dataclass(frozen=True)
class Chips:
    """Labelled chips, n of them.

    Attributes:
        reflectance: float32 (n, 6, H, W).
        label: uint8 (n, H, W), 1 where the label says water.
        fmask_water: uint8 (n, H, W), 1 where HLS Fmask says water.
        unclear: bool (n, H, W), where Fmask sees cloud, its border or its shadow.
        place: int (n,). tier: one letter (n,).
    """

    reflectance: NDArray[np.float32]
    label: NDArray[np.uint8]
    fmask_water: NDArray[np.uint8]
    unclear: NDArray[np.bool_]
    place: NDArray[np.int64]
    tier: NDArray[np.str_]

    @property
    def known(self) -> NDArray[np.bool_]:
        """Pixels whose label and Fmask agree, under a clear sky: the only ones trained on and scored as consensus."""
        return (self.label == self.fmask_water) & ~self.unclear

    def at_places(self, places: Sequence[int]) -> Chips:
        chosen = np.isin(self.place, list(places))
        return Chips(
            self.reflectance[chosen],
            self.label[chosen],
            self.fmask_water[chosen],
            self.unclear[chosen],
            self.place[chosen],
            self.tier[chosen],
        )


def read_chips(path: Path) -> Chips:
    """Read `hls306_6band.npz` (`img` reflectance x 10000, `qa` Fmask bytes, `label`, `place_id`, `tier`).

    Raises:
        InputError: where the file is missing or lacks an array.
    """
    try:
        with np.load(path) as data:
            img, qa, label = data["img"], data["qa"], data["label"]
            place, tier = data["place_id"].astype(np.int64), data["tier"]
    except (OSError, KeyError, ValueError) as error:
        raise InputError(f"{path} can't be read as labelled chips: {error}") from error
    return Chips(
        reflectance=img.astype(np.float32) / np.float32(10000),
        label=label.astype(np.uint8),
        fmask_water=((qa >> 5) & 1).astype(np.uint8),
        unclear=(qa & 0b1110) > 0,
        place=place,
        tier=tier,
    )


def draw_split(places: Sequence[int], *, seed: int = 306, test: int = 40, validation: int = 24) -> dict[str, list[int]]:
    """Draw places for test and validation; the rest train. The committed list came from this."""
    order = np.random.default_rng(seed).permutation(sorted({int(p) for p in places}))
    parts = {"test": order[:test], "validation": order[test : test + validation], "train": order[test + validation :]}
    return {name: sorted(int(p) for p in part) for name, part in parts.items()}


def read_split() -> dict[str, list[int]]:
    """The committed split: place numbers under "train", "validation" and "test"."""
    split: dict[str, list[int]] = json.loads(SPLIT_FILE.read_text())
    return split
