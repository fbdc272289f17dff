"""A report as one HTML page that needs nothing from elsewhere: no script, no font, no image, only text and SVG."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from math import ceil, floor, log10

from narrows.costing.report import CostReport
from narrows.costing.tables import TOTALS, as_text, total_text
from narrows.units import format_bytes, format_count

__all__ = ["as_html"]

_WIDTH, _HEIGHT = 860, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 78, 26, 12, 44
_STYLE = """
:root{color-scheme:light dark;--back:#fbfbfa;--card:#fff;--text:#1d2329;--soft:#5d6873;--line:#dde1e5;
--a:#1f6fb2;--b:#c8611a;--c:#5b8a3a;--fill:#1f6fb226}
@media (prefers-color-scheme:dark){:root{--back:#14181c;--card:#1c2126;--text:#e4e8ec;--soft:#9aa6b1;--line:#343b43;
--a:#63b0ee;--b:#f0985a;--c:#97c572;--fill:#63b0ee26}}
*{box-sizing:border-box}
body{margin:0 auto;padding:28px 20px 60px;max-width:960px;background:var(--back);color:var(--text);
font:15px/1.5 system-ui,sans-serif}
h1{font-size:25px;margin:26px 0 2px}h2{font-size:17px;margin:26px 0 6px}p{margin:4px 0 10px;color:var(--soft)}
.cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(200px,1fr));gap:10px;margin:14px 0}
.card{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:9px 12px}
.card b{display:block;font-size:18px;font-weight:600}.card span{color:var(--soft);font-size:13px}
figure{margin:0;background:var(--card);border:1px solid var(--line);border-radius:8px;padding:10px}
svg{display:block;width:100%;height:auto}svg text{fill:var(--soft);font:12px system-ui,sans-serif}
.grid{stroke:var(--line)}.key{display:flex;flex-wrap:wrap;gap:4px 18px;font-size:13px;color:var(--soft);margin-top:6px}
.key i{display:inline-block;width:11px;height:11px;border-radius:2px;margin-right:6px}
table{border-collapse:collapse;width:100%;font-size:13px}th{text-align:right;font-weight:600;color:var(--soft)}
th:first-child,td:first-child{text-align:left}td,th{padding:2px 8px;border-bottom:1px solid var(--line)}
td{text-align:right;white-space:nowrap}td:first-child{white-space:normal;overflow-wrap:anywhere}
.bar{position:relative;min-width:130px}.bar i{position:absolute;left:0;top:3px;bottom:3px;border-radius:2px;
background:var(--fill);border-left:2px solid var(--a)}.bar span{position:relative}
.scroll{overflow-x:auto}pre{white-space:pre-wrap;overflow-wrap:anywhere;font-size:13px;color:var(--soft)}
"""


def as_html(reports: Sequence[CostReport], machine: Mapping[str, float] | None) -> str:
    title = escape(", ".join(report.name for report in reports))
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Costs of {title}</title>'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<style>{_STYLE}</style></head><body>"
        + "".join(_network(report, machine) for report in reports)
        + "</body></html>\n"
    )


def _network(report: CostReport, machine: Mapping[str, float] | None) -> str:
    size = ", ".join(" x ".join(map(str, shape)) for shape in report.inputs)
    cards = "".join(
        f'<div class="card"><b>{escape(total_text(report, name))}</b><span>{escape(words)}</span></div>'
        for name, words in TOTALS.items()
        if report.totals[name] is not None
    )
    remarks = as_text(report, 400, 0, False).splitlines()
    start = next(i for i, line in enumerate(remarks) if line.startswith("freed at last use"))
    return (
        f'<section><h1>{escape(report.name)}</h1><p>{size}, {report.dtype}</p><div class="cards">{cards}</div>'
        f"<h2>Memory over time</h2><p>What is held, without weights, from the first operator to the last.</p>"
        f"{_memory(report)}<h2>Roofline</h2><p>{_roofline_words(machine)}</p>{_roofline(report, machine)}"
        f"<h2>Modules</h2>{_modules(report)}<pre>{escape(chr(10).join(remarks[start:]))}</pre></section>"
    )


def _key(entries: Iterable[tuple[str, str]]) -> str:
    return (
        '<div class="key">'
        + "".join(
            f'<span><i style="background:var(--{colour})"></i>{escape(words)}</span>' for colour, words in entries
        )
        + "</div>"
    )


def _svg(label: str, body: str) -> str:
    return f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{label}">{body}</svg>'


def _x(share: float) -> float:
    return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)


def _y(share: float) -> float:
    return _HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM)


def _text(x: float, y: float, words: str, anchor: str = "middle") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def _rule(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="grid" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _memory(report: CostReport) -> str:
    peaks = [("a", "freed at last use", report.liveness)]
    if report.eager is not None:
        peaks.append(("b", "as Python holds it", report.eager))
    most = max([1, *(peak.bytes for _, _, peak in peaks)])
    step = 10 ** floor(log10(most / 3))
    step = next(step * k for k in (1, 2, 5, 10) if most / (step * k) <= 5)
    top = step * ceil(most / step)
    body = ""
    for k in range(round(top / step) + 1):
        y = _y(k * step / top)
        body += _rule(_LEFT, y, _WIDTH - _RIGHT, y) + _text(_LEFT - 8, y + 4, format_bytes(k * step), "end")
    for colour, words, peak in peaks:
        count = max(len(peak.timeline), 1)
        points = "".join(
            f"{_x(i / count):.1f},{_y(held / top):.1f} {_x((i + 1) / count):.1f},{_y(held / top):.1f} "
            for i, (_, held) in enumerate(peak.timeline)
        )
        if colour == "a":
            body += f'<polygon fill="var(--fill)" points="{_x(0):.1f},{_y(0):.1f} {points}{_x(1):.1f},{_y(0):.1f}"/>'
        body += f'<polyline fill="none" stroke="var(--{colour})" stroke-width="1.8" points="{points}"/>'
        place = max(range(count), key=lambda i: peak.timeline[i][1]) if peak.timeline else 0
        where = f"{words}: {format_bytes(peak.bytes)} while {peak.at} in '{peak.module}' runs"
        body += (
            f'<circle cx="{_x((place + 0.5) / count):.1f}" cy="{_y(peak.bytes / top):.1f}" r="4.5" '
            f'fill="var(--{colour})"><title>{escape(where)}</title></circle>'
        )
    body += _text(_x(0), _HEIGHT - 22, "first operator", "start") + _text(_x(1), _HEIGHT - 22, "last operator", "end")
    key = _key((colour, f"{words}, at most {format_bytes(peak.bytes)}") for colour, words, peak in peaks)
    return f"<figure>{_svg('memory over time', body)}{key}</figure>"


def _roofline_words(machine: Mapping[str, float] | None) -> str:
    if machine is None:
        return "Work against intensity. Without the profile of a machine there is no ridge to draw."
    return "Work against intensity. Left of the line this machine waits for memory, right of it for arithmetic."


def _roofline(report: CostReport, machine: Mapping[str, float] | None) -> str:
    shown = [op for op in report.operators if op.macs and op.arithmetic_intensity]
    rest = sum(op.bytes_moved for op in report.operators if op.launched and not op.macs)
    moved = sum(op.bytes_moved for op in report.operators) or 1
    note = (
        f"<p>Each circle is an operator, its area the bytes that it moves. Operators without products move "
        f"{100 * rest / moved:.0f} % of all bytes and stand outside the picture, at intensity 0.</p>"
    )
    if not shown:
        return note
    intensities = [op.arithmetic_intensity or 1.0 for op in shown]
    ridge = machine["macs_per_second"] / machine["bytes_per_second"] if machine else None
    low, high = _decades([*intensities, *([ridge] if ridge else [])])
    least, most = _decades([float(op.macs or 1) for op in shown])
    body = ""
    for k in range(low, high + 1):
        x = _x((k - low) / (high - low))
        body += _rule(x, _TOP, x, _y(0)) + _text(x, _HEIGHT - 26, f"{10.0**k:g}")
    every = 1 + (most - least) // 6
    for k in range(least, most + 1, every):
        y = _y((k - least) / (most - least))
        body += _rule(_LEFT, y, _WIDTH - _RIGHT, y) + _text(_LEFT - 8, y + 4, format_count(10.0**k), "end")
    body += _text(_x(0.5), _HEIGHT - 6, "multiply-accumulates for each byte moved")
    if ridge:
        x = _x((log10(ridge) - low) / (high - low))
        body += f'<line stroke="var(--b)" stroke-width="2" x1="{x:.1f}" y1="{_TOP}" x2="{x:.1f}" y2="{_y(0):.1f}"/>'
    largest = max(op.bytes_moved for op in shown)
    for op, intensity in sorted(zip(shown, intensities, strict=True), key=lambda pair: -pair[0].bytes_moved):
        x = _x((log10(intensity) - low) / (high - low))
        y = _y((log10(op.macs or 1) - least) / (most - least))
        radius = 3 + 9 * (op.bytes_moved / largest) ** 0.5
        words = f"{op.place}: {format_count(op.macs or 0)}, {intensity:.3g} for each byte"
        body += (
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" fill="var(--fill)" stroke="var(--a)">'
            f"<title>{escape(words)}</title></circle>"
        )
    return f"<figure>{_svg('work against intensity', body)}{note}</figure>"


def _decades(values: Sequence[float]) -> tuple[int, int]:
    low, high = floor(log10(min(values))), ceil(log10(max(values)))
    return low, max(high, low + 1)


def _modules(report: CostReport) -> str:
    shown = [module for module in report.modules if module.depth <= _depth(report)]
    columns = [
        ("MACs", [module.macs for module in shown], format_count),
        ("bytes moved", [module.bytes_read + module.bytes_written for module in shown], format_bytes),
        ("parameters", [module.parameters for module in shown], format_count),
    ]
    rows = ""
    for place, module in enumerate(shown):
        label = f"{escape(module.path or report.name)} <span style='color:var(--soft)'>{escape(module.kind)}</span>"
        cells = ""
        for _, values, words in columns:
            share = 100 * values[place] / (max(values) or 1)
            cells += f'<td class="bar"><i style="width:{share:.1f}%"></i><span>{words(values[place])}</span></td>'
        unknown = f" + {len(module.unknown)} unknown" if module.unknown else ""
        rows += f'<tr><td style="padding-left:{8 + 14 * module.depth}px">{label}{unknown}</td>{cells}</tr>'
    head = "".join(f"<th>{name}</th>" for name, _, _ in columns)
    return f'<figure class="scroll"><table><tr><th>module</th>{head}</tr>{rows}</table></figure>'


def _depth(report: CostReport) -> int:
    """The deepest level that keeps the list on about a page."""
    deepest = max(module.depth for module in report.modules)
    for depth in range(deepest, 1, -1):
        if sum(module.depth <= depth for module in report.modules) <= 40:
            return depth
    return min(1, deepest)
