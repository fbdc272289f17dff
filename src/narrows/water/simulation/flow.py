"""Where water runs on a grid of heights: depressions filled, flow directions, the area that drains through each cell.

Depressions are filled as by priority-flood (Barnes, Lehman and Mulla 2014, Computers & Geosciences 62, 117): each cell
is raised to the lowest pass on its way out. The same heights come from the minimum spanning tree of the grid, whose
paths have the lowest possible highest point. Directions are D8 (O'Callaghan and Mark 1984): to the steepest of eight
neighbours, and across flats along the tree.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import breadth_first_order, minimum_spanning_tree

__all__ = ["Flow", "route"]

Array = NDArray[np.float64]

_STEPS = [(0, 1), (1, 0), (1, 1), (1, -1)]


@dataclass(frozen=True)
class Flow:
    """How water leaves every cell of a grid.

    Attributes:
        filled: float64 (h, w), the heights with depressions filled to their brim.
        receiver: int (h * w,), the cell that each cell drains into; -1 where it leaves the grid or enters the sea.
        area: float64 (h, w), cells that drain through each cell, itself included, plus what flows in from outside.
    """

    filled: Array
    receiver: NDArray[np.int64]
    area: Array


def _edges(shape: tuple[int, int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    cell = np.arange(shape[0] * shape[1]).reshape(shape)
    one, other = [], []
    for down, across in _STEPS:
        left, right = max(-across, 0), max(across, 0)
        one.append(cell[: shape[0] - down, left : shape[1] - right].ravel())
        other.append(cell[down:, right : shape[1] - left].ravel())
    return np.concatenate(one), np.concatenate(other)


def route(height: NDArray[np.floating], sea: NDArray[np.bool_] | None = None, inflow: Array | None = None) -> Flow:
    """Fill, direct and accumulate. Water leaves over the grid's border and into `sea`.

    Args:
        height: float (h, w), at least 2 by 2.
        sea: bool (h, w), cells that are outlets whatever their neighbours' heights.
        inflow: float (h, w), what enters at a cell from outside, in cells of drained area.
    """
    shape, n = height.shape, height.size
    flat = height.ravel().astype(np.float64)
    one, other = _edges((shape[0], shape[1]))
    cost = np.maximum(flat[one], flat[other])
    border = np.ones(shape, bool)
    border[1:-1, 1:-1] = False
    outlet = border if sea is None else border | sea
    exits = np.flatnonzero(outlet)
    weight = np.concatenate((cost, flat[exits]))
    # The tree takes zero for "no edge".
    weight = weight - weight.min() + 1.0
    ends = np.concatenate((other, np.full(len(exits), n)))
    graph = coo_array((weight, (np.concatenate((one, exits)), ends)), shape=(n + 1, n + 1)).tocsr()
    order, parent = breadth_first_order(minimum_spanning_tree(graph), n, directed=False)
    heights, parents = flat.tolist(), parent.tolist()
    heights.append(-np.inf)
    depth = np.empty(n + 1, np.int64)
    depth[order] = np.arange(n + 1)
    for cell in order[1:].tolist():
        above = heights[parents[cell]]
        if above > heights[cell]:
            heights[cell] = above
    filled = np.array(heights[:n])
    receiver = _steepest(filled, (shape[0], shape[1]))
    flats = receiver < 0
    receiver[flats] = np.where(parent[:n][flats] == n, -1, parent[:n][flats])
    receiver[exits] = np.where(parent[exits] == n, -1, receiver[exits])
    if sea is not None:
        receiver[np.flatnonzero(sea)] = -1
    area = (np.ones(n) if inflow is None else 1 + inflow.ravel()).tolist()
    target = receiver.tolist()
    for cell in np.lexsort((-depth[:n], -filled)).tolist():
        if target[cell] >= 0:
            area[target[cell]] += area[cell]
    return Flow(filled.reshape(shape), receiver, np.array(area).reshape(shape))


def _steepest(filled: Array, shape: tuple[int, int]) -> NDArray[np.int64]:
    """The neighbour down the steepest slope, -1 where none is lower."""
    padded = np.pad(filled.reshape(shape), 1, constant_values=np.inf)
    best = np.zeros(shape)
    receiver = np.full(shape, -1, np.int64)
    cell = np.arange(filled.size).reshape(shape)
    for down in (-1, 0, 1):
        for across in (-1, 0, 1):
            if down or across:
                near = padded[1 + down : 1 + down + shape[0], 1 + across : 1 + across + shape[1]]
                slope = (filled.reshape(shape) - near) / np.hypot(down, across)
                better = slope > best
                best[better] = slope[better]
                receiver[better] = cell[better] + down * shape[1] + across
    return receiver.ravel()
