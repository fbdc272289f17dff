"""How a scene is placed in the frame that a network sees: padding on its four sides, in whole numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Framing", "Inner", "anchored", "centred", "reflected"]


@dataclass(frozen=True)
class Framing:
    """Rows and columns added to a scene of (height, width); they mirror the scene about its outermost
    pixels.
    """

    height: int
    width: int
    top: int = 0
    bottom: int = 0
    left: int = 0
    right: int = 0

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns) that the network sees."""
        return self.height + self.top + self.bottom, self.width + self.left + self.right

    def rows(self, start: int, stop: int) -> NDArray[np.intp]:
        """Scene rows that stand in the frame's rows [start, stop)."""
        return reflected(np.arange(start - self.top, stop - self.top), self.height)

    def columns(self) -> NDArray[np.intp]:
        """Scene columns that stand in the frame's columns."""
        return reflected(np.arange(-self.left, self.width + self.right), self.width)


@dataclass(frozen=True)
class Inner:
    """The part of a scene that the map shows; what lies around it is read as context for the network
    alone.
    """

    top: int
    left: int
    height: int
    width: int

    def rows(self, start: int, stop: int) -> tuple[int, int]:
        """Of scene rows [start, stop), those that the map shows, as (first, last); empty where first >=
        last.
        """
        return max(start, self.top), min(stop, self.top + self.height)

    @property
    def columns(self) -> slice:
        return slice(self.left, self.left + self.width)


def reflected(index: NDArray[np.intp], length: int) -> NDArray[np.intp]:
    """`index` folded into 0..length-1 by mirroring about the first and the last element, as often as it
    takes.
    """
    if length == 1:
        return np.zeros_like(index)
    period = 2 * (length - 1)
    folded = np.abs(index) % period
    return np.where(folded >= length, period - folded, folded)


def anchored(height: int, width: int, grid_origin: tuple[int, int], stride: int) -> Framing:
    """The frame whose sampling grid, of total stride `stride`, lies on the absolute grid.

    `grid_origin` is (row, column) of the scene's first pixel on the grid that the coordinate system's origin
    and the pixel size define. A scene and a crop of it are then sampled at the same places. The far sides are
    filled to whole strides.
    """
    top, left = grid_origin[0] % stride, grid_origin[1] % stride
    return Framing(height, width, top, -(height + top) % stride, left, -(width + left) % stride)


def centred(height: int, width: int, multiple: int) -> Framing:
    """The frame padded to a multiple of `multiple`, half on either side and the odd pixel after, as
    DeepWaterMap does.
    """
    down, across = -height % multiple, -width % multiple
    return Framing(height, width, down // 2, down - down // 2, across // 2, across - across // 2)
