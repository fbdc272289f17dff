"""How fast lines come and go: lines per second, delay and jitter, of a run of any length."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Callable, Iterator
from itertools import count
from time import perf_counter, sleep
from typing import Any

__all__ = ["Durations", "Pace", "at_rate"]

_FINE = math.log(1.01)
_PERCENTILES = (50, 90, 99)
# The shortest that is told from 0, in seconds.
_LEAST = 1e-7


class Durations:
    """Percentiles, to one part in a hundred, of as many durations as come, in memory that doesn't grow with them."""

    def __init__(self) -> None:
        self.count = 0
        self.total = 0.0
        self.largest = 0.0
        self._bins: Counter[int] = Counter()

    def add(self, seconds: float) -> None:
        """One more; below 0.1 us it counts as that."""
        seconds = max(seconds, _LEAST)
        self.count += 1
        self.total += seconds
        self.largest = max(self.largest, seconds)
        self._bins[round(math.log(seconds) / _FINE)] += 1

    def percentile(self, percent: float) -> float:
        """The duration that `percent` of them don't exceed; 0 where there are none."""
        wanted, seen = math.ceil(self.count * percent / 100), 0
        for place in sorted(self._bins):
            seen += self._bins[place]
            if seen >= wanted:
                return min(math.exp(place * _FINE), self.largest)
        return 0.0

    def as_ms(self) -> dict[str, float]:
        """Mean, percentiles and largest, in milliseconds."""
        found = {"mean": self.total / max(self.count, 1)}
        found |= {f"p{percent}": self.percentile(percent) for percent in _PERCENTILES}
        return {name: round(seconds * 1e3, 4) for name, seconds in (found | {"largest": self.largest}).items()}


class Pace:
    """Notes when lines come in and go out.

    `came()` is called for each line of the image when it is taken, `gone(row, lines, lies_at)` when `lines` lines of
    the output have been handed on, `frame()` between two images.

    Attributes:
        lines_in, lines_out: so far.
        between: from a line out to the next of its image. Lines that leave together count once, at equal shares: a
            step of one line makes none, or several where the network enlarges the image.
        delay: from the arrival of the line at the place of a line of the output to that line being out.
        work: from the arrival of the last line that one needed to that one being out.
    """

    def __init__(self, clock: Callable[[], float] = perf_counter) -> None:
        self._clock = clock
        self.lines_in = self.lines_out = self.frames = 0
        self.between, self.delay, self.work = Durations(), Durations(), Durations()
        self._arrivals: deque[float] = deque()
        self._first = 0
        self._begun: float | None = None
        self._ended = 0.0
        self._last_out: float | None = None

    def frame(self) -> None:
        """The next image begins."""
        self.frames += 1
        self._arrivals.clear()
        self._first = 0
        self._last_out = None

    def came(self, when: float | None = None) -> None:
        """A line has come, now or at `when`."""
        when = self._clock() if when is None else when
        self._begun = when if self._begun is None else self._begun
        self.lines_in += 1
        self._arrivals.append(when)

    def gone(self, row: int, lines: int, lies_at: Callable[[int], int]) -> None:
        """Lines [row, row + lines) of the output are out; `lies_at` gives the line of the image where one lies."""
        now = self._ended = self._clock()
        self.lines_out += lines
        last = self._first + len(self._arrivals) - 1
        for each in range(row, row + lines):
            self.work.add(now - self._arrivals[-1])
            self.delay.add(now - self._arrivals[min(max(lies_at(each), self._first), last) - self._first])
        if self._last_out is not None:
            for _ in range(lines):
                self.between.add((now - self._last_out) / lines)
        self._last_out = now
        while self._first < min(lies_at(row + lines), last):
            self._arrivals.popleft()
            self._first += 1

    def report(self) -> dict[str, Any]:
        """Lines, seconds, lines per second, and delay and jitter in milliseconds."""
        seconds = self._ended - self._begun if self._begun is not None else 0.0
        return {
            "frames": self.frames,
            "lines_in": self.lines_in,
            "lines_out": self.lines_out,
            "seconds": round(seconds, 4),
            "lines_per_second": round(self.lines_in / seconds, 1) if seconds > 0 else None,
            "delay_ms": self.delay.as_ms(),
            "work_ms": self.work.as_ms(),
            "between_lines_ms": self.between.as_ms(),
        }


def at_rate(
    rate: float, clock: Callable[[], float] = perf_counter, wait: Callable[[float], None] = sleep
) -> Iterator[float]:
    """When lines come where a camera gives `rate` of them in a second: waits for each, and gives its time.

    A camera doesn't wait: where the network is behind, the times go on as if it weren't.
    """
    begun = clock()
    for line in count():
        due = begun + line / rate
        if (early := due - clock()) > 0:
            wait(early)
        yield due
