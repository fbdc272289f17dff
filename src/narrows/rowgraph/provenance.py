"""Where in the user's network a call came from."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from traceback import StackSummary
from unittest.mock import patch

import torch
from torch.fx.proxy import TracerBase

__all__ = ["lines_of_helpers", "module_path", "source_line"]

_TORCH = os.path.dirname(os.path.abspath(torch.__file__)) + os.sep
_FRAME = re.compile(r'File "([^"]+)", line (\d+)')


def module_path(fx: torch.fx.Node) -> str:
    """Path of the innermost module that made the call, e.g. ``"encoder.0.conv"``; empty for the network itself."""
    stack = fx.meta.get("nn_module_stack") or {}
    if not stack:
        return ""
    path = list(stack.values())[-1][0]
    return re.sub(r"^L\['self'\]\.?", "", path).removeprefix("L__self__").lstrip(".")


def source_line(fx: torch.fx.Node) -> str | None:
    """The innermost line outside torch, as ``"network.py:12"``; None where the file recorded none."""
    frames = _FRAME.findall(fx.meta.get("stack_trace") or "")
    for path, line in reversed(frames):
        if not os.path.abspath(path).startswith(_TORCH):
            return f"{os.path.basename(path)}:{line}"
    return None


@contextmanager
def lines_of_helpers() -> Iterator[None]:
    """While a network is exported, record the lines of functions and methods that its ``forward`` calls, too.

    PyTorch itself keeps the lines of methods called ``forward`` alone, so that whatever a helper does would be said to
    stand where the helper is called. Where this version of PyTorch filters lines in another way, nothing is changed.
    """

    def outside_torch(_: TracerBase, summary: StackSummary) -> StackSummary:
        names = [frame.name for frame in summary]
        inside = summary[names.index("forward") :] if "forward" in names else []
        return StackSummary.from_list([frame for frame in inside if not frame.filename.startswith(_TORCH)])

    if not hasattr(TracerBase, "_filter_traceback_frames"):
        yield
        return
    with patch.object(TracerBase, "_filter_traceback_frames", outside_torch):
        yield
