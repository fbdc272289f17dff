"""Limits that a network's costs must keep, as a person writes them: ``macs=2G,memory=500MB,delay=8,latency=60s``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from narrows.costing.report import CostReport
from narrows.errors import InputError
from narrows.units import format_bytes, format_count, format_seconds, parse_bytes, parse_count, parse_seconds

__all__ = ["Limit", "amount", "broken", "parse_budget"]

_TOTALS = {
    "macs": "macs",
    "parameters": "parameters",
    "memory": "peak_bytes",
    "eager": "eager_peak_bytes",
    "streamed": "streamed_peak_bytes",
    "lines": "line_buffer_bytes",
    "delay": "delay_rows",
    "latency": "seconds",
}


@dataclass(frozen=True)
class Limit:
    """`name` as it was written, the total that it limits, and the most that this may be."""

    name: str
    total: str
    most: float
    text: str


def parse_budget(text: str) -> tuple[Limit, ...]:
    """The limits that `text` names.

    Raises:
        InputError: a name or a unit is unknown, or something is no ``name=value``.
    """
    limits = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or not value:
            raise InputError(f"--budget {part}: write it as name=value, as macs=2G")
        if name not in _TOTALS:
            raise InputError(f"--budget {part}: there is no '{name}'; there are {', '.join(_TOTALS)}")
        limits.append(Limit(name, _TOTALS[name], _amount(_TOTALS[name], name, value), value))
    if not limits:
        raise InputError("--budget names nothing; write it as macs=2G,memory=500MB,delay=8,latency=60s")
    return tuple(limits)


def _amount(total: str, name: str, value: str) -> float:
    if total.endswith("_bytes"):
        read: Callable[[str], float] = parse_bytes
    elif total == "seconds":
        read = parse_seconds
    else:
        read = parse_count
    try:
        return read(value)
    except InputError as error:
        raise InputError(f"--budget {name}={value}: {error}") from None


def broken(report: CostReport, limits: tuple[Limit, ...]) -> list[str]:
    """One line for each limit that is exceeded, or that can't be judged to be kept.

    Raises:
        InputError: a limit needs what the report doesn't have: a machine's times, a budget for streaming.
    """
    lines = []
    for limit in limits:
        value = report.totals[limit.total]
        if value is None:
            if limit.total == "seconds":
                raise InputError("--budget latency needs the times of a machine: give --machine this, or profile.json")
            if limit.total == "streamed_peak_bytes" and not any("streamed peak" in note for note in report.notes):
                raise InputError("--budget streamed needs a budget to stream in: give --memory")
            reasons = [note for note in report.notes if note.startswith(limit.total.split("_")[0][:4])]
            lines.append(f"{report.name}: {limit.name} is not known{': ' + reasons[0] if reasons else ''}")
        elif value > limit.most:
            lines.append(f"{report.name}: {limit.name} {amount(limit.total, value)} exceeds {limit.text}")
        elif limit.total == "macs" and report.unknown:
            lines.append(
                f"{report.name}: macs are at least {amount('macs', value)}: {report.unknown[0].place} is unknown"
            )
    return lines


def amount(total: str, value: float) -> str:
    """`value` of a total as a person reads it."""
    if total.endswith("_bytes"):
        return format_bytes(value)
    if total == "seconds":
        return format_seconds(value)
    return f"{value} rows" if total == "delay_rows" else format_count(value)
