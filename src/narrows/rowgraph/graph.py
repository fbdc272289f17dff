"""The row graph: a convolutional network as operators with row needs.

A `Node` is one operator and the one value it makes. Nodes stand in an order in which inputs come first. Values with
rows are made strip by strip; values without (weights, tables, whatever is computed from them alone) are made once.
Everything here is plain data and imports no torch; the functions that compute tensors ride along, opaque.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any

from narrows.rowgraph.rows import Axis, RowNeed

__all__ = ["Node", "RowGraph", "Strip"]


@dataclass
class Strip:
    """One step of one node: make output rows [start, stop).

    `inputs` holds, for each input with rows, its rows [starts[i], stops[i]) (read-only unless `may_overwrite`), and for
    each other its whole value; where the operator prepares its constants, those places hold None and `prepared` holds
    what it made of them. `state` belongs to the node and lives as long as the run.
    """

    start: int
    stop: int
    inputs: list[Any]
    starts: list[int]
    stops: list[int]
    prepared: Any = None
    state: dict[str, Any] = field(default_factory=dict)
    may_overwrite: bool = False


@dataclass(frozen=True)
class Node:
    """One operator of the row graph and the value it makes.

    Attributes:
        index: place in `RowGraph.nodes`.
        name: the value's name, unique in the graph.
        operator: what it does, e.g. ``"conv2d"``.
        inputs: indices of the nodes it reads.
        needs: for each input its row need, or None where that input has no rows or is used whole.
        shape: of the whole value.
        dtype: e.g. ``"float32"``; `itemsize` its bytes.
        rows, columns: where the value's rows and columns lie; None where it has none.
        compute: makes one strip: ``compute(strip) -> tensor``; for a value without rows ``compute(inputs) -> tensor``.
        prepare: turns the inputs without rows into what `compute` needs, once per run (packed weights).
        prepared_bytes: bytes that `prepare` returns.
        barrier: why it needs every row before it can make its first, or None.
        unsupported: why it can't be run strip by strip at all, or None.
        view_of: position of the input whose memory its value shares, or None.
        overwrites: position of an input whose memory it may reuse for its value, or None.
        state_bytes: bytes carried from strip to strip.
        state_values: how many values these are; they may be wider than the values that are made.
        workspace: scratch bytes needed to make n rows.
        discarded: rows made in part and thrown away when making rows [start, stop).
        macs: multiply-accumulates for the whole value.
        bitwise: a strip equals the same rows of the full frame to the bit in float32.
        coded_bits: bits of one row where the value is a code that hardware would store as such, or None.
        module: path of the module it came from, e.g. ``"encoder.0.conv"``.
        source: innermost line outside torch, ``"file.py:12"``, or None.
        target: the ATen name.
    """

    index: int
    name: str
    operator: str
    inputs: tuple[int, ...]
    needs: tuple[RowNeed | None, ...]
    shape: tuple[int, ...]
    dtype: str
    itemsize: int
    rows: Axis | None
    columns: Axis | None = None
    compute: Callable[..., Any] | None = field(default=None, repr=False, compare=False)
    prepare: Callable[..., Any] | None = field(default=None, repr=False, compare=False)
    prepared_bytes: int = 0
    barrier: str | None = None
    unsupported: str | None = None
    view_of: int | None = None
    overwrites: int | None = None
    state_bytes: int = 0
    state_values: int = 0
    workspace: Callable[[int], int] | None = field(default=None, repr=False, compare=False)
    discarded: Callable[[int, int], int] | None = field(default=None, repr=False, compare=False)
    macs: int = 0
    bitwise: bool = True
    coded_bits: int | None = None
    module: str = ""
    source: str | None = None
    target: str = ""

    @property
    def nbytes(self) -> int:
        """Bytes of the whole value."""
        return prod(self.shape) * self.itemsize

    @property
    def height(self) -> int:
        """Rows of the value; 0 where it has none."""
        return self.rows.count if self.rows else 0

    @property
    def row_bytes(self) -> int:
        """Bytes of one row of the value."""
        return self.nbytes // self.rows.count if self.rows and self.rows.count else 0

    @property
    def place(self) -> str:
        """Where the user finds it: operator, module path and source line."""
        where = f"{self.target or self.operator}"
        if self.module:
            where += f" in module '{self.module}'"
        return where + (f" at {self.source}" if self.source else " (the file has no source lines)")


@dataclass(frozen=True)
class RowGraph:
    """A network as a row graph at one size of its inputs.

    Attributes:
        nodes: in an order in which inputs come first.
        inputs: indices of the nodes that are the user's inputs, in the order of the network's signature.
        outputs: indices of the nodes that are its outputs, flattened; `structure` puts them together again.
        constants: for nodes that are weights, buffers or other constants, their tensor.
        constant_bytes: bytes of these, each storage once.
        lingers: rows of an input that are kept longer than its need says, by (reader, position): where the image may
            end at any row, what a padding would then need of it.
    """

    nodes: tuple[Node, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    constants: Mapping[int, Any] = field(default_factory=dict, repr=False, compare=False)
    constant_bytes: int = 0
    lingers: Mapping[tuple[int, int], int] = field(default_factory=dict)
    structure: Any = field(default=None, repr=False, compare=False)
    input_structure: Any = field(default=None, repr=False, compare=False)

    def consumers(self) -> list[list[tuple[int, int]]]:
        """For each node the (consumer, position) pairs that read it."""
        result: list[list[tuple[int, int]]] = [[] for _ in self.nodes]
        for node in self.nodes:
            for position, source in enumerate(node.inputs):
                result[source].append((node.index, position))
        return result

    @property
    def refusals(self) -> list[Node]:
        """The nodes that keep the network from running in one pass."""
        return [node for node in self.nodes if node.unsupported or node.barrier]
