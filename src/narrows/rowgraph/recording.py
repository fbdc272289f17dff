"""The calls of a network, kept in a file, so that it need not be exported again.

`torch.export` takes as long as mapping a small scene. Where no call of a network depends on the size of the image
(as in a network whose sides are whole multiples of its stride, so that nothing is padded or cropped), its calls can be
kept and used at every such size. A recording is JSON::

    {
      "multiple": 8,                                      rows and columns are whole multiples of this
      "image": "reflectance",                             the one input
      "tensors": {"p_stem_weight": "stem.weight", ...},   placeholder and name in the state_dict, all of them
      "calls": [
        {"name": "conv2d", "target": "aten.conv2d.default", "args": [{"of": "reflectance"}, {"of": "p_stem_weight"}, 2],
         "module": "stem", "source": "network.py:12"}, ...],
      "output": "sigmoid"
    }
"""

from __future__ import annotations

import json
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils import _pytree as pytree

from narrows.errors import CaptureError
from narrows.rowgraph.cutting import overload
from narrows.rowgraph.program import Program
from narrows.rowgraph.provenance import module_path, source_line

__all__ = ["Recording"]

_GETITEM = "getitem"


@dataclass(frozen=True)
class Recording:
    """Calls of one image in and one out, both (N, C, H, W), that serve for every H and W that `multiple` divides.

    The shapes of the values inside grow with H and W: none has a size of its own.
    """

    multiple: int
    image: str
    tensors: Mapping[str, str]
    calls: Sequence[Mapping[str, Any]]
    output: str

    @classmethod
    def of(cls, program: Program, names: Mapping[str, str], multiple: int) -> Recording:
        """Keep `program`; `names` are the names of its tensors in the state_dict, by placeholder.

        Raises:
            CaptureError: it has several inputs or outputs, or a call takes what JSON doesn't hold.
        """
        if len(program.images) != 1 or program.outputs != 1:
            raise CaptureError("a recording is of one image in and one out")
        calls: list[Mapping[str, Any]] = []
        output = ""
        for fx in program.graph.nodes:
            if fx.op == "call_function":
                call = {"name": fx.name, "target": _name_of(fx.target), "args": [_plain(item) for item in fx.args]}
                if fx.kwargs:
                    call["kwargs"] = {name: _plain(item) for name, item in fx.kwargs.items()}
                calls.append(call | {"module": module_path(fx), "source": source_line(fx)})
            elif fx.op == "output":
                output = fx.args[0][-1].name
        return cls(multiple, program.images[0], dict(names), tuple(calls), output)

    @classmethod
    def read(cls, path: Path) -> Recording:
        """A recording from its file."""
        held = json.loads(path.read_text(encoding="utf-8"))
        return cls(held["multiple"], held["image"], held["tensors"], tuple(held["calls"]), held["output"])

    def text(self) -> str:
        """The file of this recording: a line for each call."""
        calls = ",\n".join(f"  {json.dumps(call)}" for call in self.calls)
        tensors = ",\n".join(f"  {json.dumps(name)}: {json.dumps(held)}" for name, held in self.tensors.items())
        return (
            f'{{\n "multiple": {self.multiple},\n "image": {json.dumps(self.image)},\n "tensors": {{\n{tensors}\n }},\n'
            f' "calls": [\n{calls}\n ],\n "output": {json.dumps(self.output)}\n}}\n'
        )

    def serves(self, state: Mapping[str, torch.Tensor], shapes: Sequence[tuple[int, ...]]) -> bool:
        """Whether these are the calls of a network with exactly the tensors of `state`, for images of these shapes."""
        if len(shapes) != 1 or len(shapes[0]) != 4 or sorted(self.tensors.values()) != sorted(state):
            return False
        return all(size > 0 and size % self.multiple == 0 for size in shapes[0][2:])

    def program(self, state: Mapping[str, torch.Tensor], shape: tuple[int, ...], dtype: torch.dtype) -> Program:
        """The calls with the tensors of `state`, for an image of `shape` (N, C, H, W), which `serves` has accepted.

        Shapes inside are those of a run at the smallest size, its rows and columns enlarged.
        """
        graph = torch.fx.Graph()
        small = torch.zeros(*shape[:2], self.multiple, self.multiple, dtype=dtype)
        enlarge = shape[2] // self.multiple, shape[3] // self.multiple
        nodes: dict[str, torch.fx.Node] = {}
        values: dict[str, Any] = {}
        tensors = {name: state[held].detach() for name, held in self.tensors.items()}
        for name, tensor in (*tensors.items(), (self.image, small)):
            nodes[name] = graph.create_node("placeholder", name, name=name)
            values[name] = tensor
            nodes[name].meta["val"] = tensor
        nodes[self.image].meta["val"] = _enlarged(small, *enlarge)
        with torch.no_grad():
            for call in self.calls:
                name, target = call["name"], _operator(call["target"])
                named = call.get("kwargs", {})
                value = target(
                    *_with(values, call["args"]), **{key: _with(values, item) for key, item in named.items()}
                )
                fx = graph.create_node(
                    "call_function",
                    target,
                    tuple(_with(nodes, call["args"])),
                    {key: _with(nodes, item) for key, item in named.items()},
                    name=name,
                )
                nodes[name], values[name] = fx, value
                fx.meta["val"] = pytree.tree_map(lambda item: _enlarged(item, *enlarge), value)
                fx.meta["nn_module_stack"] = {"": (call["module"], None)}
                file, _, line = (call["source"] or "").rpartition(":")
                fx.meta["stack_trace"] = f'File "{file}", line {line}' if file else None
        graph.create_node("output", "output", ((nodes[self.output],),))
        one = pytree.tree_structure(0)
        return Program(graph, tensors, (self.image,), 1, one, pytree.tree_structure(((0,), {})))


def _plain(item: Any) -> Any:
    if isinstance(item, torch.fx.Node):
        return {"of": item.name}
    if isinstance(item, (list, tuple)):
        return [_plain(each) for each in item]
    if item is None or isinstance(item, (bool, int, float, str)):
        return item
    raise CaptureError(f"a recording holds no {type(item).__name__}")


def _with(values: Mapping[str, Any], item: Any) -> Any:
    """A recorded argument, its references looked up."""
    if isinstance(item, dict):
        return values[item["of"]]
    return [_with(values, each) for each in item] if isinstance(item, list) else item


def _name_of(target: Any) -> str:
    return _GETITEM if target is operator.getitem else str(target)


def _operator(name: str) -> Any:
    return operator.getitem if name == _GETITEM else overload(name)


def _enlarged(value: Any, down: int, across: int) -> Any:
    """A tensor of the shape that `value` has where the image is larger; it takes the memory of one number."""
    if not isinstance(value, torch.Tensor) or value.dim() < 4:
        return value
    rows, columns = value.shape[-2] * down, value.shape[-1] * across
    return value.new_zeros((1,) * value.dim()).expand(*value.shape[:-2], rows, columns)
