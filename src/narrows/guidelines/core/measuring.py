"""Time and memory of networks on this machine."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from math import ceil
from typing import Any, Protocol

import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

__all__ = ["Measurer", "ThisMachine", "kept_lively"]

Run = Callable[[], Any]
_SHORTEST = 0.02
_ROUNDS = (7, 15)


class Measurer(Protocol):
    """What measures; tests put a deterministic one in its place."""

    def seconds(self, runs: Mapping[str, Run], limit: float) -> dict[str, list[float]]:
        """Seconds of each run in each round; the rounds end when they have taken about `limit` seconds in all."""

    def once(self, run: Run) -> float:
        """Seconds of one run, roughly."""

    def peak(self, run: Run) -> int:
        """Most bytes that PyTorch holds at once for one run, beyond what it held before."""


class ThisMachine:
    """Measures by running: contestants take turns, in an order shuffled for each round.

    A run shorter than 20 ms is repeated until it takes that long. At least 7 rounds, at most 15.
    """

    def __init__(self, seed: int = 0, clock: Callable[[], float] = time.perf_counter):
        self._random = random.Random(seed)
        self._clock = clock

    def once(self, run: Run) -> float:
        run()
        return self._timed(run, 1)

    def seconds(self, runs: Mapping[str, Run], limit: float) -> dict[str, list[float]]:
        longest = max(self.once(run) for run in runs.values())
        repeats = max(1, ceil(_SHORTEST / max(longest, 1e-6)))
        fewest, most = _ROUNDS
        rounds = int(limit / max(longest * repeats * len(runs), 1e-6))
        taken: dict[str, list[float]] = {name: [] for name in runs}
        for _ in range(min(max(rounds, fewest), most)):
            order = list(runs)
            self._random.shuffle(order)
            for name in order:
                taken[name].append(self._timed(runs[name], repeats))
        return taken

    def peak(self, run: Run) -> int:
        run()
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
            run()
        assert recorded.profiler is not None and recorded.profiler.kineto_results is not None
        events = [e for e in recorded.profiler.kineto_results.events() if e.name() == "[memory]"]
        held = most = 0
        for event in sorted(events, key=lambda e: e.start_ns()):
            held += event.nbytes()
            most = max(most, held)
        return most

    def _timed(self, run: Run, repeats: int) -> float:
        begun = self._clock()
        for _ in range(repeats):
            run()
        if torch.cuda.is_available() and torch.cuda.is_initialized():
            torch.cuda.synchronize()
        return (self._clock() - begun) / repeats


def kept_lively(model: nn.Module, run: Callable[[nn.Module], Any]) -> None:
    """Rescale, in place, the weights of layers whose outputs would fade to denormal numbers or grow beyond bounds.

    Time must not depend on untrained weights: numbers below 1e-38 are many times slower to add.
    """

    def rescale(layer: nn.Module, _: Any, made: torch.Tensor) -> torch.Tensor | None:
        size = float(made.detach().abs().max()) if made.numel() else 1.0
        if 1e-6 < size < 1e6 or size == 0.0 or size != size or size == float("inf"):
            return None
        for held in layer.parameters(recurse=False):
            held.data = held.data / size
        return made / size

    layers = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)
    hooks = [part.register_forward_hook(rescale) for part in model.modules() if isinstance(part, layers)]
    try:
        run(model)
    finally:
        for hook in hooks:
            hook.remove()
