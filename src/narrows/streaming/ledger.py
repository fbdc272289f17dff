"""The named buffers of a run, in bytes."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Entry", "Ledger"]


@dataclass(frozen=True)
class Entry:
    """One named buffer: the most bytes it held, and why it is held.

    `kind` is "line buffer" (kept between strips), "strip" (alive within one step), "scratch", "weights" (packed copies
    and tables computed from them), "state" or "queue" (between the threads that read, compute and write).
    """

    name: str
    kind: str
    bytes: int
    why: str


class Ledger:
    """What is held now, the most that each buffer held, and the most that all held together."""

    def __init__(self) -> None:
        self._held: dict[str, int] = {}
        self._entries: dict[str, Entry] = {}
        self.now = 0
        self.peak = 0
        self.at_peak: dict[str, int] = {}

    def hold(self, name: str, kind: str, count: int, why: str) -> None:
        """Buffer `name` now holds `count` bytes."""
        self.now += count - self._held.get(name, 0)
        if count:
            self._held[name] = count
        else:
            self._held.pop(name, None)
        known = self._entries.get(name)
        if known is None or count > known.bytes:
            self._entries[name] = Entry(name, kind, count, why)
        if self.now > self.peak:
            self.peak = self.now
            self.at_peak = dict(self._held)

    def release(self, name: str) -> None:
        """Buffer `name` holds nothing any more."""
        self.now -= self._held.pop(name, 0)

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Every buffer that ever held a byte, the largest first."""
        return tuple(sorted((e for e in self._entries.values() if e.bytes), key=lambda e: (-e.bytes, e.name)))
