"""Which designs of the catalogue fit a task, a size and a budget."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from narrows.errors import BudgetError, CaptureError, InputError, NotStreamableError
from narrows.networks.catalogue import CATALOGUE, TASKS, Design, Score
from narrows.units import format_bytes

if TYPE_CHECKING:
    from torch.export import ExportedProgram

__all__ = ["Budget", "Candidate", "Costs", "SecondsOf", "choose"]

SecondsOf = Callable[["ExportedProgram"], float]


@dataclass(frozen=True)
class Budget:
    """What a design may use; None is no limit.

    Attributes:
        memory: bytes of the whole process at its peak.
        seconds: for one image.
        lines: how many lines of the image, all its bands at `bits`, the line buffers may hold in hardware that takes
            the image row by row.
        delay: rows that such hardware may wait for before its first row of output.
        bits: of each value in the line buffers.
    """

    memory: int | None = None
    seconds: float | None = None
    lines: float | None = None
    delay: int | None = None
    bits: int = 8

    @property
    def by_lines(self) -> bool:
        """Whether the image comes row by row."""
        return self.lines is not None or self.delay is not None


@dataclass(frozen=True)
class Costs:
    """What a design costs at a size.

    Attributes:
        macs: multiply-accumulates for one image.
        parameters: how many.
        memory: peak bytes of the process: streamed within the budget, or the whole frame where it can't be streamed.
        streamed: which of the two.
        barrier: why it can't be streamed, or None.
        delay: rows of the image that it waits for before its first row of output; None with a barrier.
        line_bytes: of line buffers, at the budget's bits; None with a barrier.
        seconds: predicted for one image; None without a machine's profile.
    """

    macs: int
    parameters: int
    memory: int
    streamed: bool
    barrier: str | None
    delay: int | None
    line_bytes: int | None
    seconds: float | None


@dataclass(frozen=True)
class Candidate:
    """A design at a size: what it costs, the line that builds it, and why it doesn't fit (nothing where it does)."""

    design: Design
    line: str | None
    costs: Costs | None
    reasons: tuple[str, ...]

    @property
    def fits(self) -> bool:
        return not self.reasons

    @property
    def score(self) -> Score | None:
        """The most telling score, if there is one."""
        return self.design.scores[0] if self.design.scores else None

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON; bytes, rows and counts as integers."""
        return {
            "design": self.design.name,
            "fits": self.fits,
            "reasons": list(self.reasons),
            "costs": asdict(self.costs) if self.costs else None,
            "scores": [asdict(score) for score in self.design.scores],
            "licence": self.design.licence,
            "weights": self.design.weights,
            "source": self.design.source,
            "python": self.line,
        }


def choose(
    task: str,
    bands: int,
    height: int,
    width: int,
    budget: Budget,
    *,
    seconds_of: SecondsOf | None = None,
    designs: Sequence[Design] = CATALOGUE,
    progress: Callable[[str], None] | None = None,
) -> list[Candidate]:
    """The designs for a task, those that fit `budget` first.

    Among these, designs with a score come before those without, and scores reached with as many bands before others.
    Scores on one data set go from best to worst; of different data sets, which can't be compared, and without a score,
    the one with the fewest multiply-accumulates (or seconds, where they are predicted) comes first. Those that don't
    fit follow in the catalogue's order.

    Args:
        task: of `narrows.networks.catalogue.TASKS`.
        bands: of the image.
        height, width: of the image, in pixels.
        seconds_of: tells how long one run of an exported network takes on the machine at hand.
        progress: called with the name of each design before it is costed.

    Raises:
        InputError: there is no such task; a size or a number of bands below 1; a latency without `seconds_of`.
    """
    if task not in TASKS:
        raise InputError(f"there is no task '{task}'; choose {', '.join(TASKS)}")
    if min(bands, height, width) < 1:
        raise InputError(f"an image has at least one band, row and column, not {bands} x {height} x {width}")
    if budget.seconds is not None and seconds_of is None:
        raise InputError("a latency needs a machine's profile to predict it from")
    found = []
    at_start = _warmed_up()
    for design in designs:
        if task in design.tasks:
            if progress:
                progress(design.name)
            found.append(_candidate(design, bands, height, width, budget, seconds_of, at_start))
    return [*_ranked([c for c in found if c.fits], bands), *(c for c in found if not c.fits)]


def _candidate(
    design: Design, bands: int, height: int, width: int, budget: Budget, seconds_of: SecondsOf | None, at_start: int
) -> Candidate:
    try:
        line = design.line(bands)
    except ValueError as error:
        return Candidate(design, None, None, (str(error),))
    try:
        costs = _costs(design, bands, height, width, budget, seconds_of, at_start)
    except CaptureError as error:
        return Candidate(design, line, None, (str(error),))
    return Candidate(design, line, costs, tuple(_reasons(costs, bands, width, budget)))


def _warmed_up() -> int:
    """Bytes that the process holds once everything that a plan and a cost import has been imported."""
    from torch import nn

    from narrows.costing.cost import cost
    from narrows.streaming.memory import resident_now
    from narrows.streaming.stream import plan

    tiny = nn.Conv2d(1, 1, 1).eval()
    plan(tiny, 8, 8)
    cost(tiny, 8, 8)
    return resident_now()


def _costs(
    design: Design, bands: int, height: int, width: int, budget: Budget, seconds_of: SecondsOf | None, at_start: int
) -> Costs:
    import torch

    from narrows.costing.cost import graph_of, report_at
    from narrows.streaming.capturing import exported
    from narrows.streaming.mapped import MappedWeights
    from narrows.streaming.memory import give_back, resident_now
    from narrows.streaming.plan import make_plan

    # What the designs before this one left in the process is none of its memory. Were it given back only later, or used
    # again, this design would seem to need so much less.
    give_back()
    left = max(resident_now() - at_start, 0)
    model = design.build(bands).eval()
    shapes, kind = [(1, bands, height, width)], torch.float32
    program = exported(model, shapes, kind)
    graph = graph_of(program)
    if isinstance(graph, str):
        raise CaptureError(graph)
    MappedWeights(graph)  # lets go of what a run will pack
    barrier, allowed = None, None if budget.memory is None else budget.memory + left
    try:
        memory = make_plan(graph, process=resident_now(), memory=allowed).peak - left
    except BudgetError as error:
        memory = error.smallest - left
    except NotStreamableError as error:
        barrier = str(error).partition(";")[0]
    totals = report_at(program, graph, shapes, kind, budget.bits, design.name, None).totals
    if barrier is not None:
        weights = sum(tensor.nbytes for tensor in (*model.parameters(), *model.buffers()))
        memory = at_start + weights + totals["peak_bytes"]
    return Costs(
        macs=totals["macs"],
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        memory=memory,
        streamed=barrier is None,
        barrier=barrier,
        delay=None if barrier else totals["delay_rows"],
        line_bytes=None if barrier else totals["line_buffer_bytes"],
        seconds=seconds_of(program) if seconds_of is not None else None,
    )


def _reasons(costs: Costs, bands: int, width: int, budget: Budget) -> Iterable[str]:
    """What is over the budget, one line each."""
    if budget.memory is not None and costs.memory > budget.memory:
        over = f"over {format_bytes(budget.memory)}"
        if costs.streamed:
            yield f"memory: needs {format_bytes(costs.memory)} even in strips, {over}"
        else:
            held = f"holds {format_bytes(costs.memory)} as a whole frame"
            yield f"memory: {held}, {over}, and can't be streamed: {costs.barrier}"
    if budget.seconds is not None and costs.seconds is not None and costs.seconds > budget.seconds:
        yield f"latency: takes {costs.seconds:.3g} s, over {budget.seconds:g} s"
    if budget.by_lines and (costs.delay is None or costs.line_bytes is None):
        yield f"lines: it can't make its first row before the last has come: {costs.barrier}"
        return
    if budget.delay is not None and costs.delay is not None and costs.delay > budget.delay:
        yield f"delay: waits for {costs.delay} rows, over {budget.delay}"
    if budget.lines is not None and costs.line_bytes is not None:
        line = bands * width * budget.bits / 8
        if costs.line_bytes > budget.lines * line:
            kept = f"{format_bytes(costs.line_bytes)} at {budget.bits} bits"
            yield f"lines: keeps {kept}, {costs.line_bytes / line:.1f} lines of the image, over {budget.lines:g}"


def _ranked(fitting: Sequence[Candidate], bands: int) -> list[Candidate]:
    def cost(candidate: Candidate) -> float:
        assert candidate.costs is not None
        return candidate.costs.macs if candidate.costs.seconds is None else candidate.costs.seconds

    def data(candidate: Candidate) -> tuple[int, str, str]:
        score = candidate.score
        if score is None:
            return 2, "", candidate.design.name
        return int(score.bands != bands), score.metric, score.data

    groups = []
    for key, members in groupby(sorted(fitting, key=data), key=data):
        best_first = sorted(members, key=lambda c: (-(c.score.value if c.score else 0.0), cost(c)))
        groups.append((key[0], min(cost(c) for c in best_first), best_first))
    return [candidate for *_, group in sorted(groups, key=lambda group: group[:2]) for candidate in group]
