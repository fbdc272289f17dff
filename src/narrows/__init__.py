"""Design and run convolutional networks for tight places."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from narrows.costing.cost import cost
    from narrows.costing.report import CostReport
    from narrows.guidelines.checking import check
    from narrows.guidelines.core.finding import CheckReport
    from narrows.layers.conversion import fir_to_iir
    from narrows.networks.with_attention import with_attention
    from narrows.streaming.live import LiveStream
    from narrows.streaming.plan import Plan
    from narrows.streaming.stream import plan, stream, stream_rows

__version__ = "0.1.0"
__all__ = [
    "CheckReport",
    "CostReport",
    "LiveStream",
    "Plan",
    "check",
    "cost",
    "fir_to_iir",
    "plan",
    "stream",
    "stream_rows",
    "with_attention",
]

_HOMES = {
    "CheckReport": "narrows.guidelines.core.finding",
    "CostReport": "narrows.costing.report",
    "LiveStream": "narrows.streaming.live",
    "Plan": "narrows.streaming.plan",
    "check": "narrows.guidelines.checking",
    "cost": "narrows.costing.cost",
    "fir_to_iir": "narrows.layers.conversion",
    "plan": "narrows.streaming.stream",
    "stream": "narrows.streaming.stream",
    "stream_rows": "narrows.streaming.stream",
    "with_attention": "narrows.networks.with_attention",
}


def __getattr__(name: str) -> Any:
    """Import torch only when something that needs it is asked for: `narrows --help` must be quick."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'narrows' has no attribute '{name}'")
