"""`narrows.cost`: what a network costs at one size."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import log2
from pathlib import Path
from typing import Any

import torch
from torch.export import ExportedProgram

from narrows.costing.calls import Traced, trace
from narrows.costing.eager import eager_peak
from narrows.costing.field import effective_field, theoretical_field
from narrows.costing.lines import line_costs
from narrows.costing.machine import Profile, read_profile
from narrows.costing.modules import module_costs, parameters_of
from narrows.costing.prediction import predict
from narrows.costing.report import CostReport, Field, Growth, Lines, Peak
from narrows.costing.structure import dependencies, longest_chain, parallel_branches
from narrows.errors import BudgetError, CaptureError, InputError, NotStreamableError
from narrows.rowgraph.capture import capture
from narrows.rowgraph.graph import RowGraph
from narrows.streaming.capturing import Model, Shape, Shapes, exported, image_inputs, loaded
from narrows.streaming.memory import resident_now
from narrows.streaming.plan import make_plan
from narrows.units import parse_bytes

__all__ = ["cost", "graph_of", "report_at"]


def cost(
    model: Model,
    height: int,
    width: int,
    *,
    channels: int | None = None,
    batch: int = 1,
    dtype: torch.dtype | None = None,
    inputs: Shapes | None = None,
    memory: int | str | None = None,
    bits: int = 8,
    growth: bool = False,
    effective: bool = False,
    machine: Profile | str | os.PathLike[str] | None = None,
    name: str | None = None,
) -> CostReport:
    """What `model` computes, holds, moves and waits for on an image of (channels, height, width). Nothing is run.

    Args:
        model: a module in eval mode, an `ExportedProgram`, or the path of a `.pt2` file.
        channels: of the image; read from the network if None.
        dtype: of the image; that of the network's weights if None.
        inputs: whole shapes (N, C, H, W) of every input, for networks with several; by name for keyword arguments.
        memory: budget for the streamed peak of the whole process, as in `narrows.plan`; None leaves it out.
        bits: of each value in line buffers.
        growth: cost it at twice and four times the size as well.
        effective: measure the effective receptive field too, by running the network on a crop of noise.
        machine: a machine's profile, or the path of one, to predict the time of each operator there.
        name: what to call the network; its class if None.

    Raises:
        CaptureError, InputError: one line each, saying what to do.
    """
    if not 1 <= bits <= 64:
        raise InputError(f"a value has 1 to 64 bits, not {bits}")
    profile = read_profile(machine) if isinstance(machine, (str, os.PathLike)) else machine
    held = loaded(model)
    budget = parse_bytes(memory) if memory is not None else None
    shapes, kind = image_inputs(held, height, width, channels=channels, batch=batch, dtype=dtype, inputs=inputs)
    program = exported(held, shapes, kind)
    graph = graph_of(program)
    module = held if isinstance(held, torch.nn.Module) else None
    report = report_at(program, graph, shapes, kind, bits, name or _name(model, held), module)
    if budget is not None:
        report = _streamed(report, graph, budget)
    if effective or isinstance(graph, RowGraph):
        report = _with_field(report, held, program, graph, kind, effective)
    if growth:
        report = _grown(report, held, shapes, kind, bits)
    return _timed(report, program, profile) if profile is not None else report


def _timed(report: CostReport, program: ExportedProgram, profile: Profile) -> CostReport:
    if report.dtype != "float32":
        raise InputError(
            f"a machine's profile holds times for float32 only, and the network computes in {report.dtype}"
        )
    prediction = predict(program, profile)
    notes = [
        f"{target}: the machine was not measured on this operator; its time counts the bytes it moves"
        for target in prediction.unmeasured
    ]
    return _noted(report.with_times(prediction), [*report.notes, *notes])


def _name(model: Model, held: torch.nn.Module | ExportedProgram) -> str:
    if isinstance(model, (str, os.PathLike)):
        return Path(model).stem
    return type(held).__name__ if isinstance(held, torch.nn.Module) else "exported program"


def graph_of(program: ExportedProgram) -> RowGraph | str:
    """The row graph of `program`, or why it has none."""
    try:
        return capture(program)
    except CaptureError as error:
        return str(error)


def report_at(
    program: ExportedProgram,
    graph: RowGraph | str,
    shapes: Shapes,
    kind: torch.dtype,
    bits: int,
    name: str,
    module: torch.nn.Module | None,
) -> CostReport:
    """The report at one size, without what `cost` adds on demand.

    Args:
        graph: of `program`, or why it has none.
        shapes, kind: of the inputs that `program` was exported with.
        module: that it was exported from, for the eager peak; None for none.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced = trace(program)
    notes: list[str] = []
    eager = _eager(module, shapes, kind, notes)
    lines = _lines(graph, bits, notes)
    sizes = list(shapes.values()) if isinstance(shapes, Mapping) else list(shapes)
    report = CostReport(
        name=name,
        inputs=tuple(tuple(shape) for shape in sizes),
        dtype=str(kind).removeprefix("torch."),
        height=sizes[0][-2] if len(sizes[0]) > 1 else 1,
        width=sizes[0][-1],
        operators=traced.operators,
        modules=module_costs(module, name, traced),
        totals=_totals(traced, module, eager, lines),
        liveness=traced.peak,
        eager=eager,
        lines=lines,
        notes=tuple(notes),
    )
    for target in dict.fromkeys(operator.place for operator in report.unknown):
        notes.append(f"{target}: nobody told how many multiply-accumulates it makes; macs is without it")
    return _noted(report, notes)


def _noted(report: CostReport, notes: Sequence[str]) -> CostReport:
    return replace(report, notes=tuple(notes))


def _eager(module: torch.nn.Module | None, shapes: Shapes, kind: torch.dtype, notes: list[str]) -> Peak | None:
    if module is None:
        notes.append("eager peak: an exported program has no Python of its user's to run")
        return None
    named = shapes if isinstance(shapes, Mapping) else {}
    listed = [] if isinstance(shapes, Mapping) else shapes
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = eager_peak(
            module,
            [torch.empty(shape, dtype=kind, device="meta") for shape in listed],
            {name: torch.empty(shape, dtype=kind, device="meta") for name, shape in named.items()},
        )
    if isinstance(found, Peak):
        return found
    notes.append(f"eager peak: {found}")
    return None


def _lines(graph: RowGraph | str, bits: int, notes: list[str]) -> Lines | None:
    lines = line_costs(graph, bits) if isinstance(graph, RowGraph) else graph
    if isinstance(lines, Lines):
        if lines.whole_frame:
            notes.append(f"lines: kept whole until a barrier has seen all rows: {', '.join(lines.whole_frame[:4])}")
        return lines
    notes.append(f"lines: {lines}")
    return None


def _totals(traced: Traced, module: torch.nn.Module | None, eager: Peak | None, lines: Lines | None) -> dict[str, Any]:
    operators = traced.operators
    launched = [operator for operator in operators if operator.launched]
    before = dependencies(operators, traced.accesses)
    read, written = sum(op.bytes_read for op in launched), sum(op.bytes_written for op in launched)
    macs = sum(op.macs or 0 for op in operators)
    waiting = eager.waiting_bytes if eager else None
    elementwise = sum(op.bytes_moved for op in launched if op.elementwise)
    return {
        "macs": macs,
        "unknown_operators": sum(op.macs is None for op in operators),
        "parameters": parameters_of(module, traced),
        "weight_bytes": traced.weight_bytes,
        "bytes_read": read,
        "bytes_written": written,
        "memory_access_cost": sum(op.memory_access for op in launched),
        "arithmetic_intensity": macs / (read + written) if read + written else None,
        "peak_bytes": traced.peak.bytes,
        "eager_peak_bytes": eager.bytes if eager else None,
        "eager_waiting_bytes": waiting,
        "streamed_peak_bytes": None,
        "line_buffer_bytes": lines.bytes if lines else None,
        "skip_line_bytes": lines.skip_bytes if lines else None,
        "delay_rows": lines.delay if lines else None,
        "launched_operators": len(launched),
        "elementwise_operators": sum(op.elementwise for op in launched),
        "elementwise_share": elementwise / (read + written) if read + written else 0.0,
        "longest_chain": longest_chain(before),
        "parallel_branches": parallel_branches(before),
        "seconds": None,
    }


def _streamed(report: CostReport, graph: RowGraph | str, budget: int) -> CostReport:
    notes, peak = list(report.notes), None
    if isinstance(graph, RowGraph):
        try:
            peak = make_plan(graph, process=resident_now(), memory=budget).peak
        except (BudgetError, NotStreamableError) as error:
            notes.append(f"streamed peak: {error}")
    return replace(report, totals=report.totals | {"streamed_peak_bytes": peak}, notes=tuple(notes))


def _with_field(
    report: CostReport,
    held: torch.nn.Module | ExportedProgram,
    program: ExportedProgram,
    graph: RowGraph | str,
    kind: torch.dtype,
    effective: bool,
) -> CostReport:
    found = theoretical_field(program, graph) if isinstance(graph, RowGraph) else None
    notes = list(report.notes)
    if found is not None and found.columns is None:
        notes.append("receptive field: its columns are not known, for some operator doesn't tell which it reads")
    if effective and (not isinstance(held, torch.nn.Module) or len(report.inputs) != 1 or len(report.inputs[0]) != 4):
        notes.append("effective receptive field: it is measured for modules with one image")
    elif effective and isinstance(held, torch.nn.Module):
        base = found or Field(report.height, 0, 0, whole=True)
        rows, columns = base.rows, base.columns or report.width
        try:
            high, wide, crop = effective_field(held, report.inputs[0], kind, (rows, columns))
        except Exception as error:  # whatever the network raises on a crop
            notes.append(f"effective receptive field: the network doesn't run on a crop ({type(error).__name__})")
        else:
            found = replace(base, effective_rows=high, effective_columns=wide, crop=crop)
            if crop[0] < min(rows, report.height) or crop[1] < min(columns, report.width):
                notes.append(
                    f"effective receptive field: measured on {crop[0]} x {crop[1]}, less than the field itself"
                )
    return replace(report, field=found, notes=tuple(notes))


_GROWING = ("macs", "bytes_read", "bytes_written", "peak_bytes", "eager_peak_bytes", "line_buffer_bytes", "delay_rows")


def _grown(
    report: CostReport, held: torch.nn.Module | ExportedProgram, shapes: Shapes, kind: torch.dtype, bits: int
) -> CostReport:
    """`report` with its totals at 2 and 4 times the rows and columns of every input that has them."""
    totals = [report.totals]
    for factor in (2, 4):
        try:
            larger = _scaled(shapes, factor)
            program = exported(held, larger, kind)
            module = held if isinstance(held, torch.nn.Module) else None
            grown = report_at(program, graph_of(program), larger, kind, bits, report.name, module)
            totals.append(grown.totals)
        except CaptureError as error:
            return replace(report, notes=(*report.notes, f"growth: at {factor} times the size: {error}"))
    growth = []
    for name in _GROWING:
        values = [found[name] for found in totals]
        if all(value is not None for value in values):
            exponent = log2(values[2] / values[1]) if values[1] and values[2] else None
            growth.append(Growth(name, tuple(values), exponent))
    return replace(report, growth=tuple(growth))


def _scaled(shapes: Shapes, factor: int) -> Shapes:
    def larger(shape: Shape) -> Shape:
        return (*shape[:-2], shape[-2] * factor, shape[-1] * factor) if len(shape) >= 3 else shape

    if isinstance(shapes, Mapping):
        return {name: larger(shape) for name, shape in shapes.items()}
    return [larger(shape) for shape in shapes]
