"""Channel counts scaled and rounded as the mobile networks do it."""

from __future__ import annotations

__all__ = ["divisible"]


def divisible(channels: float, by: int = 8) -> int:
    """The multiple of `by` nearest to `channels`, but at least `by` and at least nine tenths of `channels`.

    M. Sandler and others round MobileNetV2's widths so, and A. Howard and others MobileNetV3's.
    """
    rounded = max(by, int(channels + by / 2) // by * by)
    return rounded + by if rounded < 0.9 * channels else rounded
