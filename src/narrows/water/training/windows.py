"""Crops of labelled scenes: drawn at random to train on, or at fixed places to validate on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator

from narrows.water.evaluation.truth import FILL
from narrows.water.framing import reflected
from narrows.water.training.division import Part
from narrows.water.training.labelled import CELL, KINDS, Library

__all__ = ["RandomWindows", "fixed_windows"]

Array = NDArray[np.float32]
Classes = NDArray[np.uint8]


class RandomWindows:
    """Crops of `side` x `side` pixels around labelled cells, half of them around one with water.

    Of the scenes, one with four times as many labelled cells comes twice as often. A scene smaller than a crop is
    mirrored at its edges, as for mapping. Labels outside the parts are left out; the pixels there stay, as context.
    """

    def __init__(self, library: Library, parts: Sequence[Part], side: int) -> None:
        self._library, self._side = library, side
        self._parts = parts
        self._cells: list[list[NDArray[np.intp]]] = []
        for wanted in (True, False):
            wet = [part.scene.counts[KINDS.index("water")] > 0 for part in parts]
            labelled = [part.cells & (part.scene.counts.sum(0) > 0) for part in parts]
            self._cells.append([np.argwhere(all_ & (w == wanted)) for all_, w in zip(labelled, wet, strict=True)])

    def draw(self, count: int, generator: Generator) -> tuple[Array, Classes]:
        """Reflectance (count, 6, side, side), NaN where there is no data, and classes (count, side, side)."""
        crops = [self._one(generator) for _ in range(count)]
        return np.stack([crop[0] for crop in crops]), np.stack([crop[1] for crop in crops])

    def _one(self, generator: Generator) -> tuple[Array, Classes]:
        kinds = [cells for cells in self._cells if any(len(each) for each in cells)]
        cells = kinds[_below(len(kinds), generator)]
        weights = torch.tensor([float(len(each)) for each in cells]).sqrt()
        chosen = int(torch.multinomial(weights, 1, generator=generator))
        place = cells[chosen][_below(len(cells[chosen]), generator)]
        part = self._parts[chosen]
        # Somewhere in the crop lies the middle of the cell.
        starts = [CELL * int(at) + CELL // 2 - _below(self._side, generator) for at in place]
        return _crop(self._library, part, starts[0], starts[1], self._side)


def fixed_windows(
    library: Library, parts: Sequence[Part], side: int, seed: int, most: int = 64
) -> list[tuple[Array, Classes]]:
    """At most `most` crops, side by side, that have labels; where there are more, drawn by `seed`, half of them with
    water as far as there are such."""
    places: dict[bool, list[tuple[Part, int, int]]] = {True: [], False: []}
    step = -(-side // CELL)
    for part in parts:
        counts = part.scene.counts * part.cells
        for row in range(0, counts.shape[1], step):
            for column in range(0, counts.shape[2], step):
                inside = counts[:, row : row + step, column : column + step].sum((1, 2))
                if inside.any():
                    places[bool(inside[KINDS.index("water")])].append((part, CELL * row, CELL * column))
    draw = np.random.default_rng(seed)
    wet, dry = ([found[number] for number in draw.permutation(len(found))] for found in (places[True], places[False]))
    kept = wet[: max(most // 2, most - len(dry))]
    kept += dry[: most - len(kept)]
    return [_crop(library, part, row, column, side) for part, row, column in kept]


def _below(limit: int, generator: Generator) -> int:
    return int(torch.randint(limit, (), generator=generator))


def _crop(library: Library, part: Part, row: int, column: int, side: int) -> tuple[Array, Classes]:
    """The crop at `row` and `column`, moved inside the scene."""
    rows, columns = _inside(row, side, part.scene.height), _inside(column, side, part.scene.width)
    place = (int(rows.min()), int(rows.max()) + 1), (int(columns.min()), int(columns.max()) + 1)
    reflectance, classes = library.read(part.number, *place)
    index = rows[:, None] - place[0][0], columns[None] - place[1][0]
    kept = part.keep(rows, columns)
    return reflectance[(slice(None), *index)], np.where(kept, classes[index], np.uint8(FILL))


def _inside(start: int, side: int, length: int) -> NDArray[np.intp]:
    return reflected(np.arange(side) + max(0, min(start, length - side)), length)
