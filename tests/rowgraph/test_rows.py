"""Row needs against the definitions of the operators, tap by tap, and against what PyTorch's results depend on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import partial
from math import ceil
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import narrows.rowgraph.operators  # noqa: F401  (registers every family)
from narrows.rowgraph.cutting import cut, overload
from narrows.rowgraph.registry import Call, Operator, Value, lookup
from narrows.rowgraph.rows import (
    Axis,
    Blocks,
    RowNeed,
    Same,
    Table,
    Transposed,
    Whole,
    Window,
    extend_last,
    missing_rows,
)

torch.set_num_threads(1)
D = torch.float64
FAR = 200  # output rows that lie so far above or below the image that nothing is left to reach
Rows = Sequence[set[int]]

small = st.integers(1, 4)
heights = st.integers(1, 14)
windows = st.builds(
    Window,
    height=heights,
    kernel=st.integers(1, 5),
    stride=small,
    dilation=st.integers(1, 3),
    before=st.integers(-5, 6),
)
transposes = st.builds(
    Transposed,
    height=heights,
    kernel=st.integers(1, 5),
    stride=small,
    dilation=st.integers(1, 3),
    padding=st.integers(0, 4),
)


@st.composite
def tables(draw: st.DrawFn) -> Table:
    height = draw(heights)
    row = st.integers(0, height - 1)
    pairs = draw(st.lists(st.tuples(row, row).map(sorted), min_size=1, max_size=12))
    return Table(height, [a for a, _ in pairs], [b for _, b in pairs])


needs: st.SearchStrategy[RowNeed] = st.one_of(
    st.builds(Same, heights),
    windows,
    transposes,
    st.builds(Blocks, heights, small, small),
    st.builds(Whole, heights),
    tables(),
)


def covers(need: RowNeed, rows: Rows) -> bool:
    """Whether every span of output rows gets the input rows that it needs; `rows[r]` are those of output row r."""
    return all(
        need.first(start) <= row < need.last(stop)
        for start in range(len(rows))
        for stop in range(start + 1, len(rows) + 1)
        for row in set[int]().union(*rows[start:stop])
    )


def is_exact(need: RowNeed, rows: Rows) -> bool:
    """Whether nothing more is asked for: not a row that no output row from there on, or up to there, needs."""
    return all(
        need.first(start) == min((row for taps in rows[start:] for row in taps), default=need.height)
        and need.last(start) == max((row + 1 for taps in rows[:start] for row in taps), default=0)
        for start in range(len(rows) + 1)
    )


def window_taps(need: Window, row: int) -> list[int]:
    """By the definition of convolution, padding included."""
    return [row * need.stride - need.before + need.dilation * j for j in range(need.kernel)]


def scattered(need: Transposed, start: int, stop: int) -> list[set[int]]:
    """By the definition of transposed convolution: each input row adds to some output rows; of these [start, stop)."""
    rows: list[set[int]] = [set() for _ in range(start, stop)]
    for i in range(need.height):
        for j in range(need.kernel):
            row = i * need.stride - need.padding + need.dilation * j
            if start <= row < stop:
                rows[row - start].add(i)
    return rows


@pytest.mark.parametrize("height", [1, 2, 7])
def test_same_needs_each_row_for_itself(height: int) -> None:
    rows = [{row} for row in range(height)]
    assert covers(Same(height), rows)
    assert is_exact(Same(height), rows)


@given(windows, st.integers(1, 16))
def test_a_window_covers_its_taps(need: Window, made: int) -> None:
    assert covers(need, [{tap for tap in window_taps(need, row) if 0 <= tap < need.height} for row in range(made)])


@given(windows, st.integers(0, 16))
def test_a_window_inside_the_image_is_exact(need: Window, row: int) -> None:
    taps = window_taps(need, row)
    if 0 <= taps[0] < need.height:
        assert need.first(row) == taps[0]
    if 0 <= taps[-1] < need.height:
        assert need.last(row + 1) == taps[-1] + 1


@given(windows)
def test_a_window_without_gaps_is_exact_at_the_edges_too(need: Window) -> None:
    assume(need.dilation == 1 and need.kernel >= need.stride)
    made = [row for row in range(-FAR, FAR) if any(0 <= tap < need.height for tap in window_taps(need, row))]
    start = max(made[0], 0)
    rows = [{tap for tap in window_taps(need, r) if 0 <= tap < need.height} for r in range(max(made[-1] + 1, 0))]
    assume(start < len(rows))
    assert is_exact(need, rows)


@given(heights, st.integers(0, 5), st.integers(0, 5), small)
def test_a_crop_is_a_window_that_starts_lower(height: int, top: int, bottom: int, step: int) -> None:
    picked = list(range(height))[top : max(height - bottom, top) : step]
    assume(picked)
    need = Window(height, stride=step, before=-top)
    for row, source in enumerate(picked):
        assert (need.first(row), need.last(row + 1)) == (source, source + 1)


@given(heights, st.integers(0, 5), st.integers(0, 5))
def test_padding_is_a_window_that_starts_higher(height: int, top: int, bottom: int) -> None:
    rows: list[set[int]] = [set()] * top + [{row} for row in range(height)] + [set()] * bottom
    assert is_exact(Window(height, before=top), rows)


@given(transposes, st.integers(1, 40))
def test_a_transposed_window_covers_what_is_scattered(need: Transposed, made: int) -> None:
    assert covers(need, scattered(need, 0, made))


@given(transposes, st.integers(1, 40))
def test_a_transposed_window_is_exact_where_nothing_is_cropped(need: Transposed, row: int) -> None:
    below, above = scattered(need, row, FAR), scattered(need, -FAR, row)
    assert need.first(row) == min((i for taps in below for i in taps), default=need.height)
    assert need.last(row) == max((i + 1 for taps in above for i in taps), default=0)


@given(heights, small, small)
def test_blocks_cover_shares_of_rows(height: int, numerator: int, denominator: int) -> None:
    made = height * denominator // numerator
    # In shares of 1 / denominator of an input row, so that all numbers are whole.
    shares = [range(row * numerator, (row + 1) * numerator) for row in range(made)]
    rows = [{share // denominator for share in covered} for covered in shares]
    need = Blocks(height, numerator, denominator)
    assert covers(need, rows)
    for row, taps in enumerate(rows):
        assert (need.first(row), need.last(row + 1)) == (min(taps), max(taps) + 1)


@pytest.mark.parametrize(("height", "made"), [(1, 1), (5, 3), (4, 9)])
def test_a_barrier_needs_everything_and_for_nothing_nothing(height: int, made: int) -> None:
    need = Whole(height)
    assert covers(need, [set(range(height))] * made)
    assert [need.last(stop) for stop in (-1, 0, 1, made)] == [0, 0, height, height]


@given(tables())
def test_a_table_is_exact_in_any_order_of_its_rows(need: Table) -> None:
    rows = [set(range(low, high + 1)) for low, high in zip(need.lowest, need.highest, strict=True)]
    assert covers(need, rows)
    assert is_exact(need, rows)


def test_a_table_of_rows_outside_the_image_is_clipped() -> None:
    need = Table(4, [-2, 1, 3], [0, 2, 9])
    assert [need.first(row) for row in range(-1, 5)] == [0, 0, 1, 3, 4, 4]
    assert [need.last(row) for row in range(-1, 5)] == [0, 0, 1, 3, 4, 4]


def test_tables_compare_by_their_rows() -> None:
    assert Table(4, (0, 1), (1, 2)) == Table(4, (0, 1), (1, 2))
    assert Table(4, (0, 1), (1, 2)) != Table(4, (0, 1), (1, 3))


@given(needs)
def test_needs_never_fall_and_stay_in_the_image(need: RowNeed) -> None:
    for bound in (need.first, need.last):
        values = [bound(row) for row in range(-20, 60)]
        assert values == sorted(values)
        assert values[0] >= 0 and values[-1] <= need.height
    assert need.last(0) == 0 and need.last(-3) == 0


@given(needs, st.integers(1, 12))
def test_rows_that_can_be_made_of_the_first_n(need: RowNeed, made: int) -> None:
    """The inverse of `last`: never falls, is never too hopeful, and with the whole image reaches the last row."""
    ready = [max(stop for stop in range(made + 1) if need.last(stop) <= n) for n in range(need.height + 1)]
    assert ready == sorted(ready)
    assert ready[-1] == made
    for stop in range(made + 1):
        assert next(n for n, count in enumerate(ready) if count >= stop) == need.last(stop)


@given(windows, st.lists(st.integers(1, 5), min_size=1, max_size=8))
def test_a_buffer_that_forgets_holds_what_each_strip_needs(need: Window, strips: list[int]) -> None:
    held: set[int] = set()
    start = read = 0
    for rows in strips:
        stop = start + rows
        arrived = max(need.last(stop), read)
        held |= set(range(read, arrived))
        read = arrived
        for row in range(start, stop):
            assert {tap for tap in window_taps(need, row) if 0 <= tap < need.height} <= held
        held -= set(range(need.first(stop)))
        start = stop


@given(needs, st.integers(1, 12), st.integers(-30, 12))
def test_a_need_goes_on_in_a_straight_line_above_the_image(need: RowNeed, made: int, stop: int) -> None:
    if stop >= 1:
        assert extend_last(need, stop, made) == need.last(stop)
    else:
        assert extend_last(need, stop, made) <= extend_last(need, stop + 1, made)
        assert extend_last(need, stop - made, made) == extend_last(need, stop, made) - need.height


def test_a_need_of_no_output_rows_goes_on_too() -> None:
    assert extend_last(Same(3), -1, 0) == 1 - 2 * 3


@given(windows, st.integers(-5, 25), st.integers(0, 16), st.integers(1, 6))
def test_rows_of_padding_around_a_strip(need: Window, before: int, start: int, rows: int) -> None:
    need, stop = replace(need, before=before), start + rows
    covered = range(window_taps(need, start)[0], window_taps(need, stop - 1)[-1] + 1)
    above, below = missing_rows(need, start, stop)
    assert above == sum(row < 0 for row in covered)
    assert below == sum(row >= need.height for row in covered)
    assert above + (need.last(stop) - need.first(start)) + below == len(covered)


def specified(target: str, *args: Any) -> Operator:
    """The specification of one ATen call on `args`; tensors of four dimensions have rows."""
    function = overload(target)
    values: dict[int, Value] = {}

    def stood_for(argument: Any) -> Any:
        if not isinstance(argument, torch.Tensor):
            return argument
        rows = Axis(2, argument.shape[2]) if argument is args[0] else None
        columns = Axis(3, argument.shape[3]) if rows else None
        return values.setdefault(id(argument), Value(len(values), tuple(argument.shape), argument.dtype, rows, columns))

    filled = {}
    for place, argument in enumerate(function._schema.arguments):
        given_one = args[place] if place < len(args) else argument.default_value
        filled[argument.name] = stood_for(given_one)
    made = function(*args)
    results = tuple((tuple(one.shape), one.dtype) for one in (made if isinstance(made, tuple) else (made,)))
    rule = lookup(target)
    assert rule is not None
    found = rule(Call(target, filled, results))
    return found[0] if isinstance(found, tuple) else found


def depended_on(
    function: Callable[[torch.Tensor], torch.Tensor], height: int, channels: int = 1, columns: int = 4
) -> list[set[int]]:
    """For each output row the input rows that it changes with: one image for each row, which alone is not zero."""
    images = torch.eye(height, dtype=D).view(height, 1, height, 1).repeat(1, channels, 1, columns)
    made = function(images) - function(torch.zeros_like(images))
    changed = made.abs().amax((1, 3)) > 0
    return [set(changed[:, row].nonzero().flatten().tolist()) for row in range(made.shape[2])]


def checked(target: str, height: int, *rest: Any, channels: int = 1) -> tuple[RowNeed, list[set[int]]]:
    """The declared need of a call and what PyTorch's result depends on, the first found to cover the second."""
    need = specified(target, torch.zeros(1, channels, height, 4, dtype=D), *rest).row_needs()[0]
    assert need is not None
    function = overload(target)
    rows = depended_on(lambda x: function(x, *rest), height, channels)
    assert covers(need, rows)
    return need, rows


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_convolutions_depend_on_the_rows_declared(data: st.DataObject) -> None:
    height, kernel, stride, dilation, padding = (
        data.draw(s) for s in (heights, small, small, small, st.integers(0, 3))
    )
    assume(height + 2 * padding > dilation * (kernel - 1))
    weight = torch.ones(1, 1, kernel, 1, dtype=D)
    need, rows = checked("aten.conv2d.default", height, weight, None, [stride, 1], [padding, 0], [dilation, 1])
    assert isinstance(need, Window)
    assert rows == [{tap for tap in window_taps(need, row) if 0 <= tap < height} for row in range(len(rows))]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_transposed_convolutions_depend_on_the_rows_declared(data: st.DataObject) -> None:
    height, kernel, stride, dilation, padding = (
        data.draw(s) for s in (heights, small, small, small, st.integers(0, 3))
    )
    extra = data.draw(st.integers(0, max(stride, dilation) - 1))
    assume((height - 1) * stride - 2 * padding + dilation * (kernel - 1) + extra + 1 > 0)
    weight = torch.ones(1, 1, kernel, 1, dtype=D)
    need, rows = checked(
        "aten.conv_transpose2d.input", height, weight, None, [stride, 1], [padding, 0], [extra, 0], 1, [dilation, 1]
    )
    assert isinstance(need, Transposed)
    assert rows == scattered(need, 0, len(rows))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_poolings_depend_on_the_rows_declared(data: st.DataObject) -> None:
    height, kernel, stride, ceil = (data.draw(s) for s in (heights, small, small, st.booleans()))
    padding = data.draw(st.integers(0, kernel // 2))
    assume(height + 2 * padding >= kernel)
    sizes = ([kernel, 1], [stride, 1], [padding, 0])
    need, rows = checked("aten.avg_pool2d.default", height, *sizes, ceil)
    dilation = data.draw(st.integers(1, 2))
    wide, _ = checked("aten.max_pool2d.default", height, *sizes, [1, 1], ceil)
    assert wide == need
    assert isinstance(need, Window)
    assert rows == [{tap for tap in window_taps(need, row) if 0 <= tap < height} for row in range(len(rows))]
    assume(height + 2 * padding > dilation * (kernel - 1))
    checked("aten.max_pool2d.default", height, *sizes, [dilation, 1], ceil)


@settings(max_examples=40, deadline=None)
@given(heights, st.integers(2, 16))
def test_adaptive_poolings_depend_on_the_rows_declared(height: int, made: int) -> None:
    need, rows = checked("aten.adaptive_avg_pool2d.default", height, [made, 2])
    assert is_exact(need, rows)


def _shuffled(name: str, factor: int, x: torch.Tensor) -> torch.Tensor:
    function = {"pixel_shuffle": F.pixel_shuffle, "pixel_unshuffle": F.pixel_unshuffle}[name]
    return function(x, factor)


@settings(max_examples=30, deadline=None)
@given(heights, small)
def test_pixel_shuffles_depend_on_the_rows_declared(height: int, factor: int) -> None:
    for name, tall, channels in (("pixel_shuffle", height, factor**2), ("pixel_unshuffle", height * factor, 1)):
        target = f"aten.{name}.default"
        need = specified(target, torch.zeros(1, channels, tall, factor * 4, dtype=D), factor).row_needs()[0]
        rows = depended_on(partial(_shuffled, name, factor), tall, channels, columns=factor * 4)
        assert need is not None
        assert is_exact(need, rows)


@settings(max_examples=40, deadline=None)
@given(heights, st.integers(1, 30), st.sampled_from([None, 0.3, 0.5, 1.1, 1.5, 2.0]))
def test_nearest_resizes_depend_on_the_rows_declared(height: int, made: int, scale: float | None) -> None:
    assume(scale is None or height * scale >= 1)
    for target in ("aten.upsample_nearest2d.vec", "aten._upsample_nearest_exact2d.vec"):
        need, rows = checked(target, height, [made, 4] if scale is None else None, scale and [scale, 1.0])
        assert is_exact(need, rows)


RESIZES = ("upsample_bilinear2d", "upsample_bicubic2d", "_upsample_bilinear2d_aa", "_upsample_bicubic2d_aa")


@pytest.mark.parametrize("name", RESIZES)
@settings(max_examples=40, deadline=None)
@given(height=heights, made=st.integers(1, 30), align=st.booleans(), scale=st.sampled_from([None, 0.3, 1.1, 1.5, 2.0]))
def test_smooth_resizes_depend_on_the_rows_declared(
    name: str, height: int, made: int, align: bool, scale: float | None
) -> None:
    assume(scale is None or height * scale >= 1)
    need, rows = checked(
        f"aten.{name}.vec", height, [made, 4] if scale is None else None, align, scale and [scale, 1.0]
    )
    # No wider than the kernel and a row on each side. Of a bicubic kernel's four taps all but one may weigh nothing.
    support = max(height / made if scale is None else 1 / scale, 1.0) if name.endswith("_aa") else 1.0
    slack = 1 + (ceil(2 * support) if "bicubic" in name else 1)
    # Where p output rows are q input rows exactly, strips begin at a multiple of q.
    step = 1 if align else Fraction(height / made if scale is None else 1 / scale).numerator
    step = step if step <= height else 1
    for row, taps in enumerate(rows):
        assert need.first(row) >= (min(taps) - slack) // step * step
        assert need.last(row + 1) <= max(taps) + 1 + slack


@given(st.integers(1, 3), heights, st.data())
def test_rows_behind_a_merged_dimension_repeat(outer: int, count: int, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, count))
    stop = data.draw(st.integers(start, count))
    value = torch.arange(2 * outer * count * 3).view(2, outer * count, 3)
    wanted = [repeat * count + row for repeat in range(outer) for row in range(start, stop)]
    assert torch.equal(cut(value, Axis(1, count, outer), start, stop), value[:, wanted])
