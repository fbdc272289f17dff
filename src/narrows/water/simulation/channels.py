"""Rivers as lines with a width, and the share of each pixel that they cover."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from narrows.water.simulation.terrain import Terrain

__all__ = ["Lines", "arcs", "distributaries", "draw_lines", "river_lines", "straight_lines"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Lines:
    """Points half a pixel apart along lines: their row, column and the line's width there, in pixels."""

    row: Array
    column: Array
    width: Array

    def __add__(self, other: Lines) -> Lines:
        return Lines(*(np.concatenate((a, b)) for a, b in zip(self.parts, other.parts, strict=True)))

    @property
    def parts(self) -> tuple[Array, Array, Array]:
        return self.row, self.column, self.width

    @classmethod
    def none(cls) -> Lines:
        return cls(np.zeros(0), np.zeros(0), np.zeros(0))


def river_lines(terrain: Terrain, seed: int, *, least: float, widest: float, narrowest: float, wander: float) -> Lines:
    """The channels of a terrain, from where they drain `least` cells on.

    A channel's width grows with the square root of the area that it drains (Leopold and Maddock 1953), from
    `narrowest` at `least` to at most `widest` pixels. Bends of up to `wander` pixels are laid over the grid's
    directions.
    """
    flow, cell = terrain.flow, terrain.cell
    h, w = flow.area.shape
    area = flow.area.ravel()
    wet = (area >= least) & ~terrain.sea.ravel()
    start = np.flatnonzero(wet & (flow.receiver >= 0))
    if len(start) == 0:
        return Lines.none()
    draw = np.random.default_rng([seed, 21])
    place = np.stack(np.divmod(np.arange(h * w), w), 1) + 0.5 + draw.uniform(-0.3, 0.3, (h * w, 2))
    place = (place - terrain.margin) * cell
    width = np.minimum(narrowest * np.sqrt(np.maximum(area / least, 1)), widest)
    to = flow.receiver[start]
    after = np.where(flow.receiver[to] >= 0, flow.receiver[to], to)
    # A quadratic B-spline: from the middle of one step to the middle of the next, pulled towards the cell between.
    steps = 2 * (cell + 2)
    t = (np.arange(steps) / steps)[None, :, None]
    begin, end = 0.5 * (place[start] + place[to])[:, None], 0.5 * (place[to] + place[after])[:, None]
    curve = (1 - t) ** 2 * begin + 2 * t * (1 - t) * place[to][:, None] + t**2 * end
    widths = width[start][:, None] * (1 - t[..., 0]) + width[to][:, None] * t[..., 0]
    springs = ~np.isin(start, to)
    first = place[start[springs]][:, None] * (1 - t) + begin[springs] * t
    thin = np.broadcast_to(width[start[springs]][:, None], first.shape[:2])
    points = np.concatenate((curve.reshape(-1, 2), first.reshape(-1, 2)))
    points = points + _bends(points, draw, wander, cell)
    return Lines(points[:, 0], points[:, 1], np.concatenate((widths.ravel(), thin.ravel())))


def _bends(points: Array, draw: np.random.Generator, wander: float, cell: int) -> Array:
    """A smooth displacement of the plane: the same bend for all lines through a place, so that they stay joined."""
    moved = np.zeros_like(points)
    for length in (6.0, 10.0, 17.0, 27.0, 45.0):
        direction, phase = draw.uniform(0, 2 * np.pi, 2), draw.uniform(0, 2 * np.pi, 2)
        for axis in (0, 1):
            k = 2 * np.pi / (length * cell / 3)
            along = points @ np.array([np.sin(direction[axis]), np.cos(direction[axis])])
            moved[:, axis] += wander * (length / 34) ** 0.9 * np.sin(k * along + phase[axis])
    return moved


def distributaries(lines: Lines, mouth: tuple[float, float, float, float], seed: int, reach: float) -> Lines:
    """A delta's channels: from a mouth (row, column, direction in radians, width) they fork and fork again seawards."""
    draw = np.random.default_rng([seed, 23])
    tips = [(mouth[0], mouth[1], mouth[2], mouth[3])]
    parts = [lines]
    for generation in range(4):
        grown = []
        for row, column, direction, width in tips:
            length = reach * 0.45 * 0.8**generation * draw.uniform(0.7, 1.3)
            t = np.arange(0, length, 0.5)
            bend = direction + draw.uniform(-0.03, 0.03) * t + 0.2 * np.sin(t / draw.uniform(3, 9))
            rows, columns = row + np.cumsum(0.5 * np.sin(bend)), column + np.cumsum(0.5 * np.cos(bend))
            parts.append(Lines(rows, columns, np.full(len(t), width)))
            if len(t):
                fork = draw.uniform(0.3, 0.6, 2) * (1, -1)
                shares = draw.uniform(0.45, 0.85, 2)
                grown += [(rows[-1], columns[-1], bend[-1] + f, width * s) for f, s in zip(fork, shares, strict=True)]
        tips = grown
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


def arcs(count: int, height: int, width: int, seed: int, size: float) -> Lines:
    """Oxbow lakes: arcs of a circle of about `size` pixels, anywhere in the scene."""
    draw = np.random.default_rng([seed, 24])
    total = Lines.none()
    for _ in range(count):
        radius, breadth = size * draw.uniform(0.5, 1.5), draw.uniform(0.5, 2.5)
        t = np.arange(0, radius * draw.uniform(2, 4.5), 0.5) / radius + draw.uniform(0, 2 * np.pi)
        row, column = draw.uniform(0, height), draw.uniform(0, width)
        thick = breadth * np.sqrt(np.clip(np.sin(np.linspace(0, np.pi, len(t))), 0.05, 1))
        total = total + Lines(row + radius * np.sin(t), column + radius * np.cos(t), thick)
    return total


def straight_lines(count: int, height: int, width: int, seed: int, breadth: float, key: int) -> Lines:
    """Roads or canals: straight lines right through the scene."""
    draw = np.random.default_rng([seed, key])
    total = Lines.none()
    reach = float(np.hypot(height, width))
    t = np.arange(-reach, reach, 0.5)
    for _ in range(count):
        angle = draw.uniform(0, np.pi)
        row = draw.uniform(0, height) + t * np.sin(angle) + 0.02 * reach * np.sin(t / (0.3 * reach))
        column = draw.uniform(0, width) + t * np.cos(angle)
        seen = (np.abs(row - height / 2) < height / 2 + 4) & (np.abs(column - width / 2) < width / 2 + 4)
        total = total + Lines(row[seen], column[seen], np.full(int(seen.sum()), breadth * draw.uniform(0.7, 1.3)))
    return total


def draw_lines(lines: Lines, start: int, stop: int, width: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Draw lines into rows [start, stop) of a scene.

    Returns:
        cover: float32, the share of each pixel that lines cover: the overlap of the pixel's width with the line's.
        inside: float32, the distance from the nearest edge, positive inside a line, at least -8 pixels.
    """
    rows, pad = stop - start, 2
    cover = np.zeros((rows + 2 * pad) * (width + 2 * pad), np.float32)
    inside = np.full_like(cover, -8)
    radius = np.ceil(lines.width / 2 + 1.5).astype(np.int64)
    near = (lines.row > start - radius - 1) & (lines.row < stop + radius + 1)
    near &= (lines.column > -radius - 1) & (lines.column < width + radius + 1)
    for size in np.unique(radius[near]):
        chosen = np.flatnonzero(near & (radius == size))
        if size > 4:
            # Wide lines need no point every half pixel. Which ones are left out mustn't depend on the rows drawn.
            chosen = chosen[chosen % int(size // 3) == 0]
        offset = np.arange(-size, size + 1)
        for part in np.array_split(chosen, max(1, len(chosen) * len(offset) ** 2 // 2_000_000)):
            row, column, breadth = (x[part].astype(np.float32) for x in lines.parts)
            i, j = np.floor(row).astype(np.int64), np.floor(column).astype(np.int64)
            y, x = i[:, None] + offset, j[:, None] + offset
            distance = np.sqrt(
                ((y + 0.5).astype(np.float32) - row[:, None])[:, :, None] ** 2
                + ((x + 0.5).astype(np.float32) - column[:, None])[:, None, :] ** 2
            )
            half = breadth[:, None, None] / 2
            share = np.minimum(distance + 0.5, half) - np.maximum(distance - 0.5, -half)
            y = np.clip(y - start + pad, 0, rows + 2 * pad - 1)
            x = np.clip(x + pad, 0, width + 2 * pad - 1)
            index = (y[:, :, None] * (width + 2 * pad) + x[:, None, :]).ravel()
            np.maximum.at(cover, index, np.clip(share, 0, 1).ravel())
            np.maximum.at(inside, index, (half - distance).ravel())
    shape = (rows + 2 * pad, width + 2 * pad)
    window = (slice(pad, -pad), slice(pad, -pad))
    return cover.reshape(shape)[window], inside.reshape(shape)[window]
