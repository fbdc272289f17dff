"""A network with rows and columns exchanged, so that what is known of rows tells about columns.

The exported program is run again on transposed images. Operators that look at neighbours (convolution, pooling,
padding, resizing) are called with their two-dimensional arguments exchanged; every other operator is given its inputs
the right way round, and what it makes is transposed again. Only the row needs of the result are of use: where an
operator orders channels by place (pixel shuffle), they come in another order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind
from torch.utils._pytree import tree_map

from narrows.errors import CaptureError
from narrows.rowgraph.capture import capture, export_at
from narrows.rowgraph.graph import RowGraph

__all__ = ["transposed_graph"]

_NEIGHBOURS = """
    conv2d conv_transpose2d convolution max_pool2d max_pool2d_with_indices avg_pool2d adaptive_avg_pool2d
    _adaptive_avg_pool2d adaptive_max_pool2d pad constant_pad_nd reflection_pad2d replication_pad2d upsample_nearest2d
    _upsample_nearest_exact2d upsample_bilinear2d upsample_bicubic2d _upsample_bilinear2d_aa _upsample_bicubic2d_aa
"""
_LOOKS_AT_NEIGHBOURS = frozenset(_NEIGHBOURS.split())
_TREATS_BOTH_ALIKE = frozenset(
    {"batch_norm", "instance_norm", "group_norm", "pixel_shuffle", "pixel_unshuffle", "channel_shuffle"}
)
_PAIRS = frozenset({"kernel_size", "stride", "padding", "dilation", "output_padding", "output_size", "scale_factors"})


def transposed_graph(program: ExportedProgram) -> RowGraph:
    """The row graph of `program` with rows and columns exchanged.

    Raises:
        CaptureError: it can't be exported so.
    """
    kinds = {spec.arg.name: spec.kind for spec in program.graph_signature.input_specs}
    images = [
        node.meta.get("val")
        for node in program.graph.nodes
        if node.op == "placeholder" and kinds[node.name] is InputKind.USER_INPUT
    ]
    if not all(isinstance(image, torch.Tensor) for image in images):
        raise CaptureError("an input is not a tensor")
    blank = [torch.zeros((1,) * image.dim(), dtype=image.dtype).expand(_exchanged(image.shape)) for image in images]
    return capture(export_at(_Transposed(program).eval(), blank, {}))


def _exchanged(shape: Sequence[int]) -> tuple[int, ...]:
    return (*shape[:-2], shape[-1], shape[-2]) if len(shape) >= 3 else tuple(shape)


class _Transposed(torch.nn.Module):
    def __init__(self, program: ExportedProgram):
        super().__init__()
        self.program = [program]  # in a list, so that its weights are constants and no parameters of this module

    def forward(self, *images: torch.Tensor) -> Any:
        (program,) = self.program
        return _Interpreter(program, images).run()


class _Interpreter(torch.fx.Interpreter):
    """Every value that depends on an image is transposed if it has three dimensions or more."""

    def __init__(self, program: ExportedProgram, images: Sequence[torch.Tensor]):
        super().__init__(program.graph_module)
        self.program = program
        self.images = iter(images)
        self.specs = {spec.arg.name: spec for spec in program.graph_signature.input_specs}
        self.of_image: set[torch.fx.Node] = set()

    def run_node(self, n: torch.fx.Node) -> Any:
        if n.op == "placeholder":
            return self._placeholder(n)
        args, kwargs = self.fetch_args_kwargs_from_env(n)
        if n.op == "output":
            return args[0][len(args[0]) - len(self.program.graph_signature.user_outputs) :]
        if n.op != "call_function":
            raise CaptureError(f"the network holds a nested graph ({n.target})")
        if self.of_image.isdisjoint(n.all_input_nodes):
            return super().run_node(n)
        self.of_image.add(n)
        func: Any = n.target
        if not isinstance(func, torch._ops.OpOverload):
            return func(*args, **kwargs)
        name = str(func).split(".")[1].removesuffix("_")
        if name in _TREATS_BOTH_ALIKE:
            return func(*args, **kwargs)
        if name in _LOOKS_AT_NEIGHBOURS and n.args[0] in self.of_image and args[0].dim() >= 3:
            return func(**_exchanged_arguments(func, args, kwargs))
        args, kwargs = torch.fx.node.map_arg((n.args, n.kwargs), self._upright)
        return tree_map(_transposed, func(*args, **kwargs))

    def _placeholder(self, n: torch.fx.Node) -> Any:
        spec = self.specs[n.name]
        if spec.kind is InputKind.USER_INPUT:
            self.of_image.add(n)
            return next(self.images)
        held = self.program.state_dict if spec.target in self.program.state_dict else self.program.constants
        return held[spec.target]

    def _upright(self, n: torch.fx.Node) -> Any:
        value = self.env[n]
        return tree_map(_transposed, value) if n in self.of_image else value


def _transposed(value: Any) -> Any:
    return value.transpose(-1, -2) if isinstance(value, torch.Tensor) and value.dim() >= 3 else value


def _exchanged_arguments(func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a call by name, rows and columns exchanged. The first one, an image, is transposed already."""
    names = [argument.name for argument in func._schema.arguments]
    given = dict(zip(names, args, strict=False)) | kwargs
    found = dict(given)
    for name, value in given.items():
        if name == "weight":
            found[name] = _transposed(value)
        elif name == "pad" or (isinstance(value, (list, tuple)) and len(value) == 4):
            columns, rows, rest = value[:2], value[2:4] or [0, 0], value[4:]
            found[name] = [*rows, *columns, *rest]
        elif name in _PAIRS and isinstance(value, (list, tuple)):
            found[name] = list(reversed(value))
    if "scales_h" in given or "scales_w" in given:
        found["scales_h"], found["scales_w"] = given.get("scales_w"), given.get("scales_h")
    return found
