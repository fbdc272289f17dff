"""Restoring images line by line: the tasks, the images to train on, and a user's own files."""

from __future__ import annotations

__all__: list[str] = []
