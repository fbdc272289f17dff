"""Coarser bands on a finer grid whose pixels they divide into, row by row."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["double_bilinear", "needed_range", "repeat_nearest"]


def needed_range(start: int, stop: int, count: int) -> tuple[int, int]:
    """The coarse rows (or columns), of `count`, that the fine ones [start, stop) are made of."""
    return max(0, (start + 1) // 2 - 1), min(count, stop // 2 + 1)


def _neighbours(
    start: int, stop: int, first: int, count: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
    # The centre of fine pixel i lies at (i + 0.5) / 2 - 0.5 on the coarse axis: half-pixel aligned; ends repeat.
    fine = np.arange(start, stop)
    lower = (fine + 1) // 2 - 1
    weight = np.where(fine % 2 == 0, np.float32(0.75), np.float32(0.25))
    below = np.clip(lower, 0, count - 1) - first
    above = np.clip(lower + 1, 0, count - 1) - first
    return below, above, weight.astype(np.float32)


def double_bilinear(
    coarse: NDArray[Any],
    rows: tuple[int, int],
    columns: tuple[int, int],
    origin: tuple[int, int],
    size: tuple[int, int],
) -> NDArray[np.float32]:
    """Fine rows and columns [start, stop) from `coarse` (..., n, m), bilinear, as torch's `interpolate` by 2 has them.

    `origin` is the coarse row and column of ``coarse[..., 0, 0]``; `size` is the coarse image's height and width. The
    coarse rows and columns must include those of `needed_range`.
    """
    below, above, weight = _neighbours(*rows, origin[0], size[0])
    data = coarse.astype(np.float32, copy=False)
    share = weight[:, None]
    tall = data[..., below, :] * (1 - share) + data[..., above, :] * share
    left, right, weight = _neighbours(*columns, origin[1], size[1])
    return (tall[..., left] * (1 - weight) + tall[..., right] * weight).astype(np.float32, copy=False)


def any_neighbour(
    coarse: NDArray[np.bool_],
    rows: tuple[int, int],
    columns: tuple[int, int],
    origin: tuple[int, int],
    size: tuple[int, int],
) -> NDArray[np.bool_]:
    """Where any of the coarse pixels that a fine one is made of is set in `coarse` (n, m)."""
    below, above, _ = _neighbours(*rows, origin[0], size[0])
    tall = coarse[below] | coarse[above]
    left, right, _ = _neighbours(*columns, origin[1], size[1])
    return tall[:, left] | tall[:, right]


def repeat_nearest(
    coarse: NDArray[Any], rows: tuple[int, int], columns: tuple[int, int], origin: tuple[int, int], factor: int
) -> NDArray[Any]:
    """Fine rows and columns [start, stop) from `coarse` (n, m), each the coarse pixel that holds it."""
    row = np.minimum(np.arange(*rows) // factor - origin[0], coarse.shape[0] - 1)
    column = np.minimum(np.arange(*columns) // factor - origin[1], coarse.shape[1] - 1)
    return coarse[row][:, column]
