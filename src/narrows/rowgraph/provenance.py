"""Where in the user's network a call came from."""

from __future__ import annotations

import os
import re

import torch

__all__ = ["module_path", "source_line"]

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
