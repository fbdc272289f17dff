"""What can go wrong, in the user's terms.

Every error that a user can cause is a `NarrowsError`: its message is one line that says what is wrong and what to do.
The command line prints that line and exits with code 2.
"""

from __future__ import annotations

__all__ = [
    "BudgetError",
    "CancelledError",
    "CaptureError",
    "InputError",
    "NarrowsError",
    "NarrowsWarning",
    "NotStreamableError",
    "OutputError",
]


class NarrowsError(Exception):
    """Base of the project's errors: one line in the user's terms."""


class InputError(NarrowsError):
    """An input file, array, option or argument can't be used."""


class OutputError(NarrowsError):
    """An output can't be written: it exists, its folder doesn't, the disk is full."""


class CaptureError(NarrowsError):
    """A network can't be read as a row graph."""


class NotStreamableError(NarrowsError):
    """A network has an operator that can't be run exactly strip by strip."""


class BudgetError(NarrowsError):
    """A memory budget is too small. `smallest` is the smallest number of bytes that works."""

    def __init__(self, message: str, smallest: int):
        super().__init__(message)
        self.smallest = smallest


class CancelledError(NarrowsError):
    """The caller cancelled a run."""


class NarrowsWarning(UserWarning):
    """Something a user should know, though the result stands."""
