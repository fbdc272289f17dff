"""Row arithmetic: which rows of its input an operator needs to make rows of its output.

Plain integers; no tensors. Rows are numbered from 0 at the top, and spans are half-open: [a, b).

A *row need* answers two questions. `first(a)`: above which input row is nothing needed any more, once the output rows
before `a` have been made. `last(b)`: how many input rows must have arrived before the output rows before `b` can be
made. Both never fall as their argument grows, which is what lets a line buffer forget and a schedule advance; the strip
that makes output rows [a, b) reads input rows [first(a), last(b)).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field

__all__ = [
    "Axis",
    "Blocks",
    "RowNeed",
    "Same",
    "Table",
    "Transposed",
    "Whole",
    "Window",
    "extend_last",
    "missing_rows",
]


@dataclass(frozen=True)
class Axis:
    """Where the rows (or columns) of a tensor lie: `count` of them in dimension `dim`.

    Dimension `dim` has `outer * count` entries. `outer` is more than 1 where a batch or channel dimension was merged in
    front of the rows, as in windows of (batch x window, token, channel); rows then repeat `outer` times.
    """

    dim: int
    count: int
    outer: int = 1


class RowNeed(ABC):
    """The input rows that output rows of an operator need. `height` is the number of input rows."""

    height: int

    @abstractmethod
    def first(self, start: int) -> int:
        """The smallest input row that any output row from `start` on needs; never falls."""

    @abstractmethod
    def last(self, stop: int) -> int:
        """One past the largest input row that any output row before `stop` needs; never falls."""

    def _clip(self, row: int) -> int:
        # Called for every row of every operator: comparisons are twice as fast as min and max.
        return 0 if row < 0 else row if row < self.height else self.height


@dataclass(frozen=True)
class Same(RowNeed):
    """Row r needs row r."""

    height: int

    def first(self, start: int) -> int:
        return self._clip(start)

    def last(self, stop: int) -> int:
        return self._clip(stop)


@dataclass(frozen=True)
class Window(RowNeed):
    """Row r needs rows ``r * stride - before + dilation * j`` for j in 0..kernel-1, those that exist.

    Convolution and pooling with `before` rows of padding above; a crop of n rows is ``before=-n``, padding by n rows is
    ``before=n``, a step of n is ``stride=n``.
    """

    height: int
    kernel: int = 1
    stride: int = 1
    dilation: int = 1
    before: int = 0

    def first(self, start: int) -> int:
        return self._clip(start * self.stride - self.before)

    def last(self, stop: int) -> int:
        if stop <= 0:
            return 0
        return self._clip((stop - 1) * self.stride - self.before + self.dilation * (self.kernel - 1) + 1)


@dataclass(frozen=True)
class Transposed(RowNeed):
    """Row r needs the rows i with ``r = i * stride - padding + dilation * j`` for some j in 0..kernel-1."""

    height: int
    kernel: int
    stride: int = 1
    dilation: int = 1
    padding: int = 0

    def first(self, start: int) -> int:
        return self._clip(-((self.dilation * (self.kernel - 1) - start - self.padding) // self.stride))

    def last(self, stop: int) -> int:
        if stop <= 0:
            return 0
        return self._clip((stop - 1 + self.padding) // self.stride + 1)


@dataclass(frozen=True)
class Blocks(RowNeed):
    """Row r covers rows ``r * numerator / denominator`` to ``(r + 1) * numerator / denominator``.

    A reshape that gathers n rows into one is n / 1; one that splits each row in n is 1 / n.
    """

    height: int
    numerator: int = 1
    denominator: int = 1

    def first(self, start: int) -> int:
        return self._clip(start * self.numerator // self.denominator)

    def last(self, stop: int) -> int:
        return self._clip(-(-stop * self.numerator // self.denominator))


@dataclass(frozen=True)
class Whole(RowNeed):
    """Every row is needed before the first can be made: a barrier."""

    height: int

    def first(self, start: int) -> int:
        return 0

    def last(self, stop: int) -> int:
        return self.height if stop > 0 else 0


@dataclass(frozen=True)
class Table(RowNeed):
    """Row r needs rows ``lowest[r]`` to ``highest[r]`` (inclusive), tabulated."""

    height: int
    lowest: Sequence[int] = field(repr=False)
    highest: Sequence[int] = field(repr=False)
    _first: tuple[int, ...] = field(init=False, repr=False, compare=False)
    _last: tuple[int, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        first = [self.height]
        for row in reversed(self.lowest):
            first.append(min(first[-1], int(row)))
        last = [0]
        for row in self.highest:
            last.append(max(last[-1], int(row) + 1))
        object.__setattr__(self, "_first", tuple(reversed(first)))
        object.__setattr__(self, "_last", tuple(last))

    def first(self, start: int) -> int:
        return self._clip(self._first[min(max(start, 0), len(self._first) - 1)])

    def last(self, stop: int) -> int:
        return self._clip(self._last[min(max(stop, 0), len(self._last) - 1)])


def extend_last(need: RowNeed, stop: int, rows: int) -> int:
    """`need.last(stop)`, continued in a straight line for `stop` below 1.

    A schedule counts down from before the first row, so that the layers of a deep network fill one strip at a time;
    `rows` is the number of output rows, which gives the slope.
    """
    if stop >= 1:
        return need.last(stop)
    return need.last(1) + (stop - 1) * need.height // max(rows, 1)


def missing_rows(need: Window, start: int, stop: int) -> tuple[int, int]:
    """Rows of padding above and below the image that the windows of output rows [start, stop) cover."""
    top = start * need.stride - need.before
    total = (stop - 1 - start) * need.stride + need.dilation * (need.kernel - 1) + 1
    return min(max(-top, 0), total), min(max(top + total - need.height, 0), total)
