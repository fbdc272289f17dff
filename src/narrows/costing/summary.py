"""A machine's profile in a few figures, for a person to look at."""

from __future__ import annotations

from typing import Any

import numpy as np

from narrows.costing.kinds import describe
from narrows.costing.machine import Profile
from narrows.costing.prediction import Predictor
from narrows.units import format_bytes

__all__ = ["summary"]

_RATED = {
    "dense": "conv contiguous",
    "dense, channels-last": "conv channels_last",
    "1x1": "conv 1x1 contiguous",
    "depthwise": "conv depthwise contiguous",
    "depthwise, channels-last": "conv depthwise channels_last",
    "grouped": "conv grouped contiguous",
    "transposed": "conv transposed contiguous",
    "linear": "linear",
    "attention": "attention",
}


def summary(profile: Profile) -> dict[str, Any]:
    """The figures: rates are those that nine tenths of the measured operators of a kind stay below."""
    rates: dict[str, list[float]] = {}
    for point in profile.points:
        described = describe(point.call, profile.threads)
        if described is not None:
            rates.setdefault(described.kind, []).append(described.work[0] / point.seconds / 1e9)
    predictor = Predictor(profile)
    tables = [predictor.table(kind) for kind in predictor.kinds]
    errors = [np.abs(np.exp(-table.errors) - 1) for table in tables if table is not None]
    fresh = profile.fresh_seconds_per_byte
    return {
        "machine": dict(profile.machine),
        "threads": profile.threads,
        "seconds": profile.seconds,
        "operators": len(profile.points),
        "gmacs_per_second": {
            name: round(float(np.quantile(rates[kind], 0.9)), 2) for name, kind in _RATED.items() if kind in rates
        },
        "gigabytes_per_second": {
            format_bytes(size): round(rate / 1e9, 2)
            for size, rate in profile.bandwidth
            if round(np.log2(size)) % 3 == 0
        },
        "operator_microseconds": round(1e6 * profile.operator_seconds, 2),
        "view_microseconds": round(1e6 * profile.view_seconds, 2),
        "fresh_page_milliseconds_per_megabyte": None if fresh is None else round(1e9 * fresh, 3),
        "table_error_percent": round(100 * float(np.median(np.concatenate(errors))), 1) if errors else None,
        "load": dict(profile.load),
    }
