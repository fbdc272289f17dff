"""When a difference in time is one: the interval of a ratio, the machine's noise, and the rule that judges.

Three contestants take turns in shuffled order, round after round: the user's network, a second copy of it, and the
changed one. In each round the mean of the two copies over the changed network is one ratio; one copy over the other,
which is nothing but noise, is another. Plain numbers; no torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb
from statistics import median

__all__ = ["LEAST_EFFECT", "RESTLESS", "Ratio", "compared", "interval_of_median"]

# A difference below this is of no use to anyone, however well it is known.
LEAST_EFFECT = 0.02
# Two copies of one network that differ by more than this: the machine is busy with something else.
RESTLESS = 0.15


@dataclass(frozen=True)
class Ratio:
    """How much faster a change is: `middle`, and the interval [`low`, `high`] that holds the median with 95 %.

    `noise`: how far two copies of the same network seemed to differ, at least `LEAST_EFFECT`.
    """

    middle: float
    low: float
    high: float
    noise: float = LEAST_EFFECT

    @property
    def faster(self) -> bool:
        """The whole interval lies above the noise."""
        return self.low > 1 + self.noise

    @property
    def slower(self) -> bool:
        """The whole interval lies below the noise."""
        return self.high < 1 / (1 + self.noise)

    @property
    def restless(self) -> bool:
        return self.noise > RESTLESS


def interval_of_median(values: Sequence[float]) -> tuple[float, float]:
    """The narrowest pair of order statistics that holds the median with at least 95 %, whatever the distribution.

    With n values the k-th smallest and the k-th largest hold it with 1 - 2 sum over i < k of C(n, i) / 2^n. Fewer than
    6 values never reach 95 %: then it is all of them.
    """
    ordered, n = sorted(values), len(values)
    outside, k = 0.0, 0
    while k < n // 2 and outside + comb(n, k) / 2**n <= 0.025:
        outside += comb(n, k) / 2**n
        k += 1
    k = max(k, 1)
    return ordered[k - 1], ordered[n - k]


def compared(base: Sequence[float], twin: Sequence[float], other: Sequence[float]) -> Ratio:
    """The ratio of two networks' times from rounds of three: seconds of each, in the order of the rounds."""
    ratios = [(a + b) / 2 / c for a, b, c in zip(base, twin, other, strict=True)]
    low, high = interval_of_median(ratios)
    same_low, same_high = interval_of_median([a / b for a, b in zip(base, twin, strict=True)])
    noise = max(same_high, 1 / same_low) - 1
    return Ratio(median(ratios), low, high, max(noise, LEAST_EFFECT))
