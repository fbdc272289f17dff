"""Pieces of work timed in turns: each round does each once, in an order drawn anew, so that none has better moments.

Rounds in which the machine did something else as well are done again, and counted.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from statistics import median, quantiles
from typing import Any

import psutil

__all__ = ["interleaved", "ratio", "summary"]

# Of a processor's time, what others may take in rounds that count.
_OTHERS = 0.08
# The system counts its time in hundredths of a second: shorter rounds are judged together.
_JUDGED = 0.25
# So many times as long as the rounds take it is tried, or some seconds; then the least disturbed are taken.
_TRIED, _SECONDS = 2, 1.5


def interleaved(
    works: Mapping[str, Callable[[], Any]], rounds: int, seed: int = 0
) -> tuple[dict[str, list[float]], int]:
    """Seconds of each piece of work in each round, after two rounds that don't count; and how many were disturbed."""
    draw = random.Random(seed)
    once = [sum(_round(works, draw).values()) for _ in range(2)][-1]
    kept: list[tuple[float, dict[str, float]]] = []  # share that others took, seconds
    end = time.perf_counter() + max(_TRIED * rounds * once, _SECONDS)
    while sum(share <= _OTHERS for share, _ in kept) < rounds and (len(kept) < rounds or time.perf_counter() < end):
        begun, busy, own = time.perf_counter(), _busy(), time.process_time()
        block = []
        while not block or time.perf_counter() - begun < _JUDGED:
            block.append(_round(works, draw))
        elapsed = time.perf_counter() - begun
        share = max(_busy() - busy - (time.process_time() - own), 0.0) / elapsed
        kept += [(share, found) for found in block]
    kept.sort(key=lambda pair: pair[0])
    chosen = kept[: max(rounds, sum(share <= _OTHERS for share, _ in kept))] if rounds else []
    disturbed = sum(share > _OTHERS for share, _ in chosen)
    return {name: [found[name] for _, found in chosen] for name in works}, disturbed


def _round(works: Mapping[str, Callable[[], Any]], draw: random.Random) -> dict[str, float]:
    order = list(works)
    draw.shuffle(order)
    found = {}
    for name in order:
        begun = time.perf_counter()
        works[name]()
        found[name] = time.perf_counter() - begun
    return found


def _busy() -> float:
    """Seconds that all processors together have worked, or were withheld by the host."""
    spent = psutil.cpu_times()
    idle = spent.idle + getattr(spent, "iowait", 0.0) + getattr(spent, "guest", 0.0) + getattr(spent, "guest_nice", 0.0)
    return sum(spent) - idle


def summary(times: list[float]) -> dict[str, float]:
    """The median in milliseconds, and the width of the middle half of the rounds relative to it."""
    low, _, high = quantiles(times, n=4)
    return {"ms": round(1e3 * median(times), 3), "spread": round((high - low) / median(times), 3)}


def ratio(times: list[float], base: list[float]) -> dict[str, float]:
    """`times` over `base` round by round: the median, and the quarters that enclose the middle half of the rounds."""
    low, middle, high = quantiles([a / b for a, b in zip(times, base, strict=True)], n=4)
    return {"ratio": round(middle, 3), "ratio_low": round(low, 3), "ratio_high": round(high, 3)}
