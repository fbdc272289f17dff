"""Scenes with their masks: checked, counted, and read by windows, from memory where all of them fit into it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from narrows.errors import InputError
from narrows.rasters.gdal import raster_environment
from narrows.rasters.images import RasterImage
from narrows.rasters.scene import Scene
from narrows.streaming.memory import free_memory
from narrows.water.evaluation.pairs import Pair
from narrows.water.evaluation.truth import CLOUD, FILL, LAND, SHADOW, WATER, read_truth

__all__ = ["CELL", "KINDS", "Labelled", "Library", "open_library"]

CELL = 32
"""Side of the cells, in pixels, in which labels are counted and by which scenes are divided."""
KINDS = ("land", "water", "covered")
"""What is counted: land, water, and cloud or shadow."""
_ROWS = 8 * CELL
_BYTES_PER_PIXEL = 6 * 4 + 1
# Of the memory that is free, what scenes may take.
_SHARE = 0.25
_MOST_OPEN = 24
_CACHE_BYTES = 256 * 2**20

Array = NDArray[np.float32]
Classes = NDArray[np.uint8]


@dataclass(frozen=True)
class Labelled:
    """A scene with its mask.

    Attributes:
        pair: where they are. height, width: pixels.
        counts: int64 (3, rows, columns), observed pixels of each of `KINDS` in each cell.
        lacks: the bands that the scene doesn't have.
    """

    pair: Pair
    height: int
    width: int
    counts: NDArray[np.int64]
    lacks: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.pair.name

    @property
    def pixels(self) -> dict[str, int]:
        """Observed pixels of each of `KINDS`."""
        return {kind: int(count) for kind, count in zip(KINDS, self.counts.sum((1, 2)), strict=True)}


@contextmanager
def open_library(pairs: Sequence[Pair]) -> Iterator[Library]:
    """Check every scene against its mask, count the labels, and keep the scenes at hand.

    Scenes are held in memory (25 bytes a pixel) where all of them fit into a quarter of what is free; otherwise each
    window is read from the files when it is asked for. What is read is the same.

    Raises:
        InputError: a mask doesn't fit its scene, a scene can't be read, or two have one name.
    """
    names = [pair.name for pair in pairs]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"two scenes are called {twice}; rename one")
    pixels = sum(_check(pair) for pair in pairs)
    held = pixels * _BYTES_PER_PIXEL <= _SHARE * free_memory()
    library = Library()
    try:
        with raster_environment(_CACHE_BYTES):
            for pair in pairs:
                library.add(pair, held=held)
            yield library
    finally:
        library.close()


def _check(pair: Pair) -> int:
    """Pixels of the scene, once its mask is found to fit."""
    with pair.opened() as scene:
        read_truth(pair.mask, scene)
        return scene.height * scene.width


class Library:
    """Labelled scenes, and their pixels by windows."""

    def __init__(self) -> None:
        self.scenes: list[Labelled] = []
        self._held: dict[int, tuple[Array, Classes]] = {}
        self._open: OrderedDict[int, tuple[ExitStack, Scene, RasterImage]] = OrderedDict()

    def add(self, pair: Pair, *, held: bool) -> None:
        """Read the scene once: to count, and to see that all of it can be read."""
        with pair.opened() as scene, _mask(pair) as mask:
            height, width = scene.height, scene.width
            counts = np.zeros((len(KINDS), -(-height // CELL), -(-width // CELL)), np.int64)
            if held:
                kept = np.empty((6, height, width), np.float32), np.empty((height, width), np.uint8)
                self._held[len(self.scenes)] = kept
            for start in range(0, height, _ROWS):
                rows = start, min(start + _ROWS, height)
                reflectance, classes = _read(scene, mask, rows)
                counts[:, start // CELL : -(-rows[1] // CELL)] = _counted(classes)
                if held:
                    kept[0][:, slice(*rows)], kept[1][slice(*rows)] = reflectance, classes
        self.scenes.append(Labelled(pair, height, width, counts, tuple(scene.lacks)))

    def read(self, number: int, rows: tuple[int, int], columns: tuple[int, int]) -> tuple[Array, Classes]:
        """Rows and columns [start, stop) of scene `number`.

        Returns:
            Reflectance (6, n, m), NaN where the scene has no data; classes (n, m), 255 where it wasn't observed.
        """
        if number in self._held:
            reflectance, classes = self._held[number]
            return reflectance[:, slice(*rows), slice(*columns)], classes[slice(*rows), slice(*columns)]
        scene, mask = self._opened(number)
        part = scene.window(rows, columns)
        return _read(part, mask, (0, part.height), origin=(rows[0], columns[0]))

    def close(self) -> None:
        for files, _, _ in self._open.values():
            files.close()
        self._open.clear()
        self._held.clear()

    def _opened(self, number: int) -> tuple[Scene, RasterImage]:
        if number in self._open:
            self._open.move_to_end(number)
        else:
            if len(self._open) == _MOST_OPEN:
                self._open.popitem(last=False)[1][0].close()
            pair = self.scenes[number].pair
            with ExitStack() as files:
                scene, mask = files.enter_context(pair.opened()), files.enter_context(_mask(pair))
                self._open[number] = files.pop_all(), scene, mask
        return self._open[number][1:]


@contextmanager
def _mask(pair: Pair) -> Iterator[RasterImage]:
    image = RasterImage(str(pair.mask), pair.mask.name)
    try:
        yield image
    finally:
        image.close()


def _read(
    scene: Scene, mask: RasterImage, rows: tuple[int, int], origin: tuple[int, int] = (0, 0)
) -> tuple[Array, Classes]:
    """Rows of `scene`, whose first pixel is at `origin` in the mask."""
    read = scene.read(*rows)
    reflectance = np.where(read.observed | read.filled, read.reflectance, np.float32(np.nan))
    where = (origin[0] + rows[0], origin[0] + rows[1]), (origin[1], origin[1] + scene.width)
    classes = mask.read([1], *where)[0].astype(np.uint8)
    return reflectance, np.where(read.observed, classes, np.uint8(FILL))


def _counted(classes: Classes) -> NDArray[np.int64]:
    """Pixels of each of `KINDS` by cell, from rows that begin with a cell."""
    below, right = -classes.shape[0] % CELL, -classes.shape[1] % CELL
    cells = np.pad(classes, ((0, below), (0, right)), constant_values=FILL)
    cells = cells.reshape(cells.shape[0] // CELL, CELL, -1, CELL)
    kinds = (cells == LAND, cells == WATER, (cells == CLOUD) | (cells == SHADOW))
    return np.stack([kind.sum((1, 3)) for kind in kinds])
