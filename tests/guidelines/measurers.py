"""Measurers for tests: they run what they are given once, so that surgery is real, and make the figures up."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any


class Told:
    """The changed network takes 1 / `gain` of the time, `noise` being what two copies of one network differ by.

    A further pass takes `again` of a run.
    """

    def __init__(self, gain: float = 1.0, noise: float = 0.0, bytes_gain: float = 1.0, again: float = 0.5) -> None:
        self.gain = gain
        self.noise = noise
        self.bytes_gain = bytes_gain
        self.again = again
        self.peaks = 0
        self.compared = 0

    def once(self, run: Callable[[], Any]) -> float:
        run()
        return 1e-6

    def seconds(self, runs: Mapping[str, Callable[[], Any]], limit: float) -> dict[str, list[float]]:
        for run in runs.values():
            run()
        self.compared += 1
        if "again" in runs:
            return {"whole": [1.0] * 9, "again": [self.again] * 9}
        wobble = [1 + self.noise * (-1) ** place for place in range(9)]
        return {
            "network": [1.0] * 9,
            "twin": wobble,
            "changed": [1 / self.gain] * 9,
        }

    def peak(self, run: Callable[[], Any]) -> int:
        run()
        self.peaks += 1
        return int(1e6 * (self.bytes_gain if self.peaks % 2 else 1))
