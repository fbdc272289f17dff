"""The simulated ground: heights, the lakes and the sea in them, and the way that water takes over them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from narrows.water.simulation.flow import Flow, route
from narrows.water.simulation.noise import FractalNoise, spline_rows

__all__ = ["Terrain", "TerrainStyle", "make_terrain"]

Array = NDArray[np.float32]

_DRY = np.float32(-1e6)


@dataclass(frozen=True)
class TerrainStyle:
    """The character of the ground.

    Attributes:
        relief: spread of the heights, in pixels (a height of one pixel over one pixel is a slope of 45 degrees).
        tilt: fall of the whole ground along `aspect`, in units of `relief` over 256 pixels. aspect: in radians.
        ridged: 0 rolling to 1 sharp ridges. plain: 0 none to 1: low ground is flattened to plains.
        sea: share of the ground below sea level, 0 for none.
        lakes: share of the depressions that hold water. drawn_down: how far below their brim, 0 to 1.
        dams: number of reservoirs; none where there is sea.
        inflow: drained area that a river brings from outside, in cells.
        fan: radius of the delta that the largest river has built into the sea, in cells; 0 for none.
    """

    relief: float = 8.0
    tilt: float = 0.5
    aspect: float = 0.0
    ridged: float = 0.3
    plain: float = 0.3
    sea: float = 0.0
    lakes: float = 0.3
    drawn_down: float = 0.1
    dams: int = 0
    inflow: float = 0.0
    fan: float = 0.0


@dataclass(frozen=True)
class Mouth:
    """Where the largest river reaches its delta: a cell, the direction of the sea in radians, the area drained."""

    row: int
    column: int
    direction: float
    area: float


@dataclass(frozen=True)
class Terrain:
    """Heights on a grid of cells, wider than the scene by `margin` cells on each side.

    Attributes:
        cell: pixels per side of a cell.
        lattice: float32 (h, w), control points of the heights (a B-spline surface), in pixels.
        flow: how water runs over the heights.
        level: float32 (h, w), the water level of the lake or sea that covers or nears a cell, else far below.
        near: float32 (h, w), 1 where a cell lies under that water or next to it, else 0.
        lake, sea: bool (h, w), cells under lakes and sea. salt: bool (h, w), cells whose standing water is the sea's.
        rough: fine relief on top of the surface, in pixels. mouth: the head of a delta.
    """

    seed: int
    cell: int
    margin: int
    lattice: Array
    flow: Flow
    level: Array
    near: Array
    lake: NDArray[np.bool_]
    sea: NDArray[np.bool_]
    salt: NDArray[np.bool_]
    rough: float
    mouth: Mouth | None = None

    def heights(self, start: int, stop: int, left: int, width: int) -> Array:
        """Heights of rows [start, stop), columns [left, left + width), in pixels."""
        off = self.margin * self.cell
        smooth = spline_rows(self.lattice, self.cell, start + off, stop + off, left + off, width)
        fine = FractalNoise(self.seed, 31, max(self.cell, 8), 2, 0.7).rows(start, stop, width, left=left)
        return smooth + np.float32(self.rough) * fine

    def still(self, start: int, stop: int, width: int, height: Array, slope: Array) -> Array:
        """Distance in pixels from the shore of standing water, positive on it, to first order; -8 to 60.

        Args:
            height, slope: of the ground, float32 (stop - start, width), in pixels and pixels per pixel.
        """
        level = self.level[np.ix_(*self.cells(start, stop, 0, width))]
        stands = (level - height) / slope
        off = self.margin * self.cell
        near = spline_rows(self.near, self.cell, start + off, stop + off, off, width)
        # Cells have corners; shores don't. On flat ground the smoothed mask of the cells draws the line.
        stands = np.minimum(stands, (near - 0.45) * np.float32(2 * self.cell) / (1.02 - near))
        return np.clip(stands, -8, 60).astype(np.float32)

    def cells(self, start: int, stop: int, left: int, width: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The cell row of each pixel row and the cell column of each pixel column."""
        rows = np.clip(np.arange(start, stop) // self.cell + self.margin, 0, self.level.shape[0] - 1)
        columns = np.clip(np.arange(left, left + width) // self.cell + self.margin, 0, self.level.shape[1] - 1)
        return rows, columns


def make_terrain(height: int, width: int, seed: int, style: TerrainStyle, *, cell: int, margin: int) -> Terrain:
    """Heights for a scene of `height` by `width` pixels, and where water runs and stands on them."""
    draw = np.random.default_rng([seed, 11])
    shape = (-(-height // cell) + 2 * margin, -(-width // cell) + 2 * margin)
    lattice = _relief(shape, seed, style, cell)
    heights = _smoothed(lattice)
    sea = np.zeros(shape, bool)
    sea_level = np.quantile(heights, style.sea) if style.sea > 0 else -np.inf
    if style.sea > 0:
        sea = _open_water(heights < sea_level)
    inflow = _inflow(heights, style, draw)
    flow = route(heights, sea, inflow)
    for _ in range(style.dams if style.sea == 0 else 0):
        lattice = _dam(lattice, heights, flow, style, draw)
        heights = _smoothed(lattice)
        flow = route(heights, sea, inflow)
    mouth = _mouth(flow, sea, margin) if style.fan > 0 else None
    if mouth is not None:
        lattice = _fan(lattice, mouth, float(sea_level), style, draw)
        heights = _smoothed(lattice)
        sea = _open_water(heights < sea_level)
        flow = route(heights, sea, inflow)
    level, lake, silted = _lakes(heights, flow, style, draw, sea)
    # Depressions without a lake have silted up to their brim.
    lattice = np.where(silted, flow.filled.astype(np.float32), lattice)
    if style.sea > 0:
        level = np.where(ndimage.binary_dilation(sea, iterations=2), np.maximum(level, np.float32(sea_level)), level)
    near = (level > _DRY).astype(np.float32)
    level = np.where(near > 0, level, ndimage.grey_dilation(level, size=(3, 3)))
    rough = 0.03 * style.relief * min(1.0, cell / 4)
    salt = ndimage.binary_dilation(sea, np.ones((3, 3)), iterations=3)
    return Terrain(seed, cell, margin, lattice, flow, level, near, lake, sea, salt, rough, mouth)


def _relief(shape: tuple[int, int], seed: int, style: TerrainStyle, cell: int) -> Array:
    coarsest = 64 if max(shape) > 48 else 32
    draw = np.random.default_rng([seed, 14])
    rolling = _turned(FractalNoise(seed, 12, coarsest, 1, 0.5), shape, draw)
    ridges = 0.8 - np.abs(_turned(FractalNoise(seed, 13, coarsest, 2, 0.5), shape, draw))
    field = rolling + np.float32(style.ridged) * (1.4 * ridges - rolling)
    low = np.minimum(field, 0)
    field = field - np.float32(style.plain * 0.85) * low
    down, across = np.mgrid[0 : shape[0], 0 : shape[1]].astype(np.float32) * np.float32(cell / 256 * style.tilt)
    field = field + np.sin(style.aspect) * down + np.cos(style.aspect) * across
    return (np.float32(style.relief) * field).astype(np.float32)


def _turned(noise: FractalNoise, shape: tuple[int, int], draw: np.random.Generator) -> Array:
    """Noise turned by a random angle: the spline's own directions would show as straight coasts and valleys."""
    side = int(np.ceil(np.hypot(*shape))) + 2
    angle = draw.uniform(0, np.pi / 2)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    offset = side / 2 - turn @ (np.array(shape) / 2)
    return ndimage.affine_transform(noise.rows(0, side, side), turn, offset, shape, order=1, mode="nearest")


def _smoothed(lattice: Array) -> Array:
    """The surface at the middle of each cell: what the B-spline makes of its control points there."""
    return ndimage.convolve1d(ndimage.convolve1d(lattice, [1 / 6, 4 / 6, 1 / 6], 0), [1 / 6, 4 / 6, 1 / 6], 1)


def _open_water(low: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Low cells connected to the border: the sea, not basins that lie below its level."""
    labels, _ = ndimage.label(low)
    edge = np.unique(np.concatenate((labels[0], labels[-1], labels[:, 0], labels[:, -1])))
    return np.isin(labels, edge[edge > 0])


def _inflow(heights: Array, style: TerrainStyle, draw: np.random.Generator) -> NDArray[np.float64]:
    """A river from outside enters in the lowest valley of the upper side."""
    inflow = np.zeros(heights.shape)
    if style.inflow > 0:
        sides = [heights[1, 1:-1], heights[-2, 1:-1], heights[1:-1, 1], heights[1:-1, -2]]
        side = int(np.argmax([s.mean() for s in sides]))
        place = 1 + int(np.argmin(sides[side] + draw.normal(0, 0.2 * style.relief, len(sides[side]))))
        cell = [(1, place), (heights.shape[0] - 2, place), (place, 1), (place, heights.shape[1] - 2)][side]
        inflow[cell] = style.inflow
    return inflow


def _mouth(flow: Flow, sea: NDArray[np.bool_], margin: int) -> Mouth | None:
    """The largest river's mouth inside the scene, `margin` cells from the grid's border, or None."""
    to = np.where(flow.receiver >= 0, flow.receiver, 0)
    inner = np.zeros(sea.shape, bool)
    inner[margin:-margin, margin:-margin] = True
    ends = (flow.receiver >= 0) & sea.ravel()[to] & ~sea.ravel() & inner.ravel()
    if not ends.any():
        return None
    cell = int(np.argmax(np.where(ends, flow.area.ravel(), 0)))
    row, column = divmod(int(to[cell]), sea.shape[1])
    offshore = ndimage.gaussian_filter(ndimage.distance_transform_edt(sea), 3)
    down, across = (float(g[row, column]) for g in np.gradient(offshore))
    return Mouth(row, column, float(np.arctan2(down, across)), float(flow.area.ravel()[cell]))


def _fan(lattice: Array, mouth: Mouth, sea_level: float, style: TerrainStyle, draw: np.random.Generator) -> Array:
    """Land a little above the sea in a fan of lobes around the mouth."""
    down, across = np.mgrid[0 : lattice.shape[0], 0 : lattice.shape[1]]
    down, across = down - mouth.row, across - mouth.column
    angle = np.arctan2(down, across) - mouth.direction
    lobes = 1 + 0.25 * np.cos(5 * angle + draw.uniform(0, 6)) + 0.15 * np.cos(9 * angle + draw.uniform(0, 6))
    reach = style.fan * lobes * np.clip(0.6 + 0.6 * np.cos(angle), 0.15, 1)
    above = sea_level + style.relief * 0.08 * np.clip(1.2 - np.hypot(down, across) / reach, -1, 1)
    inside = np.hypot(down, across) < 1.5 * reach
    return np.where(inside, np.maximum(lattice, above), lattice).astype(np.float32)


def _dam(lattice: Array, heights: Array, flow: Flow, style: TerrainStyle, draw: np.random.Generator) -> Array:
    """Raise a wall across a valley of some size, near the middle of the grid."""
    h, w = lattice.shape
    middle = np.zeros((h, w), bool)
    middle[h // 4 : -(h // 4), w // 4 : -(w // 4)] = True
    found = np.argwhere(middle & (flow.area > np.quantile(flow.area, 0.97)) & (flow.receiver.reshape(h, w) >= 0))
    if len(found) == 0:
        return lattice
    row, column = found[draw.integers(len(found))]
    to = int(flow.receiver[row * w + column])
    along = np.array([to // w - row, to % w - column], float)
    across = np.array([-along[1], along[0]]) / np.hypot(*along)
    top = heights[row, column] + style.relief * draw.uniform(0.15, 0.5)
    wall = lattice.copy()
    for side in (-1, 1):
        # From the river up both slopes, to where the ground is as high as the wall.
        for step in np.arange(0, 8, 0.5):
            i, j = np.rint([row + side * step * across[0], column + side * step * across[1]]).astype(int)
            if not (0 < i < h - 1 and 0 < j < w - 1) or (step > 0 and heights[i, j] >= top):
                break
            wall[i, j] = max(wall[i, j], top)
    return wall


def _lakes(
    heights: Array, flow: Flow, style: TerrainStyle, draw: np.random.Generator, sea: NDArray[np.bool_]
) -> tuple[Array, NDArray[np.bool_], NDArray[np.bool_]]:
    """Water levels, cells under lakes, and cells of depressions without one."""
    depth = flow.filled - heights
    labels, count = ndimage.label((depth > 1e-3 * style.relief) & ~sea, np.ones((3, 3)))
    level = np.full(heights.shape, _DRY, np.float32)
    lake = np.zeros(heights.shape, bool)
    if count:
        numbers = np.arange(1, count + 1)
        deepest = ndimage.maximum(depth, labels, numbers)
        brim = ndimage.maximum(flow.filled, labels, numbers)
        share = style.drawn_down * draw.uniform(0, 1, count)
        holds = (draw.uniform(0, 1, count) < style.lakes) & (deepest > 0.02 * style.relief)
        if style.dams:
            holds |= deepest > 0.9 * deepest.max()
        surface = np.concatenate(([_DRY], np.where(holds, brim - share * deepest, _DRY))).astype(np.float32)
        lake = (surface[labels] > _DRY) & (heights < surface[labels])
        near = ndimage.grey_dilation(surface[labels], size=(3, 3))
        # Below the lake's outlet the ground lies under its level, but outside its shore.
        level = np.where((labels > 0) | (heights > near), near, _DRY)
    return level, lake, (labels > 0) & (level <= _DRY)
