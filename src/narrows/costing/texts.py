"""A report as JSON and as CSV."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import asdict
from typing import Any

from narrows.costing.report import CostReport

__all__ = ["as_csv", "as_json"]

_COLUMNS = (
    *("index", "name", "kind", "target", "module", "source", "inputs", "outputs", "dtype", "macs", "parameters"),
    *("bytes_read", "bytes_written", "weight_bytes", "memory_access", "arithmetic_intensity", "elementwise"),
    *("launched", "in_place", "peak_bytes", "seconds"),
)


def as_json(report: CostReport) -> str:
    found: dict[str, Any] = asdict(report)
    for operator, written in zip(report.operators, found["operators"], strict=True):
        written["arithmetic_intensity"] = operator.arithmetic_intensity
    found["unknown"] = [operator.place for operator in report.unknown]
    return json.dumps(found, indent=1)


def as_csv(report: CostReport) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for operator in report.operators:
        writer.writerow([_cell(getattr(operator, column)) for column in _COLUMNS])
    return text.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, tuple):
        return " ".join("x".join(map(str, shape)) for shape in value)
    return "" if value is None else int(value) if isinstance(value, bool) else value
