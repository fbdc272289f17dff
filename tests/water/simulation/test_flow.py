"""Filled depressions and flow directions, against a priority flood and by what must hold."""

from __future__ import annotations

import heapq

import numpy as np
import pytest
from numpy.typing import NDArray

from narrows.water.simulation.channels import draw_lines, river_lines
from narrows.water.simulation.flow import route
from narrows.water.simulation.noise import FractalNoise
from narrows.water.simulation.terrain import TerrainStyle, make_terrain


def priority_flood(height: NDArray[np.float64]) -> NDArray[np.float64]:
    """Barnes, Lehman and Mulla (2014), algorithm 1."""
    filled = np.full(height.shape, np.nan)
    queue: list[tuple[float, int, int]] = []
    for i, j in np.ndindex(height.shape):
        if i in (0, height.shape[0] - 1) or j in (0, height.shape[1] - 1):
            filled[i, j] = height[i, j]
            heapq.heappush(queue, (height[i, j], i, j))
    while queue:
        level, i, j = heapq.heappop(queue)
        for y in range(max(i - 1, 0), min(i + 2, height.shape[0])):
            for x in range(max(j - 1, 0), min(j + 2, height.shape[1])):
                if np.isnan(filled[y, x]):
                    filled[y, x] = max(level, height[y, x])
                    heapq.heappush(queue, (filled[y, x], y, x))
    return filled


@pytest.mark.parametrize("seed", range(4))
def test_depressions_are_filled_as_by_priority_flood(seed: int) -> None:
    height = FractalNoise(seed, 1, 16, 1, 0.7).rows(0, 37, 53).astype(np.float64)
    assert np.array_equal(route(height).filled, priority_flood(height))


@pytest.mark.parametrize("seed", range(4))
def test_water_runs_downhill_and_out(seed: int) -> None:
    height = FractalNoise(seed, 2, 16, 1, 0.7).rows(0, 40, 30).astype(np.float64)
    height[10:14, 10:14] = height.min() - 1
    sea = np.zeros(height.shape, bool)
    sea[20:24, 15:20] = True
    flow = route(height, sea)
    filled = flow.filled.ravel()
    goes = flow.receiver >= 0
    assert (filled[flow.receiver[goes]] <= filled[goes]).all()
    cell = np.arange(height.size)
    for _ in range(height.size):
        cell = np.where(flow.receiver[cell] >= 0, flow.receiver[cell], cell)
    outlets = np.zeros(height.shape, bool)
    outlets[0] = outlets[-1] = outlets[:, 0] = outlets[:, -1] = True
    assert (outlets | sea).ravel()[cell].all()
    # Every cell drains through exactly one outlet.
    assert flow.area.ravel()[~goes].sum() == height.size


def test_the_way_is_the_steepest_of_eight() -> None:
    down, across = np.mgrid[0:9, 0:9].astype(float)
    flow = route(-2 * down - across)
    assert flow.receiver[4 * 9 + 4] == 5 * 9 + 5


def test_what_comes_from_outside_flows_through() -> None:
    height = -np.mgrid[0:12, 0:8][0].astype(float)
    inflow = np.zeros_like(height)
    inflow[1, 4] = 500
    flow = route(height, inflow=inflow)
    assert flow.area[10, 4] > 500
    assert flow.area.max() <= 500 + height.size


@pytest.mark.parametrize("seed", [3, 8, 21])
def test_rivers_of_a_terrain_run_downhill_without_gaps(seed: int) -> None:
    style = TerrainStyle(tilt=1.0, aspect=0.7, lakes=0.0)
    terrain = make_terrain(96, 96, seed, style, cell=4, margin=14)
    flow, width = terrain.flow, terrain.flow.area.shape[1]
    largest = int(np.argmax(flow.area))
    upstream = [largest]
    while True:
        feeders = np.flatnonzero(flow.receiver == upstream[-1])
        if len(feeders) == 0:
            break
        upstream.append(int(feeders[np.argmax(flow.area.ravel()[feeders])]))
    heights = flow.filled.ravel()[upstream]
    assert len(upstream) > 10
    assert (np.diff(heights) >= 0).all()
    steps = np.abs(np.diff(np.stack(np.divmod(np.array(upstream), width))))
    assert steps.max() <= 1
    lines = river_lines(terrain, seed, least=200, widest=6, narrowest=1.5, wander=2.0)
    cover, _ = draw_lines(lines, 0, 96, 96)
    from scipy import ndimage

    labels, count = ndimage.label(cover > 0.1, np.ones((3, 3)))
    sizes = ndimage.sum_labels(cover > 0.1, labels, np.arange(1, count + 1))
    # One drawn river per outlet of the window; crumbs would be gaps.
    assert count <= 8
    assert sizes.max() > 0.5 * sizes.sum() or sizes.min() > 10
