"""Strip heights to try: light networks want low ones, heavy networks tall ones."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.streaming.drawn_graphs import Drawing, graphs, unet

from narrows.rowgraph.graph import RowGraph
from narrows.streaming.plan import make_plan
from narrows.streaming.strips import LARGEST_STRIP, strip_candidates


def pooled(height: int, poolings: int, width: int = 512, channels: int = 64) -> RowGraph:
    drawing = Drawing(height, channels, width)
    value = 0
    for _ in range(poolings):
        value = drawing.pool(value, width)
    return drawing.graph(value)


@settings(max_examples=100, deadline=None)
@given(graph=graphs(), weights=st.integers(0, 10**9))
def test_candidates_fall_from_the_best_to_one_row(graph: RowGraph, weights: int) -> None:
    sizes = strip_candidates(replace(graph, constant_bytes=weights))
    ends = max(graph.nodes[index].height for index in (*graph.inputs, *graph.outputs))
    assert sizes == sorted(set(sizes), reverse=True)
    assert sizes[-1] == 1
    assert sizes[0] <= ends


@pytest.mark.parametrize("graph", [unet(512), unet(512, 3), pooled(512, 3)], ids=["two levels", "three", "pooled"])
def test_no_candidate_needs_more_memory_than_the_one_before(graph: RowGraph) -> None:
    peaks = [make_plan(graph, process=0, strip=strip).buffers_peak for strip in strip_candidates(graph)]
    assert peaks == sorted(peaks, reverse=True)
    assert peaks[-1] < peaks[0] / 3


def test_a_light_network_with_wide_rows_wants_32_rows() -> None:
    assert strip_candidates(pooled(4096, 1, width=4096))[0] == 32


def test_narrow_rows_ask_for_more_of_them() -> None:
    wanted = [strip_candidates(pooled(4096, 1, width))[0] for width in (4096, 256, 64, 8)]
    assert wanted == sorted(wanted)
    assert wanted[0] < wanted[-1] == LARGEST_STRIP


def test_weights_ask_for_tall_strips() -> None:
    light = pooled(4096, 1, width=4096)
    wanted = [strip_candidates(replace(light, constant_bytes=count))[0] for count in (0, 10**8, 10**9, 10**11)]
    assert wanted == sorted(wanted)
    assert wanted[0] == 32 < wanted[2] <= wanted[-1] == LARGEST_STRIP


@pytest.mark.parametrize("poolings", [1, 3, 5])
def test_strips_are_multiples_of_the_stride(poolings: int) -> None:
    stride = 2**poolings
    sizes = strip_candidates(pooled(4096, poolings))
    assert sizes[0] % stride == 0
    assert all(size % stride == 0 or size <= min(stride, 16) for size in sizes)


def test_a_low_image_is_one_strip() -> None:
    assert strip_candidates(pooled(20, 1))[0] == 20


def test_one_row() -> None:
    drawing = Drawing(1)
    assert strip_candidates(drawing.graph(drawing.window(0))) == [1]


def test_a_stride_beyond_the_tallest_strip_still_gives_strips() -> None:
    sizes = strip_candidates(pooled(4096, 10))
    assert sizes[0] <= LARGEST_STRIP
    assert sizes[-1] == 1
