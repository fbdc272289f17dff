"""The --size option of commands that look at a network at one size of its image."""

from __future__ import annotations

import re

import click

from narrows.errors import InputError

__all__ = ["read_size", "size_option"]

size_option = click.option("--size", required=True, metavar="HxW", help="Rows and columns of the image, as 7741x7591.")


def read_size(text: str) -> tuple[int, int]:
    """Rows and columns that --size names.

    Raises:
        InputError: it isn't written as two numbers.
    """
    match = re.fullmatch(r"\s*(\d+)\s*[xX×,]\s*(\d+)\s*", text)
    if not match:
        raise InputError(f"--size {text}: write rows x columns, as 7741x7591")
    return int(match[1]), int(match[2])
