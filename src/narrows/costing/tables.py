"""A report, or several side by side, as tables of text."""

from __future__ import annotations

import io
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from narrows.costing.budget import amount
from narrows.costing.report import CostReport, Peak
from narrows.units import format_bytes, format_count

__all__ = ["TOTALS", "as_text", "side_by_side", "total_text"]

TOTALS = {
    "macs": "multiply-accumulates",
    "parameters": "parameters",
    "weight_bytes": "weights and buffers",
    "bytes_read": "read, weights included",
    "bytes_written": "written",
    "memory_access_cost": "memory access cost, elements",
    "arithmetic_intensity": "multiply-accumulates per byte",
    "peak_bytes": "peak, freed at last use",
    "eager_peak_bytes": "peak as Python holds it",
    "eager_waiting_bytes": "of these not needed any more",
    "streamed_peak_bytes": "peak of the process, streamed",
    "line_buffer_bytes": "line buffers",
    "skip_line_bytes": "of these waiting in skips",
    "delay_rows": "delay",
    "launched_operators": "operators launched",
    "longest_chain": "longest chain of them",
    "parallel_branches": "side by side at most",
    "elementwise_share": "element-wise part of bytes moved",
    "seconds": "predicted time",
}


def total_text(report: CostReport, name: str) -> str:
    value = report.totals[name]
    if value is None:
        return "-"
    if name == "macs" and report.unknown:
        return f"{format_count(value)} and {len(report.unknown)} unknown"
    if name == "elementwise_share":
        return f"{100 * value:.0f} %"
    if name == "arithmetic_intensity":
        return f"{value:.3g}"
    if name.startswith("bytes_"):
        return format_bytes(value)
    return amount(name, value)


def as_text(report: CostReport, width: int, depth: int | None, operators: bool) -> str:
    shown = [_modules(report, depth)] + ([_operators(report)] if operators else []) + [_totals([report])]
    return _printed(shown, width) + _remarks(report)


def side_by_side(reports: Sequence[CostReport], width: int = 120) -> str:
    """The totals of several networks in columns."""
    return _printed([_totals(reports)], width) + "".join(_remarks(report, name=True) for report in reports)


def _printed(tables: Sequence[Table], width: int) -> str:
    text = io.StringIO()
    console = Console(file=text, width=width, force_terminal=False, color_system=None, legacy_windows=False)
    for table in tables:
        console.print(table)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines()) + "\n"


def _modules(report: CostReport, depth: int | None) -> Table:
    size = ", ".join("x".join(map(str, shape)) for shape in report.inputs)
    table = Table(title=f"{report.name}, {size} {report.dtype}", title_justify="left", box=None, pad_edge=False)
    for heading in ("module", "kind"):
        table.add_column(heading, overflow="fold")
    for heading in ("MACs", "parameters", "read", "written", "launched"):
        table.add_column(heading, justify="right", no_wrap=True)
    for module in report.modules:
        if depth is not None and module.depth > depth:
            continue
        macs = format_count(module.macs) + (f" + {len(module.unknown)} unknown" if module.unknown else "")
        table.add_row(
            "  " * module.depth + (module.path.rpartition(".")[2] or report.name),
            module.kind if module.path else "",
            macs,
            format_count(module.parameters),
            format_bytes(module.bytes_read),
            format_bytes(module.bytes_written),
            str(module.launched),
        )
    return table


def _operators(report: CostReport) -> Table:
    table = Table(title="operators", title_justify="left", box=None, pad_edge=False)
    for heading in ("operator", "module", "line"):
        table.add_column(heading, overflow="fold")
    for heading in ("output", "MACs", "read", "written", "MACs/B", "held"):
        table.add_column(heading, justify="right", no_wrap=True)
    for op in report.operators:
        if not op.launched:
            continue
        intensity = op.arithmetic_intensity
        table.add_row(
            op.kind + ("_" if op.in_place else ""),
            op.module,
            op.source or "",
            "x".join(map(str, op.outputs[0])) if op.outputs else "",
            "unknown" if op.macs is None else format_count(op.macs),
            format_bytes(op.bytes_read),
            format_bytes(op.bytes_written),
            "" if intensity is None else f"{intensity:.3g}",
            format_bytes(op.peak_bytes),
        )
    return table


def _totals(reports: Sequence[CostReport]) -> Table:
    table = Table(box=None, pad_edge=False, show_header=len(reports) > 1)
    table.add_column("total", no_wrap=True)
    for report in reports:
        table.add_column(report.name, justify="right", overflow="fold")
    for name, words in TOTALS.items():
        if any(report.totals[name] is not None for report in reports):
            bits = {report.lines.bits for report in reports if report.lines}
            words += f" at {bits.pop()} bits" if name == "line_buffer_bytes" and len(bits) == 1 else ""
            table.add_row(words, *(total_text(report, name) for report in reports))
    for words, text in (("receptive field", _field), ("effective receptive field", _effective)):
        if any(text(report) for report in reports):
            table.add_row(words, *(text(report) or "-" for report in reports))
    return table


def _field(report: CostReport) -> str:
    found = report.field
    if found is None:
        return ""
    if found.whole and found.whole_columns in (None, True):
        return "the whole image"
    rows = "all rows" if found.whole else f"{found.rows} rows, {found.below} of them below"
    if found.columns is None:
        return rows
    return f"{rows}; {'all columns' if found.whole_columns else f'{found.columns} columns'}"


def _effective(report: CostReport) -> str:
    found = report.field
    if found is None or found.effective_rows is None or found.effective_columns is None:
        return ""
    return f"{found.effective_rows:.1f} x {found.effective_columns:.1f}"


def _remarks(report: CostReport, name: bool = False) -> str:
    lines = [f"freed at last use, the peak is {_moment(report.liveness)}"]
    if report.eager is not None:
        lines.append(f"as Python holds it, the peak is {_moment(report.eager)}")
        lines += _gap(report.liveness, report.eager)
    for growth in report.growth:
        values = ", ".join(amount("_bytes" if "bytes" in growth.name else growth.name, v) for v in growth.values)
        power = "" if growth.exponent is None else f": as the side to the power {growth.exponent:.2f}"
        lines.append(f"{growth.name} at 1, 2, 4 times the side: {values}{power}")
    lines += report.notes
    start = f"{report.name}: " if name else ""
    return "".join(f"{start}{line}\n" for line in lines)


def _gap(liveness: Peak, eager: Peak) -> list[str]:
    """What the peak as Python holds it has beyond the other, in lines that add up."""
    more = eager.bytes - liveness.bytes
    lines = [f"  {format_bytes(abs(more))} {'more' if more >= 0 else 'less'}:"] if more else []
    for part in (tensor for tensor in eager.tensors if tensor.scratch):
        lines.append(
            f"    {format_bytes(part.bytes)} that the kernel of {part.made_by} takes for itself: {part.scratch}"
        )
    waiting = [tensor for tensor in eager.tensors if tensor.waiting]
    for tensor in waiting[:3]:
        place = " ".join(filter(None, (f"'{tensor.module}'" if tensor.module else "", tensor.source)))
        lines.append(
            f"    {format_bytes(tensor.bytes)} still held from {tensor.made_by} {place}".rstrip()
            + f", last used by {tensor.used_last}"
        )
    if len(waiting) > 3:
        lines.append(f"    {format_bytes(sum(t.bytes for t in waiting[3:]))} still held from {len(waiting) - 3} others")
    rest = more - eager.scratch_bytes - eager.waiting_bytes
    if rest:
        amount = f"{format_bytes(abs(rest))} {'more' if rest > 0 else 'less'}"
        lines.append(f"    {amount} that is still needed, for the two peaks are at different moments")
    return lines


def _moment(peak: Peak) -> str:
    where = " ".join(filter(None, (f"'{peak.module}'" if peak.module else "", peak.source)))
    return f"{format_bytes(peak.bytes)}, while {peak.at} {where} runs".replace("  ", " ")
