"""What a check found, and how it is said."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from narrows.guidelines.core.noise import Ratio
from narrows.units import format_bytes

__all__ = ["CheckReport", "Finding", "Outcome", "Status"]

Status = Literal["stands", "withdrawn", "undecided", "not tried", "silenced"]
Severity = Literal["high", "medium", "low", "unmeasured", "none"]
_ORDER: dict[str, int] = {"stands": 0, "not tried": 1, "undecided": 2, "withdrawn": 3, "silenced": 4}
_WIDTH = 110


@dataclass(frozen=True)
class Outcome:
    """What one experiment measured.

    Attributes:
        sentence: the measurement in words.
        gain: how many times faster (where bytes count, smaller) the changed network is; below 1 it is worse.
        ratio: the gain in time with its interval and noise; None where memory was measured.
        bytes: peak of the user's network and of the changed one; None where time was measured.
        size: rows and columns that were run.
        macs_ratio: multiply-accumulates of the changed network over the user's.
        predicted_for: the machine whose profile the gain was predicted from; empty where it was measured here.
        lines: bytes that hardware keeps line by line, of the user's network and of the changed one; None where they
            weren't counted.
        delay: rows of the image that the first row of the output waits for, of the two.
        streamed: most bytes that a run in strips holds, without weights, of the two; None for one that has no such run.
        again: seconds of sweeping once more to the operators that look at all rows, over those of a whole run without
            them, both streamed.
    """

    sentence: str
    gain: float
    ratio: Ratio | None
    bytes: tuple[int, int] | None
    size: tuple[int, int]
    macs_ratio: float
    predicted_for: str = ""
    lines: tuple[int, int] | None = None
    delay: tuple[int, int] | None = None
    streamed: tuple[int | None, int | None] | None = None
    again: Ratio | None = None


@dataclass(frozen=True)
class Finding:
    """A guideline, a place in the network, and what came of trying it there.

    Attributes:
        guideline, name: key and name of the guideline.
        module: path of the module, empty for the network itself.
        source: the line of the call, ``"net.py:12"``, or None.
        fact: what is there.
        change: what to do.
        status: ``"stands"`` (measured, or a fact that needs no measuring), ``"withdrawn"`` (not on this machine),
            ``"undecided"`` (the machine is too restless; a prediction that its own error, or an operator that wasn't
            measured, leaves open), ``"not tried"``, ``"silenced"``.
        severity: by measured or predicted gain: high from 1.25, medium from 1.1, else low; ``"unmeasured"``, or
            ``"none"`` for what was withdrawn or silenced.
        outcome: what was measured or predicted, or None.
        why: why it wasn't tried or decided, or the reason it was silenced with.
        quality: what the paper says of quality.
        reference: who says so.
    """

    guideline: str
    name: str
    module: str
    source: str | None
    fact: str
    change: str
    status: Status
    severity: Severity
    outcome: Outcome | None = None
    why: str = ""
    quality: str = ""
    reference: str = ""
    places: int = 1

    @property
    def place(self) -> str:
        where = self.module or "the network"
        return f"{where} ({self.source})" if self.source else where

    def __str__(self) -> str:
        said = f"{self.guideline}, {self.place}: {self.fact}"
        if self.status == "silenced":
            return f"{said}: silenced: {self.why}"
        if self.outcome is None:
            not_said = "undecided" if self.status == "undecided" else "not tried"
            return f"{said}; {not_said}: {self.why}" if self.why else said
        machine = "that machine" if self.outcome.predicted_for else "this machine"
        prefix = {"withdrawn": f"not on {machine}: ", "undecided": "undecided: "}.get(self.status, "")
        return f"{said}; {prefix}{self.outcome.sentence}"


@dataclass(frozen=True)
class CheckReport:
    """Every finding of a check, the weightiest first.

    Attributes:
        height, width: the size that was asked for.
        findings: what was found, tried or not.
        tried_at: the size that the experiments ran at, None if there were none; `tried_because` says why it is another.
        machine: threads, processor, PyTorch version, dtype; of the machine that times were predicted for.
        clean: keys of the guidelines that found nothing.
        predicted_for: that machine's name; empty where experiments ran here.
    """

    height: int
    width: int
    findings: tuple[Finding, ...]
    tried_at: tuple[int, int] | None = None
    tried_because: str = ""
    machine: dict[str, Any] = field(default_factory=dict)
    clean: tuple[str, ...] = ()
    predicted_for: str = ""

    @property
    def standing(self) -> tuple[Finding, ...]:
        """The findings that stand, and those that weren't tried: what a reviewer has to look at."""
        return tuple(f for f in self.findings if f.status in ("stands", "not tried"))

    def to_json(self) -> str:
        """The report as a JSON object; gains are ratios, bytes and sizes integers."""
        return json.dumps(asdict(self), indent=2)

    def __str__(self) -> str:
        return "\n".join(_lines(self))


def ordered(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """What stands comes first, the largest gain before others; then by guideline."""

    def key(finding: Finding) -> tuple[int, float, int]:
        gain = finding.outcome.gain if finding.outcome else 0.0
        return (_ORDER[finding.status], -gain, int(finding.guideline[1:]))

    return tuple(sorted(findings, key=key))


def severity_of(gain: float) -> Severity:
    return "high" if gain >= 1.25 else "medium" if gain >= 1.1 else "low"


def memory_sentence(title: str, before: int, after: int) -> str:
    ratio = after / before if before else 1.0
    return f"{title} held {ratio:.2f} x the memory here ({format_bytes(after)} instead of {format_bytes(before)})"


def with_operations(sentence: str, macs_ratio: float) -> str:
    return sentence if abs(macs_ratio - 1) < 0.005 else f"{sentence}, with {macs_ratio:.2f} x the operations"


def _lines(report: CheckReport) -> list[str]:
    lines = [_heading(report), ""]
    predicted = bool(report.predicted_for)
    titles = {
        "stands": "Found",
        "not tried": "Seen, not tried",
        "undecided": "Undecided: the profile can't tell" if predicted else "Undecided: the machine was too restless",
        "withdrawn": f"Withdrawn: the advice doesn't hold {'there, as predicted' if predicted else 'here'}",
        "silenced": "Silenced",
    }
    for status, title in titles.items():
        group = [finding for finding in report.findings if finding.status == status]
        if not group:
            continue
        lines.append(title)
        for finding in group:
            brief = status in ("withdrawn", "undecided", "silenced")
            foretold = ", predicted" if finding.outcome is not None and finding.outcome.predicted_for else ""
            mark = f"[{finding.severity}{foretold}] " if status == "stands" else ""
            lines += textwrap.wrap(f"{mark}{finding}", _WIDTH, initial_indent="  ", subsequent_indent="      ")
            if not brief:
                lines += _more(finding)
        lines.append("")
    if not report.findings:
        lines += ["Nothing found.", ""]
    if report.clean:
        lines.append(f"Nothing to say: {', '.join(report.clean)}")
    return [line.rstrip() for line in lines]


def _more(finding: Finding) -> list[str]:
    said = [f"change: {finding.change}"]
    if finding.quality:
        said.append(f"quality, as the paper has it: {finding.quality}")
    return [
        line for s in said for line in textwrap.wrap(s, _WIDTH, initial_indent="      ", subsequent_indent="        ")
    ]


def _heading(report: CheckReport) -> str:
    counts = {status: sum(f.status == status for f in report.findings) for status in _ORDER}
    words = ", ".join(f"{n} {'stand' if s == 'stands' and n != 1 else s}" for s, n in counts.items() if n)
    text = f"{report.height} x {report.width}: {words or 'nothing found'}"
    if report.predicted_for:
        date, torch = report.machine.get("date"), str(report.machine.get("torch")).partition("+")[0]
        text += (
            f"\nPredicted for {report.predicted_for}, {report.machine.get('dtype')}, PyTorch {torch}, measured {date}"
        )
        text += "; nothing was run, full frame, eval mode"
    if report.tried_at is not None:
        threads, dtype = report.machine.get("threads"), report.machine.get("dtype")
        text += f"\nTried at {report.tried_at[0]} x {report.tried_at[1]}{report.tried_because}"
        text += f", {threads} thread{'s' if threads != 1 else ''}, {dtype}, PyTorch {report.machine.get('torch')}"
        text += ", full frame, eval mode"
    return text
