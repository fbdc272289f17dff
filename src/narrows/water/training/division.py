"""Which scenes, or which blocks of them, teach, and which tell whether the network has learnt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from narrows.errors import InputError
from narrows.water.training.labelled import CELL, KINDS, Labelled

__all__ = ["FEWEST_SCENES", "Division", "Part", "check_enough", "divide"]

FEWEST_SCENES = 4
"""With fewer scenes than these, or water in one alone, blocks of all scenes validate, not whole scenes."""
_BLOCKS = (512, 256, 128, 64, 32)
_FEWEST_WET_BLOCKS = 5
_FEWEST_PIXELS, _FEWEST_WET_PIXELS = 1000, 50


@dataclass(frozen=True)
class Part:
    """Cells of scene `number` of a library: bool (rows, columns)."""

    number: int
    scene: Labelled
    cells: NDArray[np.bool_]

    @property
    def pixels(self) -> dict[str, int]:
        """Observed pixels of each of `KINDS`."""
        counts = (self.scene.counts * self.cells).sum((1, 2))
        return {kind: int(count) for kind, count in zip(KINDS, counts, strict=True)}

    def keep(self, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Which of the pixels at `rows` x `columns` belong to it, bool (rows, columns)."""
        kept: NDArray[np.bool_] = self.cells[rows[:, None] // CELL, columns[None] // CELL]
        return kept


@dataclass(frozen=True)
class Division:
    """What teaches and what validates. `by` says how they were told apart, for people."""

    training: tuple[Part, ...]
    validation: tuple[Part, ...]
    by: str


def whole(scenes: Sequence[Labelled], first: int = 0) -> tuple[Part, ...]:
    """All of each scene; the first has number `first` in its library."""
    return tuple(
        Part(number, scene, np.ones(scene.counts.shape[1:], bool)) for number, scene in enumerate(scenes, first)
    )


def divide(scenes: Sequence[Labelled], share: float, seed: int, *, given: int = 0) -> Division:
    """Draw what validates: about `share` of the scenes or, where these are too few, of blocks of them.

    Args:
        scenes: the last `given` of them are there to validate; then nothing is drawn.

    Raises:
        InputError: there is too little water to keep some of it for validation.
    """
    if given:
        first = len(scenes) - given
        by = f"{given} scenes given for it" if given > 1 else "1 scene given for it"
        return Division(whole(scenes[:first]), whole(scenes[first:], first), by)
    parts = whole(scenes)
    if not share:
        return Division(parts, (), "nothing: no validation was asked for")
    draw = np.random.default_rng(seed)
    # Windows of one scene stay together.
    images = list(dict.fromkeys(scene.pair.scene for scene in scenes))
    wet = [any(scene.pixels["water"] for scene in scenes if scene.pair.scene == image) for image in images]
    if len(images) < FEWEST_SCENES or sum(wet) < 2:
        return _by_blocks(parts, share, draw)
    chosen = {images[number] for number in _draw(wet, share, draw)}
    return Division(
        tuple(part for part in parts if part.scene.pair.scene not in chosen),
        tuple(part for part in parts if part.scene.pair.scene in chosen),
        f"{len(chosen)} of {len(images)} scenes",
    )


def check_enough(division: Division) -> None:
    """Refuse what can't teach.

    Raises:
        InputError: there is no water or no land, or there are too few pixels of both; or validation has no water.
    """
    counts = {kind: sum(part.pixels[kind] for part in division.training) for kind in KINDS}
    scenes = f"the {len(division.training)} scenes" if len(division.training) != 1 else division.training[0].scene.name
    for kind in ("water", "land"):
        if not counts[kind]:
            raise InputError(f"no pixel of {scenes} to train on is labelled {kind} where the scene has data")
    labelled = counts["land"] + counts["water"]
    if labelled < _FEWEST_PIXELS or counts["water"] < _FEWEST_WET_PIXELS:
        raise InputError(
            f"too few pixels to train on: {labelled:,} are labelled land or water, {counts['water']:,} of them water; "
            f"at least {_FEWEST_PIXELS:,} and {_FEWEST_WET_PIXELS} are needed"
        )
    if division.validation and not sum(part.pixels["water"] for part in division.validation):
        raise InputError("no pixel to validate on is labelled water where the scene has data")


def _draw(wet: Sequence[bool], share: float, draw: np.random.Generator) -> set[int]:
    """About `share` of the numbers: at least one that is wet, and at least one that is wet is left."""
    order = draw.permutation(len(wet)).tolist()
    first, *others = [number for number in order if wet[number]]
    most = max(1, min(round(share * len(wet)), len(wet) - 1))
    left = set(others[:1])
    return {first, *[number for number in order if number != first and number not in left][: most - 1]}


def _by_blocks(parts: Sequence[Part], share: float, draw: np.random.Generator) -> Division:
    side = next((side for side in _BLOCKS if sum(_wet(parts, side)) >= _FEWEST_WET_BLOCKS), CELL)
    wet = _wet(parts, side)
    if sum(wet) < 2:
        raise InputError(
            f"the water lies within one block of {side} x {side} pixels, which can't both teach and validate; give "
            "--validation-folder, or --validation 0 to go without"
        )
    chosen = _draw(wet, share, draw)
    training, validation, number = [], [], 0
    for part in parts:
        blocks, labelled = _blocks(part, side)
        mine = np.zeros(labelled.shape, bool)
        for place in np.argwhere(labelled):
            mine[tuple(place)] = number in chosen
            number += 1
        cells = mine[blocks]
        training.append(Part(part.number, part.scene, ~cells))
        if cells.any():
            validation.append(Part(part.number, part.scene, cells))
    said = f"{len(chosen)} of {len(wet)} blocks of {side} x {side} pixels, as the scenes are too few to keep one apart"
    return Division(tuple(training), tuple(validation), said)


def _blocks(part: Part, side: int) -> tuple[tuple[NDArray[np.intp], NDArray[np.intp]], NDArray[np.bool_]]:
    """The block of each cell, as an index of rows and columns, and which blocks have any label."""
    cells = side // CELL
    rows, columns = part.cells.shape
    index = np.arange(rows)[:, None] // cells, np.arange(columns)[None] // cells
    labelled = np.zeros((-(-rows // cells), -(-columns // cells)), bool)
    np.logical_or.at(labelled, index, part.scene.counts.sum(0) > 0)
    return index, labelled


def _wet(parts: Sequence[Part], side: int) -> list[bool]:
    """For each block with any label, whether it has water."""
    found: list[bool] = []
    for part in parts:
        index, labelled = _blocks(part, side)
        water = np.zeros(labelled.shape, bool)
        np.logical_or.at(water, index, part.scene.counts[KINDS.index("water")] > 0)
        found += water[labelled].tolist()
    return found
