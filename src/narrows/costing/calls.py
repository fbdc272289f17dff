"""The calls of an exported network, each with what it computes and moves, and the peak if tensors are freed at once.

The program is interpreted on tensors without memory, before it is made functional: its calls are those of the user's
Python, with in-place forms, unfused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

import torch
from torch._subclasses import FakeTensorMode
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind

from narrows.costing.counting import call_of, functional_name, is_elementwise, macs_of_call
from narrows.costing.report import OperatorCost, Peak
from narrows.costing.storages import Storages, tensors_in
from narrows.errors import CaptureError
from narrows.rowgraph.provenance import module_path, source_line

__all__ = ["Traced", "trace"]


@dataclass(frozen=True)
class Access:
    """The storages that a call reads and writes, by number; weights are left out."""

    reads: frozenset[int]
    writes: frozenset[int]


@dataclass(frozen=True)
class Traced:
    """An exported network's calls, in order.

    Attributes:
        operators: the calls.
        accesses: for each its storages.
        stacks: for each its modules from the outermost in: (path, class).
        peak: if each tensor is freed at its last use.
        parameters: elements of each parameter, by its name in the network, each storage once.
        weight_bytes: bytes of parameters and buffers, each storage once.
    """

    operators: tuple[OperatorCost, ...]
    accesses: tuple[Access, ...]
    stacks: tuple[tuple[tuple[str, str], ...], ...]
    peak: Peak
    parameters: Mapping[str, int]
    weight_bytes: int


@dataclass
class _Inner:
    """What was dispatched inside one call."""

    macs: int | None = 0
    functions: list[Any] = field(default_factory=list)


def trace(program: ExportedProgram) -> Traced:
    """Interpret `program` (not made functional) on fake tensors."""
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    with mode, torch.no_grad():
        return _Interpreter(program, mode).traced()


class _Interpreter(torch.fx.Interpreter):
    def __init__(self, program: ExportedProgram, mode: FakeTensorMode):
        super().__init__(program.graph_module, garbage_collect_values=True)
        self.program = program
        self.mode = mode
        self.inner = _Inner()
        self.here: tuple[str, str | None] = ("", None)
        self.storages = Storages(lambda: self.here, self._dispatched)
        self.constants: dict[int, bool] = {}
        self.parameters: dict[str, int] = {}
        self.weight_bytes = 0
        self.specs = {spec.arg.name: spec for spec in program.graph_signature.input_specs}
        self.operators: list[OperatorCost] = []
        self.accesses: list[Access] = []
        self.stacks: list[tuple[tuple[str, str], ...]] = []
        self.weights: list[torch.Tensor] = []

    def traced(self) -> Traced:
        with self.storages:
            self.run()
        return Traced(
            tuple(self.operators),
            tuple(self.accesses),
            tuple(self.stacks),
            self._by_call(self.storages.peak()),
            self.parameters,
            self.weight_bytes,
        )

    def _by_call(self, peak: Peak) -> Peak:
        return replace(peak, timeline=tuple((op.name, op.peak_bytes) for op in self.operators))

    def run_node(self, n: torch.fx.Node) -> Any:
        if n.op == "placeholder":
            return self._placeholder(n)
        if n.op == "output":
            args, _ = self.fetch_args_kwargs_from_env(n)
            self.storages.result(args)
            return args[0]
        if n.op != "call_function":
            raise CaptureError(f"the network holds a nested graph ({n.target}) that can't be costed")
        if not isinstance(n.target, torch._ops.OpOverload):
            if isinstance(n.target, torch._ops.HigherOrderOperator):
                raise CaptureError(
                    f"the network calls {n.target}, a function with a graph inside, that can't be costed"
                )
            return super().run_node(n)
        return self._call(n)

    def _placeholder(self, n: torch.fx.Node) -> Any:
        spec = self.specs[n.name]
        if spec.kind in (InputKind.PARAMETER, InputKind.BUFFER, InputKind.CONSTANT_TENSOR):
            held = self.program.state_dict if spec.target in self.program.state_dict else self.program.constants
            tensor = held[spec.target]
            fake = self.mode.from_tensor(tensor)
            storage = fake.untyped_storage()
            if storage._cdata not in self.constants:
                self.weight_bytes += storage.nbytes()
                if spec.kind is InputKind.PARAMETER:
                    self.parameters[spec.target] = tensor.numel()
            self.constants[storage._cdata] = spec.kind is InputKind.PARAMETER
            self.weights.append(fake)
            self.storages.constant(fake)
            return fake
        example = n.meta.get("val")
        if not isinstance(example, torch.Tensor):
            return example
        given = torch.empty(tuple(example.shape), dtype=example.dtype)
        self.storages.given(given)
        return given

    def _call(self, n: torch.fx.Node) -> Any:
        args, kwargs = self.fetch_args_kwargs_from_env(n)
        func: Any = n.target
        self.here = (module_path(n), source_line(n))
        self.inner = _Inner()
        first = len(self.storages.events)
        read = list(tensors_in((args, kwargs)))
        result = func(*args, **kwargs)
        made = list(tensors_in(result))
        call = call_of(func, args, kwargs, result)
        held = {tensor.untyped_storage()._cdata for tensor in read}
        written = self._written(func, args, kwargs)
        # A composite that only looks elsewhere (reshape, chunk, to) is a view as well; one that copies isn't.
        shares = all(tensor.untyped_storage()._cdata in held for tensor in made)
        is_view = bool(made) and bool(read) and shares and not written
        macs = macs_of_call(func, call, is_view=is_view)
        if macs is None and self.inner.functions and self.inner.functions != [func]:
            macs = self.inner.macs
        name = functional_name(str(func))
        weights = _unique([t for t in read if t.untyped_storage()._cdata in self.constants])
        reads = sum(_elements(t) * t.element_size() for t in _unique(read))
        writes = sum(t.numel() * t.element_size() for t in (written or made))
        elements = sum(_elements(t) for t in _unique(read)) + sum(t.numel() for t in (written or made))
        launched = not is_view and bool(made or written) and not name.startswith("aten._assert")
        events = self.storages.events[first:]
        self.storages.forget_freed()
        self.operators.append(
            OperatorCost(
                index=len(self.operators),
                name=n.name,
                kind=name.split(".")[1] if "." in name else name,
                target=str(func),
                module=self.here[0],
                source=self.here[1],
                inputs=tuple(tuple(tensor.shape) for tensor in read),
                outputs=tuple(tuple(tensor.shape) for tensor in made),
                dtype=str(made[0].dtype).removeprefix("torch.") if made else "",
                macs=macs,
                parameters=sum(t.numel() for t in weights if self.constants[t.untyped_storage()._cdata])
                if launched
                else 0,
                bytes_read=reads if launched else 0,
                bytes_written=writes if launched else 0,
                weight_bytes=sum(t.numel() * t.element_size() for t in weights) if launched else 0,
                memory_access=elements if launched else 0,
                elementwise=launched and is_elementwise(func, call),
                launched=launched,
                in_place=bool(written),
                peak_bytes=max((event.held for event in events), default=self.storages.now),
            )
        )
        self.accesses.append(Access(self._numbered(read), self._numbered(written or ([] if is_view else made))))
        self.stacks.append(_stack(n))
        return result

    def _written(self, func: Any, args: Any, kwargs: Any) -> list[torch.Tensor]:
        found: list[torch.Tensor] = []
        for place, argument in enumerate(func._schema.arguments):
            if argument.alias_info is not None and argument.alias_info.is_write:
                value = args[place] if place < len(args) else kwargs.get(argument.name)
                found.extend(tensors_in(value))
        return found

    def _numbered(self, tensors: list[torch.Tensor]) -> frozenset[int]:
        """Numbers for storages that outlive them: an address may be used again."""
        return frozenset(self.storages.number(t) for t in tensors if t.untyped_storage()._cdata not in self.constants)

    def _dispatched(self, func: Any, args: Any, kwargs: Any, result: Any) -> None:
        call = call_of(func, args, kwargs, result)
        self.inner.functions.append(func)
        is_view = func.is_view
        macs = macs_of_call(func, call, is_view=is_view)
        if macs is None or self.inner.macs is None:
            self.inner.macs = None
        else:
            self.inner.macs += macs


def _stack(n: torch.fx.Node) -> tuple[tuple[str, str], ...]:
    found = (n.meta.get("nn_module_stack") or {}).values()
    return tuple((str(path), kind if isinstance(kind, str) else kind.__name__) for path, kind in found)


def _unique(tensors: list[torch.Tensor]) -> list[torch.Tensor]:
    """Each place in memory once: ``x * x`` reads x once."""
    seen: dict[Any, torch.Tensor] = {}
    for tensor in tensors:
        key = (tensor.untyped_storage()._cdata, tensor.storage_offset(), tuple(tensor.shape), tensor.stride())
        seen.setdefault(key, tensor)
    return list(seen.values())


def _elements(tensor: torch.Tensor) -> int:
    """Distinct elements: a dimension that is expanded is read once."""
    return prod(size for size, stride in zip(tensor.shape, tensor.stride(), strict=True) if stride != 0)
