"""Rows in line buffers and pasted into tensors, against plain arrays."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from narrows.rowgraph.graph import Node
from narrows.rowgraph.rows import Axis
from narrows.streaming.lines import LineBuffer, empty_rows, paste

CPU = torch.device("cpu")
HEIGHT = 60
# Shapes of a value of 60 rows with the axis of its rows: an image, tokens, a batch merged in front of the rows, ...
VALUES = {
    "image": ((1, 3, HEIGHT, 5), Axis(2, HEIGHT)),
    "batch": ((2, 3, HEIGHT, 5), Axis(2, HEIGHT)),
    "channels last": ((1, HEIGHT, 5, 3), Axis(1, HEIGHT)),
    "rows first": ((HEIGHT, 4), Axis(0, HEIGHT)),
    "rows last": ((2, 3, HEIGHT), Axis(2, HEIGHT)),
    "merged": ((3 * HEIGHT, 5), Axis(0, HEIGHT, outer=3)),
    "merged inside": ((2, 2 * HEIGHT, 5), Axis(1, HEIGHT, outer=2)),
    "merged image": ((1, 2, 2 * HEIGHT, 3), Axis(2, HEIGHT, outer=2)),
}


def node_of(name: str, dtype: str = "float32") -> Node:
    shape, axis = VALUES[name]
    itemsize = torch.empty(0, dtype=getattr(torch, dtype)).element_size()
    return Node(0, "x", "input", (), (), shape, dtype, itemsize, axis)


def numbered(node: Node) -> np.ndarray:
    """A value whose every element is another number (as far as its dtype tells them apart)."""
    return np.arange(np.prod(node.shape)).reshape(node.shape) % 251


def rows_of(array: np.ndarray, axis: Axis, start: int, stop: int) -> np.ndarray:
    """Rows [start, stop), taken one by one."""
    height = array.shape[axis.dim] // axis.outer
    places = [outer * height + row for outer in range(axis.outer) for row in range(start, stop)]
    return np.take(array, places, axis=axis.dim)


def tensor_of(array: np.ndarray, node: Node) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array)).to(getattr(torch, node.dtype))


@pytest.mark.parametrize("name", VALUES)
def test_pasted_rows_make_the_whole_value(name: str) -> None:
    node = node_of(name)
    assert node.rows is not None
    whole = numbered(node)
    target = torch.full(node.shape, -1.0)
    for start, stop in ((7, 20), (0, 7), (20, 21), (21, HEIGHT)):
        paste(target, node.rows, start, tensor_of(rows_of(whole, node.rows, start, stop), node))
    np.testing.assert_array_equal(target.numpy(), whole)


@pytest.mark.parametrize("name", VALUES)
def test_pasting_leaves_the_other_rows(name: str) -> None:
    node = node_of(name)
    assert node.rows is not None
    target = torch.full(node.shape, -1.0)
    paste(target, node.rows, 5, tensor_of(rows_of(numbered(node), node.rows, 5, 9), node))
    for start, stop in ((0, 5), (9, HEIGHT)):
        assert (rows_of(target.numpy(), node.rows, start, stop) == -1).all()
    assert (rows_of(target.numpy(), node.rows, 5, 9) >= 0).all()


@pytest.mark.parametrize("name", VALUES)
def test_empty_rows_have_the_nodes_shape_and_take_no_more_than_its_bytes(name: str) -> None:
    node = node_of(name)
    assert node.rows is not None
    rows = empty_rows(node, 7, CPU)
    shape = list(node.shape)
    shape[node.rows.dim] = 7 * node.rows.outer
    assert list(rows.shape) == shape
    assert rows.dtype is torch.float32
    assert rows.untyped_storage().nbytes() == 7 * node.row_bytes
    assert empty_rows(node, 0, CPU).numel() == 0


@pytest.mark.parametrize("name", ["image", "channels last", "rows first", "rows last"])
def test_any_span_of_rows_is_one_piece_of_memory(name: str) -> None:
    node = node_of(name)
    assert node.rows is not None
    rows = empty_rows(node, 7, CPU)
    assert rows.stride(node.rows.dim) * rows.element_size() == node.row_bytes
    if name == "image":
        assert rows.is_contiguous(memory_format=torch.channels_last)


@st.composite
def histories(draw: st.DrawFn) -> tuple[int, list[tuple[int, int]]]:
    """A capacity, and for each append how many rows come and from which on they are kept, as a schedule has them."""
    appends: list[tuple[int, int]] = []
    stop = keep = 0
    capacity = 1
    while stop < HEIGHT and len(appends) < 12:
        count = draw(st.integers(1, min(12, HEIGHT - stop)))
        appends.append((count, keep))
        stop += count
        capacity = max(capacity, stop - keep)
        keep = draw(st.integers(max(keep, stop - 9), stop))
    return capacity + draw(st.integers(0, 3)), appends


@settings(max_examples=120, deadline=None)
@given(st.sampled_from(sorted(VALUES)), st.sampled_from(["float32", "float64", "uint8", "bfloat16"]), histories())
def test_a_line_buffer_gives_the_rows_that_came(name: str, dtype: str, history: tuple[int, list]) -> None:
    capacity, appends = history
    node = node_of(name, dtype)
    assert node.rows is not None
    whole = numbered(node)
    buffer = LineBuffer(node, capacity, CPU)
    stop = 0
    for count, keep in appends:
        buffer.append(tensor_of(rows_of(whole, node.rows, stop, stop + count), node), keep)
        stop += count
        assert buffer.stop == stop
        window = buffer.window(keep, stop)
        wanted = tensor_of(rows_of(whole, node.rows, keep, stop), node)
        assert torch.equal(window, wanted)
        middle = (keep + stop) // 2
        assert torch.equal(buffer.window(middle, stop), tensor_of(rows_of(whole, node.rows, middle, stop), node))


def test_rows_stay_where_they_are_while_there_is_room() -> None:
    node = node_of("image")
    buffer = LineBuffer(node, 10, CPU)
    buffer.append(torch.zeros(1, 3, 4, 5), 0)
    before = buffer.window(2, 4)
    buffer.append(torch.ones(1, 3, 6, 5), 4)
    assert buffer.origin == 0
    assert buffer.window(2, 4).data_ptr() == before.data_ptr()
    buffer.append(torch.full((1, 3, 1, 5), 2.0), 8)
    assert buffer.origin == 8
    assert [row.unique().tolist() for row in buffer.window(8, 11).unbind(2)] == [[1.0], [1.0], [2.0]]


def test_all_rows_may_be_forgotten_at_once() -> None:
    buffer = LineBuffer(node_of("image"), 4, CPU)
    for value in range(5):
        buffer.append(torch.full((1, 3, 4, 5), float(value)), 4 * value)
        assert (buffer.window(4 * value, 4 * value + 4) == value).all()


@pytest.mark.parametrize("name", ["image", "rows last", "channels last"])
def test_a_window_is_a_view(name: str) -> None:
    node = node_of(name)
    assert node.rows is not None
    buffer = LineBuffer(node, 8, CPU)
    buffer.append(tensor_of(rows_of(numbered(node), node.rows, 0, 8), node), 0)
    assert buffer.window(3, 6).untyped_storage().data_ptr() == buffer.memory.untyped_storage().data_ptr()


def test_more_rows_than_the_buffer_holds_are_refused() -> None:
    buffer = LineBuffer(node_of("image"), 4, CPU)
    buffer.append(torch.zeros(1, 3, 3, 5), 0)
    with pytest.raises(RuntimeError):
        buffer.append(torch.zeros(1, 3, 2, 5), 0)
