"""From a PyTorch network to its row graph, at one size of its inputs.

The network is exported with `torch.export` at the very size of the image, on tensors that take no memory, so that
every shape is a plain fact; then each ATen call is looked up in the registry of operators.
"""

from __future__ import annotations

import operator as python_operator
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind
from torch.utils import _pytree as pytree

import narrows.rowgraph.operators  # noqa: F401  (registers every family)
from narrows.errors import CaptureError
from narrows.rowgraph.composites import taken_apart
from narrows.rowgraph.fold import Fold, find_folds, folded_constants
from narrows.rowgraph.graph import Node, RowGraph
from narrows.rowgraph.positions import Positions
from narrows.rowgraph.program import Program
from narrows.rowgraph.provenance import lines_of_helpers, module_path, source_line
from narrows.rowgraph.registry import Call, Operator, Refusal, Value, lookup, macs_of
from narrows.rowgraph.rows import Axis

__all__ = ["capture", "export_at", "taken_apart_program"]

_RANDOM = (
    "it draws random numbers, which a streamed run can't draw as the full frame would; switch it off "
    "(model.eval(), or training=False) or draw them beforehand and pass them in"
)
_UNKNOWN = (
    "no rule for this operator is known; write it with others, or register one with narrows.rowgraph.registry.operator"
)
_WHOLE = (
    "its weight or table is computed from rows of the image, and would be whole only once the last row has come; "
    "compute it beforehand and pass it in"
)
_IGNORED = ("aten._assert_tensor_metadata.default", "aten._assert_scalar.default", "aten._assert_async.msg")


def export_at(model: torch.nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any]) -> ExportedProgram:
    """Export `model` (in eval mode) with the shapes and dtypes of `args` and `kwargs`.

    Raises:
        CaptureError: the network is in training mode or can't be exported; the message says what PyTorch said.
    """
    if model.training:
        raise CaptureError("the network is in training mode; call model.eval() first")
    try:
        with torch.no_grad(), warnings.catch_warnings(), lines_of_helpers():
            warnings.simplefilter("ignore")
            return torch.export.export(model, tuple(args), dict(kwargs), strict=False)
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise CaptureError(f"the network can't be captured at this size: {reason}") from error


def taken_apart_program(program: ExportedProgram) -> Program:
    """The calls of an exported network, composite operators taken apart.

    Raises:
        CaptureError: the network takes something that is not a tensor.
    """
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = taken_apart(program.run_decompositions({}))
    tensors: dict[str, torch.Tensor] = {}
    images = []
    for spec in program.graph_signature.input_specs:
        name = spec.arg.name
        if spec.kind in (InputKind.PARAMETER, InputKind.BUFFER, InputKind.CONSTANT_TENSOR):
            held = program.state_dict if spec.target in program.state_dict else program.constants
            tensors[name] = held[str(spec.target)]
        elif spec.kind is InputKind.USER_INPUT:
            images.append(name)
        else:
            raise CaptureError(f"the network takes something that is not a tensor: {name}")
    outputs = len(program.graph_signature.user_outputs)
    calls = program.call_spec
    return Program(program.graph, tensors, tuple(images), outputs, calls.out_spec, calls.in_spec)


def capture(program: ExportedProgram | Program, *, fold: bool = True) -> RowGraph:
    """The row graph of an exported network; without `fold`, batch norm and ReLU stay operators of their own.

    Inputs of three and more dimensions have rows in the last dimension but one; others are values without rows.
    An operator that is not in the registry stays in the graph, marked as unsupported; nothing is refused here.
    """
    if isinstance(program, ExportedProgram):
        program = taken_apart_program(program)
    try:
        return _Builder(program, fold).build()
    except Exception as error:
        # Imported late: it brings half a second of other modules along, which only an export needs.
        from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode

        if not isinstance(error, GuardOnDataDependentSymNode):
            raise
        raise CaptureError(
            "the size of some value depends on what the image (or a mask) holds; "
            "pick by a table of places instead of a mask"
        ) from error


class _Builder:
    def __init__(self, program: Program, fold: bool):
        self.program = program
        self.nodes: list[Node] = []
        self.constants: dict[int, torch.Tensor] = {}
        self.inputs: list[int] = []
        self.values: dict[str, Value | tuple[Any, ...] | Any] = {}
        self.folds: dict[str, Fold] = find_folds(program.graph) if fold else {}
        self.positions = Positions(self._append)
        self.folded_away = {name: fold for fold in self.folds.values() for name in fold.absorbed}

    def build(self) -> RowGraph:
        outputs: tuple[Any, ...] = ()
        for fx in self.program.graph.nodes:
            if fx.op == "placeholder":
                self._placeholder(fx)
            elif fx.op == "call_function":
                self._call(fx)
            elif fx.op == "get_attr":
                raise CaptureError(f"the network holds a nested graph ({fx.target}) that can't be captured")
            elif fx.op == "output":
                outputs = tuple(fx.args[0])
        picked = []
        for fx in outputs[len(outputs) - self.program.outputs :]:
            value = self.values[fx.name] if isinstance(fx, torch.fx.Node) else None
            if not isinstance(value, Value):
                raise CaptureError("the network returns something that is not a tensor")
            picked.append(value.node)
        return self._prune(picked)

    def _placeholder(self, fx: torch.fx.Node) -> None:
        if fx.name in self.program.tensors:
            tensor = self.program.tensors[fx.name]
            value = self._append(fx.name, Operator("constant", (), None, None), tensor.shape, tensor.dtype)
            self.constants[value.node] = tensor.detach()
            self.values[fx.name] = value
            return
        fake = fx.meta.get("val")
        if not isinstance(fake, torch.Tensor):
            self.values[fx.name] = fake
            return
        rows = Axis(fake.dim() - 2, fake.shape[-2]) if fake.dim() >= 3 else None
        columns = Axis(fake.dim() - 1, fake.shape[-1]) if rows else None
        value = self._append(fx.name, Operator("input", (), None, rows, columns=columns), fake.shape, fake.dtype)
        self.inputs.append(value.node)
        self.values[fx.name] = value

    def _call(self, fx: torch.fx.Node) -> None:
        target = str(fx.target)
        if fx.target is python_operator.getitem:
            self._getitem(fx)
            return
        if target in _IGNORED:
            return
        if fx.name in self.folded_away:
            self.values[fx.name] = self.values[self.folded_away[fx.name].convolution]
            return
        if not isinstance(fx.target, torch._ops.OpOverload):
            scalar = _try_scalar(fx, self._resolve)
            if scalar is not None:
                self.values[fx.name] = scalar
                return
            raise CaptureError(f"the network calls {target}, which can't be captured as a row graph")
        if fx.name in self.folds and not self._can_fold(fx):
            for name in self.folds.pop(fx.name).absorbed:
                del self.folded_away[name]
        call = self._as_call(fx, target)
        # Attention and recurrences are tagged for the dropout that they may hold.
        may_drop = "dropout_p" in call.arguments or call.get("train", True) is False
        if torch.Tag.nondeterministic_seeded in fx.target.tags and not may_drop:
            self.values[fx.name] = self._refused(fx, call, _RANDOM)
            return
        if all(value.rows is None for value in call.values):
            self.values[fx.name] = self._whole(fx, call)
            return
        self.values[fx.name] = self._rowed(fx, call)

    def _can_fold(self, fx: torch.fx.Node) -> bool:
        """Whether a strip comes in, and every statistic is at hand: computed before, and not from rows."""
        statistics = [s for s in self.folds[fx.name].statistics or () if isinstance(s, torch.fx.Node)]
        if not all(statistic.name in self.values for statistic in statistics):
            return False
        return self._has_rows(fx.args[0]) and not any(self._has_rows(statistic) for statistic in statistics)

    def _has_rows(self, argument: Any) -> bool:
        value = self._resolve(argument)
        return isinstance(value, Value) and value.rows is not None

    def _as_call(self, fx: torch.fx.Node, target: str) -> Call:
        arguments: dict[str, Any] = {}
        schema = fx.target._schema  # type: ignore[union-attr]
        positional = list(fx.args)
        for place, argument in enumerate(schema.arguments):
            if place < len(positional):
                arguments[argument.name] = self._resolve(positional[place])
            elif argument.name in fx.kwargs:
                arguments[argument.name] = self._resolve(fx.kwargs[argument.name])
            else:
                arguments[argument.name] = argument.default_value if argument.has_default_value() else None
        if fx.name in self.folds:
            self._fold(fx, arguments)
        fake = fx.meta["val"]
        fakes = fake if isinstance(fake, (tuple, list)) else (fake,)
        results = tuple(
            (tuple(item.shape), item.dtype) if isinstance(item, torch.Tensor) else ((), torch.float32) for item in fakes
        )
        return Call(target, arguments, results)

    def _resolve(self, argument: Any) -> Any:
        if isinstance(argument, torch.fx.Node):
            return self.values[argument.name]
        if isinstance(argument, (list, tuple)):
            return [self._resolve(item) for item in argument]
        return argument

    def _fold(self, fx: torch.fx.Node, arguments: dict[str, Any]) -> None:
        fold = self.folds[fx.name]
        arguments["activation"] = fold.activation
        if fold.statistics is None:
            return
        statistics = [self._resolve(item) for item in fold.statistics]
        weight, bias = arguments["weight"], arguments["bias"]
        sources = [item for item in (weight, bias, *statistics) if isinstance(item, Value)]
        present = tuple(isinstance(item, Value) for item in (weight, bias, *statistics))
        transposed = "transpose" in str(fx.target)
        for part, shape in (("weight", weight.shape), ("bias", (fold.channels,))):
            compute = folded_constants(part, present, fold.epsilon, transposed, arguments.get("groups") or 1)
            spec = Operator(f"folded {part}", tuple(sources), compute, None)
            arguments[part] = self._append(f"{fx.name}_{part}", spec, shape, weight.dtype, fx=fx)

    def _getitem(self, fx: torch.fx.Node) -> None:
        source, place = fx.args
        assert isinstance(source, torch.fx.Node) and isinstance(place, int)
        if fx.name in self.folded_away:
            self.values[fx.name] = self.values[self.folded_away[fx.name].convolution]
            return
        value = self.values[source.name]
        self.values[fx.name] = value[place](fx.name) if isinstance(value, tuple) else value

    def _whole(self, fx: torch.fx.Node, call: Call) -> Any:
        """A call on values without rows is one whole computation, by PyTorch itself."""
        values = tuple(dict.fromkeys(call.values))
        order = {value.node: place for place, value in enumerate(values)}
        function, args, kwargs = fx.target, fx.args, fx.kwargs
        resolved_args, resolved_kwargs = (
            self._resolve(list(args)),
            {k: self._resolve(v) for k, v in kwargs.items()},
        )

        def at(place: int | None) -> Any:
            def compute(inputs: list[torch.Tensor]) -> torch.Tensor:
                def put(item: Any) -> Any:
                    return inputs[order[item.node]] if isinstance(item, Value) else item

                leaves_args = pytree.tree_map(put, resolved_args, is_leaf=lambda item: isinstance(item, Value))
                leaves_kwargs = pytree.tree_map(put, resolved_kwargs, is_leaf=lambda item: isinstance(item, Value))
                result = function(*leaves_args, **leaves_kwargs)  # type: ignore[operator]
                return result if place is None else result[place]

            return compute

        def make(name: str, place: int | None) -> Value:
            shape, dtype = call.results[place or 0]
            spec = Operator(_kind(call.target), values, at(place), None, macs=0 if place else macs_of(call) or 0)
            value = self._append(name, spec, shape, dtype, fx=fx)
            self.positions.remember(value, call, place or 0, fx)
            return value

        if isinstance(fx.meta["val"], (tuple, list)):
            return tuple((lambda name, place=place: make(name, place)) for place in range(len(call.results)))
        return make(fx.name, None)

    def _rowed(self, fx: torch.fx.Node, call: Call) -> Any:
        rule = lookup(call.target)
        unsupported = None
        specs: Operator | tuple[Operator, ...] | None = None
        if rule is None:
            unsupported = _UNKNOWN
        else:
            try:
                specs = _checked(rule(self.positions.with_rows(call)))
            except Refusal as refusal:
                unsupported = str(refusal)
        if specs is None:
            return self._refused(fx, call, unsupported or _UNKNOWN)
        if isinstance(specs, tuple):
            return tuple(
                (
                    lambda name, place=place: self._append(
                        name, specs[place], *call.results[place], fx=fx, unsupported=unsupported
                    )
                )
                for place in range(len(specs))
            )
        return self._append(fx.name, specs, *call.results[0], fx=fx, unsupported=unsupported)

    def _refused(self, fx: torch.fx.Node, call: Call, why: str) -> Any:
        blank = Operator(
            _kind(call.target), tuple(dict.fromkeys(call.values)), None, None, needs=(), macs=macs_of(call) or 0
        )

        def make(name: str, place: int) -> Value:
            return self._append(name, blank, *call.results[place], fx=fx, unsupported=why)

        if isinstance(fx.meta["val"], (tuple, list)):
            return tuple((lambda name, place=place: make(name, place)) for place in range(len(call.results)))
        return make(fx.name, 0)

    def _append(
        self,
        name: str,
        spec: Operator,
        shape: Sequence[int],
        dtype: torch.dtype,
        fx: torch.fx.Node | None = None,
        unsupported: str | None = None,
    ) -> Value:
        index = len(self.nodes)
        shape = tuple(int(size) for size in shape)
        columns = spec.columns or _same_columns(spec, shape)
        needs = spec.row_needs() if not unsupported else tuple(None for _ in spec.inputs)
        self.nodes.append(
            Node(
                index=index,
                name=name,
                operator=spec.kind,
                inputs=tuple(value.node for value in spec.inputs),
                needs=needs,
                shape=shape,
                dtype=str(dtype).removeprefix("torch."),
                itemsize=dtype.itemsize,
                rows=spec.rows,
                columns=columns,
                compute=spec.compute,
                prepare=spec.prepare,
                prepared_bytes=spec.prepared_bytes,
                barrier=spec.barrier,
                unsupported=unsupported,
                view_of=spec.view_of,
                overwrites=spec.overwrites,
                state_bytes=spec.state_bytes,
                state_values=spec.state_values,
                coded_bits=spec.coded_bits,
                workspace=spec.workspace,
                discarded=spec.discarded,
                macs=spec.macs,
                bitwise=spec.bitwise,
                module=module_path(fx) if fx is not None else "",
                source=source_line(fx) if fx is not None else None,
                target=str(fx.target) if fx is not None else "",
            )
        )
        return Value(index, shape, dtype, spec.rows, columns, spec.extra)

    def _prune(self, outputs: list[int]) -> RowGraph:
        """Keep what the outputs need, and every input, renumbered."""
        wanted = set(outputs) | set(self.inputs)
        for node in reversed(self.nodes):
            if node.index in wanted:
                wanted.update(node.inputs)
        order = sorted(wanted)
        place = {old: new for new, old in enumerate(order)}
        nodes = tuple(
            _renumbered(self.nodes[old], place[old], tuple(place[i] for i in self.nodes[old].inputs)) for old in order
        )
        constants = {place[old]: tensor for old, tensor in self.constants.items() if old in place}
        storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in constants.values()}
        return RowGraph(
            nodes=nodes,
            inputs=tuple(place[i] for i in self.inputs),
            outputs=tuple(place[i] for i in outputs),
            constants=constants,
            constant_bytes=sum(storages.values()),
            structure=self.program.structure,
            input_structure=self.program.input_structure,
        )


def _renumbered(node: Node, index: int, inputs: tuple[int, ...]) -> Node:
    return Node(**{**node.__dict__, "index": index, "inputs": inputs})


def _checked(specs: Operator | tuple[Operator, ...]) -> Operator | tuple[Operator, ...]:
    """Refuses what would read rows of the image as a whole, and is not a barrier that says so itself."""
    for spec in specs if isinstance(specs, tuple) else (specs,):
        needs = zip(spec.inputs, spec.row_needs(), strict=True)
        if not spec.barrier and any(value.rows and need is None for value, need in needs):
            raise Refusal(_WHOLE)
    return specs


def _same_columns(spec: Operator, shape: tuple[int, ...]) -> Axis | None:
    """Columns stay where they were in operators that keep the rows where they were."""
    if spec.rows is None:
        return None
    for value in spec.inputs:
        if value.rows and value.columns and len(value.shape) == len(shape) and value.rows.dim == spec.rows.dim:
            return Axis(value.columns.dim, shape[value.columns.dim])
    return None


def _kind(target: str) -> str:
    parts = target.split(".")
    return parts[1] if len(parts) > 1 else target


def _try_scalar(fx: torch.fx.Node, resolve: Any) -> Any:
    """Integer arithmetic on sizes, which an exported program may hold as plain Python calls."""
    if all(not isinstance(item, torch.fx.Node) for item in pytree.tree_leaves((fx.args, fx.kwargs))):
        value = fx.target(*fx.args, **fx.kwargs)  # type: ignore[operator]
        return value if isinstance(value, (int, float, bool)) else None
    arguments = resolve(list(fx.args))
    if all(isinstance(item, (int, float, bool)) for item in arguments):
        return fx.target(*arguments)  # type: ignore[operator]
    return None
