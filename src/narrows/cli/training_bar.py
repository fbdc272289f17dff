"""How a training shows how far it is: a bar on a terminal, lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from narrows.cli.speaking import say

if TYPE_CHECKING:
    from narrows.training.loop import Step

__all__ = ["training_bar"]
