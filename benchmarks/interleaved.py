"""Pieces of work timed in turns: each round does each once, in an order drawn anew, so that none has better moments."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from statistics import median, quantiles
from typing import Any

__all__ = ["interleaved", "ratio", "summary"]


def interleaved(works: Mapping[str, Callable[[], Any]], rounds: int, seed: int = 0) -> dict[str, list[float]]:
    """Seconds of each piece of work in each round, after two rounds that don't count."""
    draw = random.Random(seed)
    times: dict[str, list[float]] = {name: [] for name in works}
    for count in range(rounds + 2):
        order = list(works)
        draw.shuffle(order)
        for name in order:
            begun = time.perf_counter()
            works[name]()
            if count >= 2:
                times[name].append(time.perf_counter() - begun)
    return times


def summary(times: list[float]) -> dict[str, float]:
    """The median in milliseconds, and the width of the middle half of the rounds relative to it."""
    low, _, high = quantiles(times, n=4)
    return {"ms": round(1e3 * median(times), 3), "spread": round((high - low) / median(times), 3)}


def ratio(times: list[float], base: list[float]) -> dict[str, float]:
    """`times` over `base` round by round: the median, and the quarters that enclose the middle half of the rounds."""
    low, middle, high = quantiles([a / b for a, b in zip(times, base, strict=True)], n=4)
    return {"ratio": round(middle, 3), "ratio_low": round(low, 3), "ratio_high": round(high, 3)}
