"""A report as one self-contained HTML page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from narrows.costing.report import CostReport

__all__ = ["as_html"]


def as_html(reports: Sequence[CostReport], machine: Mapping[str, float] | None) -> str:
    raise NotImplementedError
