"""Every kind of source gives exactly its rows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from narrows.errors import InputError
from narrows.streaming.arrays import ArrayInput, BlockInput, as_input, as_rows

F32 = torch.float32
HEIGHT = 17


def image(dtype: Any = np.float32, batch: int | None = None) -> NDArray[Any]:
    shape = (3, HEIGHT, 6) if batch is None else (batch, 3, HEIGHT, 6)
    return np.random.default_rng(0).integers(0, 200, size=shape).astype(dtype)


class Source:
    """A `RowSource` over an array."""

    def __init__(self, array: NDArray[Any]):
        self.array = array
        self.shape, self.dtype = array.shape, array.dtype
        self.asked: list[tuple[int, int]] = []

    def read(self, start: int, stop: int) -> NDArray[Any]:
        self.asked.append((start, stop))
        return self.array[:, start:stop]


def assert_gives(source: Any, wanted: NDArray[Any], dtype: torch.dtype = F32) -> None:
    """All rows of `wanted` (N, C, H, W), in uneven parts."""
    feed = as_input(source)
    assert feed.shape == wanted.shape
    for start, stop in ((0, 1), (1, 6), (6, 6), (6, HEIGHT)):
        rows = feed.rows(start, stop, dtype)
        assert rows.dtype is dtype
        assert torch.equal(rows, torch.from_numpy(wanted[..., start:stop, :].astype(np.float64)).to(dtype))


@pytest.mark.parametrize("batch", [None, 1, 2])
@pytest.mark.parametrize("kind", ["array", "tensor"])
def test_arrays_and_tensors_with_and_without_a_batch(kind: str, batch: int | None) -> None:
    array = image(batch=batch)
    source = array if kind == "array" else torch.from_numpy(array)
    assert as_input(source).batched == (batch is None)
    assert_gives(source, array if batch else array[None])


@pytest.mark.parametrize("dtype", ["u1", "i1", "i2", "u2", ">u2", "i4", ">i4", "i8", "f2", ">f4", "f8", "?"])
@pytest.mark.parametrize("as_source", [False, True], ids=["array", "source"])
def test_numbers_of_every_kind(dtype: str, as_source: bool) -> None:
    array = image(dtype)
    assert_gives(Source(array) if as_source else array, array[None])


@pytest.mark.parametrize("wanted", [torch.float64, torch.bfloat16, torch.float16, torch.int64, torch.uint8])
@pytest.mark.parametrize("make", [np.asarray, torch.from_numpy, Source], ids=["array", "tensor", "source"])
def test_rows_come_in_the_dtype_that_is_asked_for(make: Any, wanted: torch.dtype) -> None:
    array = image(np.float32)
    assert_gives(make(array), array[None], wanted)


def test_tensors_of_bfloat16() -> None:
    tensor = torch.from_numpy(image()).to(torch.bfloat16)
    feed = as_input(tensor)
    assert feed.dtype is torch.bfloat16
    assert torch.equal(feed.rows(3, 9, torch.bfloat16)[0], tensor[:, 3:9])
    assert torch.equal(feed.rows(3, 9, F32)[0], tensor[:, 3:9].float())


@pytest.mark.parametrize(
    "stored",
    [
        lambda array: np.asfortranarray(array),
        lambda array: array[:, ::-1][:, ::-1],
        lambda array: np.repeat(array, 3, axis=2)[:, :, ::3],
        lambda array: array[::-1][::-1],
    ],
    ids=["by columns", "flipped twice", "every third column", "channels flipped twice"],
)
@pytest.mark.parametrize("as_source", [False, True], ids=["array", "source"])
def test_arrays_however_they_lie(stored: Any, as_source: bool) -> None:
    array = stored(image())
    assert_gives(Source(array) if as_source else array, image()[None])


def test_a_mirrored_array() -> None:
    array = image()[:, ::-1, ::-1]
    assert_gives(array, np.ascontiguousarray(array)[None])


def test_a_read_only_memory_map_counts_as_no_array_of_the_callers(tmp_path: Path) -> None:
    np.save(tmp_path / "image.npy", image())
    mapped = np.load(tmp_path / "image.npy", mmap_mode="r")
    assert_gives(mapped, image()[None])
    assert as_input(mapped).caller_bytes() == 0


def test_rows_of_an_array_do_not_share_its_memory() -> None:
    array = image()
    as_input(array).rows(0, 4, F32).zero_()
    np.testing.assert_array_equal(array, image())


def test_the_callers_arrays_are_counted_once_with_what_they_are_cut_from() -> None:
    large = np.ones((3, 512, 1024), np.float32)
    bytes_held = as_input(large).caller_bytes()
    assert large.nbytes - 8192 <= bytes_held <= large.nbytes
    tensor = torch.ones(3, 512, 1024)
    assert tensor.nbytes - 8192 <= as_input(tensor[:, :4]).caller_bytes() <= tensor.nbytes


def test_an_input_without_rows_is_given_whole() -> None:
    vector = np.arange(5, dtype=np.int64)
    feed = as_input(vector)
    assert feed.shape == (5,)
    assert not feed.batched
    assert feed.rows(0, 0, torch.int64).tolist() == [0, 1, 2, 3, 4]


def test_a_source_is_asked_for_the_rows_that_are_wanted() -> None:
    source = Source(image())
    feed = as_input(source)
    assert feed.threaded
    assert feed.shape == (1, 3, HEIGHT, 6)
    feed.rows(2, 5, F32)
    feed.rows(5, 6, F32)
    assert source.asked == [(2, 5), (5, 6)]


def test_a_source_says_what_it_holds() -> None:
    source = Source(image())
    assert as_input(source).resident_bytes == 0
    source.resident_bytes = 64_000_000  # type: ignore[attr-defined]
    assert as_input(source).resident_bytes == 64_000_000


def test_a_source_that_gives_other_rows_than_it_was_asked_for() -> None:
    source = Source(image())
    source.shape = (3, HEIGHT + 5, 6)
    feed = as_input(source)
    feed.rows(0, HEIGHT, F32)
    with pytest.raises(InputError, match=r"\(3, 0, 6\) where \(3, 5, 6\)"):
        feed.rows(HEIGHT, HEIGHT + 5, F32)


@pytest.mark.parametrize("source", [None, 7, "image.tif", [1.0, 2.0], object()])
def test_what_is_no_source(source: Any) -> None:
    with pytest.raises(InputError, match=f"not a {type(source).__name__}"):
        as_input(source)


@pytest.mark.parametrize("dtype", ["U3", "O", "datetime64[s]"])
def test_arrays_of_no_numbers(dtype: str) -> None:
    with pytest.raises(InputError, match="PyTorch has no tensors of"):
        ArrayInput(np.zeros((3, 4, 4), dtype))


def test_an_input_stays_what_it_is() -> None:
    feed = as_input(image())
    assert as_input(feed) is feed


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_rows_of_a_source_lie_in_channels_last(dtype: torch.dtype) -> None:
    rows = as_rows(image(np.uint16)[:, 2:6], dtype)
    assert rows.shape == (1, 3, 4, 6)
    assert rows.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(rows[0], torch.from_numpy(image(np.float64))[:, 2:6].to(dtype))


def in_blocks(array: Any, cuts: list[int]) -> Iterator[Any]:
    for start, stop in zip([0, *cuts], [*cuts, HEIGHT], strict=True):
        yield array[..., start:stop, :]


CUTS = st.lists(st.integers(0, HEIGHT), max_size=6).map(sorted)


@settings(max_examples=60, deadline=None)
@given(given_cuts=CUTS, asked_cuts=CUTS, batch=st.sampled_from([None, 2]), as_tensor=st.booleans())
def test_blocks_are_cut_anew(given_cuts: list[int], asked_cuts: list[int], batch: int | None, as_tensor: bool) -> None:
    array = image(np.uint16, batch)
    wanted = torch.from_numpy(array.astype(np.float32)).reshape(batch or 1, 3, HEIGHT, 6)
    blocks = torch.from_numpy(array.astype(np.int32)) if as_tensor else array
    feed = BlockInput(in_blocks(blocks, given_cuts), HEIGHT)
    assert feed.shape == tuple(wanted.shape)
    assert feed.batched == (batch is None)
    for start, stop in zip([0, *asked_cuts], [*asked_cuts, HEIGHT], strict=True):
        if start < stop:
            assert torch.equal(feed.rows(start, stop, F32), wanted[..., start:stop, :])
    feed.check_end()


def test_blocks_are_taken_no_sooner_than_their_rows() -> None:
    taken = []

    def blocks() -> Iterator[NDArray[Any]]:
        for block in in_blocks(image(), [4, 8, 12]):
            taken.append(block)
            yield block

    feed = BlockInput(blocks(), HEIGHT)
    counts = []
    for row in range(HEIGHT):
        feed.rows(row, row + 1, F32)
        counts.append(len(taken))
    assert counts == [1] * 4 + [2] * 4 + [3] * 4 + [4] * 5


def test_no_blocks_at_all() -> None:
    with pytest.raises(InputError, match="no blocks"):
        BlockInput(iter([]), HEIGHT)


def test_blocks_that_end_early_say_after_how_many_rows() -> None:
    feed = BlockInput(in_blocks(image(), []), HEIGHT + 3)
    feed.rows(0, 10, F32)
    with pytest.raises(InputError, match=f"end after {HEIGHT} rows; {HEIGHT + 3} were announced"):
        feed.rows(10, HEIGHT + 1, F32)


@pytest.mark.parametrize("other", [(3, 4, 7), (2, 4, 6), (1, 3, 4, 6)], ids=["width", "channels", "a batch"])
def test_blocks_of_another_shape(other: tuple[int, ...]) -> None:
    feed = BlockInput([image()[:, :4], np.zeros(other, np.float32)], HEIGHT)
    feed.rows(0, 4, F32)
    with pytest.raises(InputError, match="has shape"):
        feed.rows(4, 8, F32)


@pytest.mark.parametrize("cuts", [[], [8], [10]])
def test_more_rows_than_were_announced(cuts: list[int]) -> None:
    feed = BlockInput(in_blocks(image(), cuts), 10)
    feed.rows(0, 10, F32)
    with pytest.raises(InputError, match="more rows came than the 10"):
        feed.check_end()


def test_rows_that_the_network_needs_no_more_may_stay_unread() -> None:
    feed = BlockInput(in_blocks(image(), [8]), HEIGHT)
    feed.rows(0, HEIGHT - 1, F32)
    feed.check_end()
