"""What a run will hold, before it runs: a dry run of the executor's own schedule, on row counts.

Plain integers; no tensors.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from math import inf

from narrows.errors import BudgetError, InputError, NotStreamableError
from narrows.rowgraph.graph import Node, RowGraph
from narrows.streaming.ledger import Entry, Ledger
from narrows.streaming.residency import Exceeded, Make, Residency
from narrows.streaming.schedule import Schedule
from narrows.streaming.strips import strip_candidates
from narrows.units import format_bytes

__all__ = ["QUEUE_BLOCKS", "Plan", "check_streamable", "keep_books", "make_plan"]

# One block waiting in a queue, one in use behind it, and one being made before it from another in the file's layout.
QUEUE_BLOCKS = 4
# Threads, oneDNN's generated code and its scratch, and what Python allocates on a run: measured over the reference
# networks by benchmarks/memory.py.
ENGINE_BYTES = 24_000_000
# Allocations are rounded up to pages, and freed blocks leave holes that the next ones don't always fit. With less room
# than this the heap has to give pages back and take them again all the time, which a light network feels.
SLACK = 0.08


@dataclass(frozen=True)
class Plan:
    """What streaming a network at one size holds and waits for.

    Attributes:
        height, width: of the first input.
        strip: rows that each step moves on, counted on the tallest input or output.
        ledger: every buffer with its bytes, and why it is held; the largest first.
        buffers_peak: bytes that these hold together at most.
        process: bytes that the process held when the plan was made (imports, weights), `arrays` not counted.
        outside: bytes that the sources and sinks say they hold (a raster's block cache).
        arrays: resident bytes of whole arrays that the caller passes in, beside the budget as those that it gets back.
        peak: predicted peak resident bytes of the process, `arrays` not counted.
        delay: rows of the first input that must arrive before the first output row leaves.
        passes: sweeps over all rows.
        ticks: steps of one pass.
        discarded_rows: rows made in part and thrown away (cropped by a transposed convolution).
        memory: the budget in bytes, or None.
    """

    height: int
    width: int
    strip: int
    ledger: tuple[Entry, ...]
    buffers_peak: int
    process: int
    outside: int
    peak: int
    delay: int
    passes: int
    ticks: int
    discarded_rows: int = 0
    memory: int | None = None
    arrays: int = 0
    at_peak: dict[str, int] = field(default_factory=dict, repr=False)

    def to_json(self) -> str:
        """The plan as a JSON object; bytes and rows as integers."""
        return json.dumps(asdict(self), indent=2)

    def __str__(self) -> str:
        lines = [
            f"{self.height} x {self.width}: strips of {self.strip} rows, {self.passes} pass, delay {self.delay} rows",
            f"{'buffer':<40} {'kind':<12} {'bytes':>12}  why",
        ]
        shown = self.ledger[:24]
        lines += [f"{e.name[:40]:<40} {e.kind:<12} {format_bytes(e.bytes):>12}  {e.why}" for e in shown]
        if len(self.ledger) > len(shown):
            rest = sum(e.bytes for e in self.ledger[len(shown) :])
            lines.append(f"{f'{len(self.ledger) - len(shown)} smaller ones':<40} {'':<12} {format_bytes(rest):>12}")
        lines += [
            f"{'held together at most':<53} {format_bytes(self.buffers_peak):>12}",
            f"{'held by the process before':<53} {format_bytes(self.process):>12}",
            f"{'held by files (GDAL cache, blocks)':<53} {format_bytes(self.outside):>12}",
            f"{'predicted peak of the process':<53} {format_bytes(self.peak):>12}",
        ]
        if self.arrays:
            lines.append(f"{'beside it: arrays passed in':<53} {format_bytes(self.arrays):>12}")
        if self.discarded_rows:
            lines.append(f"{'partial rows made and thrown away':<53} {self.discarded_rows:>12}")
        if self.memory is not None:
            lines.append(f"{'budget':<53} {format_bytes(self.memory):>12}")
        return "\n".join(lines)


def check_streamable(graph: RowGraph) -> None:
    """Refuse a network that can't be run in one pass.

    Raises:
        NotStreamableError: naming the first such operator, its module, its source line, and what to do.
    """
    for node in graph.refusals:
        if node.unsupported:
            raise NotStreamableError(f"{node.place}: {node.unsupported}")
        raise NotStreamableError(
            f"{node.place} needs every row before it can make its first ({node.barrier}); "
            "replace it by an operator with a bounded reach, such as pooling over a window"
        )
    for index in graph.outputs:
        if graph.nodes[index].operator == "input":
            raise NotStreamableError(
                "an output of the network is one of its inputs, unchanged; take it out of the outputs"
            )


def strip_name(node: Node) -> str:
    return f"{node.name} ({node.operator})"


class Books:
    """Writes the events of a run into a ledger; the same for the dry run and the real one."""

    def __init__(self, graph: RowGraph, residency: Residency):
        self.graph = graph
        self.residency = residency
        self.ledger = Ledger()
        self._queues: dict[str, int] = {}
        self.discarded_rows = 0

    def open(self) -> None:
        """What is held for the whole run."""
        for node in self.graph.nodes:
            if node.prepared_bytes:
                self.ledger.hold(
                    f"{node.name} weights", "weights", node.prepared_bytes, f"packed once for {node.operator}"
                )
            if node.state_bytes:
                self.ledger.hold(f"{node.name} state", "state", node.state_bytes, "carried from strip to strip")
        for node in tables(self.graph):
            self.ledger.hold(f"{node.name} table", "weights", node.nbytes, "computed once from weights alone")
        for index, rows in self.residency.capacity.items():
            node = self.graph.nodes[index]
            readers = sorted({self.graph.nodes[c].name for c, _ in self.residency.consumers_of(index)})
            self.ledger.hold(
                f"{node.name} lines",
                "line buffer",
                rows * node.row_bytes,
                f"{rows} rows kept for {', '.join(readers)}",
            )

    def queue(self, name: str, count: int, why: str) -> None:
        """A queue whose largest block so far is `count` bytes."""
        if count * QUEUE_BLOCKS > self._queues.get(name, 0):
            self._queues[name] = count * QUEUE_BLOCKS
            self.ledger.hold(name, "queue", self._queues[name], why)

    def before(self, event: Make) -> None:
        """What making a strip holds while it is made."""
        node = event.node
        rows = event.stop - event.start
        if not (event.overwrite or (node.view_of is not None and not event.keep)):
            self.ledger.hold(strip_name(node), "strip", rows * node.row_bytes, f"{rows} rows made in one step")
        if node.discarded is not None:
            self.discarded_rows += node.discarded(event.start, event.stop)
        if node.workspace is not None and (scratch := node.workspace(rows)):
            self.ledger.hold(f"{strip_name(node)} scratch", "scratch", scratch, "needed while a strip is made")

    def after(self, event: Make) -> None:
        """What is given up once the strip is made."""
        if event.node.workspace is not None:
            self.ledger.release(f"{strip_name(event.node)} scratch")
        if event.keep:
            self.ledger.release(strip_name(event.node))
        for index in event.drop:
            self.ledger.release(strip_name(self.graph.nodes[index]))


def tables(graph: RowGraph) -> list[Node]:
    """Values without rows that are computed once and kept: read whole by an operator that doesn't prepare them."""
    consumers = graph.consumers()
    kept = []
    for node in graph.nodes:
        if node.rows is not None or node.operator in ("constant", "input"):
            continue
        readers = [graph.nodes[c] for c, _ in consumers[node.index]]
        if node.index in graph.outputs or any(r.rows is not None and r.prepare is None for r in readers):
            kept.append(node)
    return kept


def keep_books(graph: RowGraph, residency: Residency, most: float = inf) -> Books:
    """The books of a run, from its events alone.

    Raises:
        Exceeded: the run holds more than `most` bytes.
    """
    books = Books(graph, residency)
    books.open()
    for events in residency.walk():
        if books.ledger.peak > most:
            raise Exceeded
        for event in events:
            if event.node.operator == "input":
                books.queue(*input_queue(event.node, event.stop - event.start))
            books.before(event)
            if event.node.index in graph.outputs:
                books.queue(*output_queue(event.node, event.stop - event.start))
            books.after(event)
    return books


def input_queue(node: Node, rows: int) -> tuple[str, int, str]:
    return f"input {node.name} queue", rows * node.row_bytes, f"blocks of up to {rows} rows, read ahead"


def output_queue(node: Node, rows: int) -> tuple[str, int, str]:
    return (
        f"output {node.name} queue",
        rows * node.row_bytes,
        f"blocks of up to {rows} rows, waiting to be written",
    )


def make_plan(
    graph: RowGraph,
    *,
    process: int,
    outside: int = 0,
    memory: int | None = None,
    strip: int | None = None,
    arrays: int = 0,
) -> Plan:
    """The plan for one pass over `graph`.

    Args:
        process: resident bytes of the process before the run, weights included, without `arrays`.
        outside: bytes that sources and sinks hold.
        arrays: resident bytes of whole arrays that the caller passes in.
        memory: budget in bytes for the whole process; None for none.
        strip: rows for each step; None for the best that fits (`strips.py` says which).

    Raises:
        NotStreamableError: the network has a barrier or an operator that can't be streamed.
        BudgetError: not even the smallest strip fits (or `strip` doesn't); names the smallest budget that works.
        InputError: `strip` is no positive number.
    """
    check_streamable(graph)
    if strip is not None and strip < 1:
        raise InputError(f"a strip has at least 1 row, not {strip}")
    candidates = [strip] if strip is not None else strip_candidates(graph)
    fixed = (process, outside, memory, arrays)
    for rows in candidates:
        plan = _plan_strip(graph, rows, *fixed, most=memory)
        if plan is not None:
            return plan
    best: Plan | None = None
    for rows in reversed(candidates):  # as a rule the lowest needs least, and bounds the others early
        best = _plan_strip(graph, rows, *fixed, most=best.peak if best else None) or best
    assert best is not None and memory is not None
    smallest = _rounded_up(best.peak)
    raise BudgetError(_too_small(best, smallest, memory), smallest)


def _plan_strip(
    graph: RowGraph, strip: int, process: int, outside: int, memory: int | None, arrays: int, most: int | None
) -> Plan | None:
    """The plan with this strip; None where its peak is above `most`."""
    schedule = Schedule(graph, strip)
    start = process + outside + ENGINE_BYTES
    transient = transient_constants(graph)
    bound = inf if most is None else (most - start + 1) / (1 + SLACK) - transient
    whole_run = sum(node.prepared_bytes + node.state_bytes for node in graph.nodes)
    try:
        books = keep_books(graph, Residency(graph, schedule, bound - whole_run), bound)
    except Exceeded:
        return None
    ledger = books.ledger
    peak = start + int((ledger.peak + transient) * (1 + SLACK))
    if most is not None and peak > most:
        return None
    first = graph.nodes[graph.inputs[0]]
    return Plan(
        height=first.height,
        width=first.columns.count if first.columns else 0,
        strip=strip,
        ledger=ledger.entries,
        buffers_peak=ledger.peak,
        process=process,
        outside=outside,
        peak=peak,
        delay=schedule.delay,
        passes=1,
        ticks=schedule.ticks,
        discarded_rows=books.discarded_rows,
        memory=memory,
        arrays=arrays,
        at_peak=ledger.at_peak,
    )


def transient_constants(graph: RowGraph) -> int:
    """The largest weight while it is being packed: folded with a batch norm, or copied into oneDNN's order."""
    kept = {node.index for node in tables(graph)}
    folded = [n.nbytes for n in graph.nodes if n.rows is None and n.index not in kept and n.operator != "constant"]
    return max([0, *folded, *(node.prepared_bytes for node in graph.nodes)])


def _rounded_up(peak: int) -> int:
    """Whole megabytes, with room for what the process itself may grow by before the next try."""
    return -(-(peak + 4_000_000) // 1_000_000) * 1_000_000


def _too_small(plan: Plan, smallest: int, memory: int) -> str:
    largest = sorted(plan.at_peak.items(), key=lambda item: -item[1])[:3]
    named = ", ".join(f"{name} {format_bytes(count)}" for name, count in largest)
    return (
        f"a budget of {format_bytes(memory)} is too small: the smallest that works is {smallest // 1_000_000}MB, "
        f"of which {format_bytes(plan.process)} are held before the run; the largest buffers are {named}"
    )
