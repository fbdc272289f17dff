"""Design and run convolutional networks for tight places."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from narrows.layers.conversion import fir_to_iir
    from narrows.streaming.plan import Plan
    from narrows.streaming.stream import plan, stream, stream_rows

__version__ = "0.1.0"
__all__ = ["Plan", "fir_to_iir", "plan", "stream", "stream_rows"]

_HOMES = {
    "Plan": "narrows.streaming.plan",
    "fir_to_iir": "narrows.layers.conversion",
    "plan": "narrows.streaming.stream",
    "stream": "narrows.streaming.stream",
    "stream_rows": "narrows.streaming.stream",
}


def __getattr__(name: str) -> Any:
    """Import torch only when something that needs it is asked for: `narrows --help` must be quick."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'narrows' has no attribute '{name}'")
