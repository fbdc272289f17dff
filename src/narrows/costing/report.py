"""What a network costs at one size: plain data, with its renderings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

__all__ = [
    "CostReport",
    "Field",
    "Growth",
    "Held",
    "LineBuffer",
    "Lines",
    "ModuleCost",
    "OperatorCost",
    "Peak",
    "Predictor",
]

Shape = tuple[int, ...]


@dataclass(frozen=True)
class OperatorCost:
    """One call of the network, as the user's Python makes it.

    Attributes:
        index: place in the order of calls.
        name: unique name of its value, e.g. ``"conv2d_3"``.
        kind: e.g. ``"conv2d"``; in-place forms have the name of the other.
        target: the ATen (or custom) name.
        module: path of the innermost module, ``""`` for the network itself.
        source: innermost line outside torch, ``"file.py:12"``, or None.
        inputs: shapes of the tensors it reads, weights included, in the order of its arguments.
        outputs: shapes of the tensors it makes.
        dtype: of the first output.
        macs: multiply-accumulates; None where the operator is unknown.
        parameters: elements of the parameters that it reads.
        bytes_read: distinct elements of its inputs, weights included, in bytes. A view reads nothing.
        bytes_written: of its outputs. A view writes nothing.
        weight_bytes: what part of `bytes_read` is parameters and buffers.
        memory_access: elements read and written, as ShuffleNet V2 counts them: ``h w (c1 + c2) + c1 c2 / g`` for
            a 1x1 convolution.
        elementwise: it makes each element from the same element of its inputs.
        launched: it computes or copies; false for a view.
        in_place: it writes into an input.
        peak_bytes: bytes held while it runs, when tensors are freed at their last use.
        seconds: predicted time, where a predictor was given.
    """

    index: int
    name: str
    kind: str
    target: str
    module: str
    source: str | None
    inputs: tuple[Shape, ...]
    outputs: tuple[Shape, ...]
    dtype: str
    macs: int | None
    parameters: int
    bytes_read: int
    bytes_written: int
    weight_bytes: int
    memory_access: int
    elementwise: bool
    launched: bool
    in_place: bool
    peak_bytes: int = 0
    seconds: float | None = None

    @property
    def bytes_moved(self) -> int:
        """Bytes read and written."""
        return self.bytes_read + self.bytes_written

    @property
    def arithmetic_intensity(self) -> float | None:
        """Multiply-accumulates for each byte moved; None where either is unknown or nothing is moved."""
        return self.macs / self.bytes_moved if self.macs is not None and self.bytes_moved else None

    @property
    def place(self) -> str:
        """Where the user finds it."""
        where = self.target + (f" in module '{self.module}'" if self.module else "")
        return where + (f" at {self.source}" if self.source else "")


class Predictor(Protocol):
    """Tells how long an operator takes on some machine."""

    def predict(self, operator: OperatorCost) -> float:
        """Seconds for one call of `operator`."""
        ...


@dataclass(frozen=True)
class ModuleCost:
    """One module of the user's tree with everything below it.

    `parameters` are its own and those below it, each once; the other sums are over the calls made inside it. `unknown`
    names the operators whose multiply-accumulates are not known, and are missing from `macs`.
    """

    path: str
    kind: str
    depth: int
    calls: int
    launched: int
    macs: int
    parameters: int
    bytes_read: int
    bytes_written: int
    weight_bytes: int
    elementwise_bytes: int
    unknown: tuple[str, ...] = ()
    seconds: float | None = None


@dataclass(frozen=True)
class Held:
    """A tensor that is held at the peak.

    `made_by` is the operator (or ``"input"``), `used_last` the operator that reads it last (None: it is a result), and
    `waiting` says that this has already happened, so that only the user's Python still holds it. Where it is no tensor
    but what the kernel of `made_by` takes for itself, `scratch` says what for.
    """

    made_by: str
    module: str
    source: str | None
    shape: Shape
    bytes: int
    used_last: str | None
    waiting: bool
    scratch: str | None = None


@dataclass(frozen=True)
class Peak:
    """The most that is held at one moment, without weights.

    Attributes:
        bytes: inputs, results and everything between that is alive then.
        at: the operator that runs then, `module` and `source` where it stands.
        tensors: what is alive, the largest first.
        timeline: (operator, bytes held at most while it runs) for each operator in order.
    """

    bytes: int
    at: str
    module: str
    source: str | None
    tensors: tuple[Held, ...]
    timeline: tuple[tuple[str, int], ...] = field(default=(), repr=False)

    @property
    def waiting_bytes(self) -> int:
        """Bytes of tensors that nothing will read again."""
        return sum(tensor.bytes for tensor in self.tensors if tensor.waiting)

    @property
    def scratch_bytes(self) -> int:
        """Bytes that the kernel which runs then takes for itself."""
        return sum(tensor.bytes for tensor in self.tensors if tensor.scratch)


@dataclass(frozen=True)
class LineBuffer:
    """Rows of one value that hardware keeps from one row to the next.

    `lines` is all of them; `window` the part that the widest of its readers needs for its own window, `waiting` the
    rest, which waits until another branch has caught up (a skip). `bytes` are of `lines`.
    """

    name: str
    operator: str
    module: str
    source: str | None
    row_elements: int
    lines: int
    window: int
    waiting: int
    bytes: int


@dataclass(frozen=True)
class Lines:
    """What hardware that takes the image row by row keeps and waits for, at `bits` for each value."""

    bits: int
    delay: int
    buffers: tuple[LineBuffer, ...]
    bytes: int
    whole_frame: tuple[str, ...] = ()

    @property
    def skip_bytes(self) -> int:
        """Bytes of the lines that wait for another branch."""
        return sum(b.bytes * b.waiting // b.lines for b in self.buffers if b.lines)


@dataclass(frozen=True)
class Field:
    """Receptive field of the central value of the first output.

    `rows` is the theoretical field: how many rows of the input it depends on, `above` and `below` how far that goes
    from the input's own centre. `whole` says that it is every row of the image. `columns`, `left`, `right` and
    `whole_columns` say the same of columns; None where that isn't known. The effective field (Luo et al. 2016,
    arXiv 1701.04128) is that of the gradient on noise: see `narrows.costing.field`.
    """

    rows: int
    above: int
    below: int
    whole: bool
    columns: int | None = None
    left: int | None = None
    right: int | None = None
    whole_columns: bool | None = None
    effective_rows: float | None = None
    effective_columns: float | None = None
    crop: tuple[int, int] | None = None


@dataclass(frozen=True)
class Growth:
    """One total at 1, 2 and 4 times the rows and columns. `exponent` is log2 of the last doubling's ratio: 2 is
    proportional to the pixels, 1 to the side, 0 constant, 4 to the square of the pixels."""

    name: str
    values: tuple[float, ...]
    exponent: float | None


@dataclass(frozen=True)
class CostReport:
    """What a network costs at one size.

    Attributes:
        name: of the network.
        inputs: whole shapes of its inputs; `dtype` of the first.
        height, width: rows and columns of the first input.
        operators: every call, in order.
        modules: the user's tree, summed up; the network itself first.
        totals: the whole by name, see `docs/costs.md`. Bytes, rows and counts are integers; what is not known is None.
        liveness: the peak if each tensor is freed at its last use.
        eager: the peak as the user's Python holds tensors; None where there is no Python to run (`notes` says why).
        lines: for hardware that works row by row; None where the network can't (`notes` says why).
        field: receptive field; None where it is not known.
        growth: of the totals with the size of the image; empty if not asked for.
        notes: one line each on what is missing, and why.
    """

    name: str
    inputs: tuple[Shape, ...]
    dtype: str
    height: int
    width: int
    operators: tuple[OperatorCost, ...] = field(repr=False)
    modules: tuple[ModuleCost, ...] = field(repr=False)
    totals: dict[str, Any]
    liveness: Peak = field(repr=False)
    eager: Peak | None = field(default=None, repr=False)
    lines: Lines | None = field(default=None, repr=False)
    field: Field | None = None
    growth: tuple[Growth, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def unknown(self) -> tuple[OperatorCost, ...]:
        """Operators whose multiply-accumulates are not known: `totals["macs"]` is without them."""
        return tuple(operator for operator in self.operators if operator.macs is None)

    def with_times(self, predictor: Predictor) -> CostReport:
        """This report with a predicted time for each operator, views included, each module and the whole."""
        operators = tuple(replace(op, seconds=float(predictor.predict(op))) for op in self.operators)
        modules = tuple(
            replace(module, seconds=sum(op.seconds or 0.0 for op in operators if is_below(op.module, module.path)))
            for module in self.modules
        )
        seconds = sum(op.seconds or 0.0 for op in operators)
        return replace(self, operators=operators, modules=modules, totals=self.totals | {"seconds": seconds})

    def to_json(self) -> str:
        """Everything as a JSON object with the keys of this class's attributes; bytes and counts as integers."""
        from narrows.costing.texts import as_json

        return as_json(self)

    def to_csv(self) -> str:
        """One line for each operator, with a header."""
        from narrows.costing.texts import as_csv

        return as_csv(self)

    def to_html(self, others: Sequence[CostReport] = (), *, machine: Mapping[str, float] | None = None) -> str:
        """One page that needs nothing from elsewhere, with pictures of where the costs are.

        Args:
            others: further networks to show on the same page.
            machine: ``macs_per_second`` and ``bytes_per_second`` of a machine, for the ridge of the roofline.
        """
        from narrows.costing.page import as_html

        return as_html((self, *others), machine)

    def to_text(self, *, width: int = 120, depth: int | None = None, operators: bool = False) -> str:
        """The report as tables of text, `width` characters wide; modules down to `depth`, operators if asked for."""
        from narrows.costing.tables import as_text

        return as_text(self, width, depth, operators)

    def __str__(self) -> str:
        return self.to_text()


def is_below(path: str, module: str) -> bool:
    """Whether `path` is `module` or stands in it."""
    return not module or path == module or path.startswith(module + ".")
