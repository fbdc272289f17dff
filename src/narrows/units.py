"""Bytes, seconds and counts, as people write them."""

from __future__ import annotations

import re

from narrows.errors import InputError

__all__ = ["format_bytes", "format_count", "format_seconds", "parse_bytes", "parse_count", "parse_seconds"]

_FACTORS = {"": 1, "B": 1}
for _power, _letter in enumerate("KMGT", start=1):
    _FACTORS[f"{_letter}B"] = 1000**_power
    _FACTORS[_letter] = 1000**_power
    _FACTORS[f"{_letter}IB"] = 1024**_power


def parse_bytes(text: str | int) -> int:
    """Bytes named by `text`: ``"1GB"`` (10^9), ``"512 MiB"`` (2^20 each), ``"600m"``, or a plain number.

    Raises:
        InputError: `text` is no amount of bytes.
    """
    if isinstance(text, int):
        return text
    match = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([A-Za-z]*)\s*", text)
    if not match or match[2].upper() not in _FACTORS:
        raise InputError(f"'{text}' is not an amount of memory; write it as 600MB, 1GB or 1.5GiB")
    return int(float(match[1]) * _FACTORS[match[2].upper()])


def parse_seconds(text: str | float) -> float:
    """Seconds named by `text`: ``"60s"``, ``"200ms"``, ``"2min"``, ``"1h"``, or a plain number.

    Raises:
        InputError: `text` is no length of time.
    """
    if not isinstance(text, str):
        return float(text)
    match = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([A-Za-zµ]*)\s*", text)
    factors = {"": 1.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "min": 60.0, "h": 3600.0}
    if not match or match[2].lower() not in factors:
        raise InputError(f"'{text}' is not a length of time; write it as 60s, 200ms or 2min")
    return float(match[1]) * factors[match[2].lower()]


def parse_count(text: str) -> int:
    """A count named by `text`: ``"2G"`` (10^9), ``"1.5 M"``, ``"300k"``, or a plain number.

    Raises:
        InputError: `text` is no count.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([KMGT]?)\s*", text.upper())
    if not match:
        raise InputError(f"'{text}' is not a count; write it as 2G, 500M or a plain number")
    return int(float(match[1]) * 1000 ** " KMGT".index(match[2] or " "))


def format_bytes(count: float) -> str:
    """`count` bytes in the decimal unit that reads best: ``format_bytes(30_120_000)`` is ``"30.1 MB"``."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if abs(count) >= factor * 0.9995:
            return f"{count / factor:.{3 if unit == 'GB' else 1}f} {unit}"
    return f"{count:.0f} B"


def format_count(count: float) -> str:
    """`count` with three digits, in the decimal prefix that reads best: ``format_count(2_870_000)`` is ``"2.87 M"``."""
    for letter, factor in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(count) >= factor * 0.9995:
            return f"{count / factor:.3g} {letter}"
    return f"{count:.0f}"


def format_seconds(seconds: float) -> str:
    """`seconds` with three digits, in seconds or milliseconds: ``format_seconds(0.04)`` is ``"40 ms"``."""
    return f"{seconds:.3g} s" if seconds >= 1 else f"{seconds * 1e3:.3g} ms"
