"""The --machine option of commands that predict times."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from narrows.costing.machine import Profile

__all__ = ["machine_option", "read_machine"]

machine_option = click.option(
    "--machine",
    metavar="FILE.json",
    help="Predict times on the machine of this profile (narrows calibrate --export); 'this' for the one kept of here.",
)


def read_machine(text: str | None) -> Profile | None:
    """The profile that --machine names: a file, or ``"this"`` for the one that `narrows calibrate` keeps.

    Raises:
        InputError: there is none, it is damaged, or of another version.
    """
    if text is None:
        return None
    from narrows.costing.machine import cached_profile, read_profile

    return cached_profile() if text == "this" else read_profile(text)
