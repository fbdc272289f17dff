"""Networks as people hand them over: a module, an exported program or a `.pt2` file, captured at a size."""

from __future__ import annotations

import os
import pickle
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind

from narrows.errors import CaptureError, InputError
from narrows.rowgraph.capture import capture, export_at
from narrows.rowgraph.graph import RowGraph
from narrows.rowgraph.program import Program
from narrows.rowgraph.recording import Recording

__all__ = [
    "Model",
    "Shape",
    "Shapes",
    "captured",
    "channels_of",
    "dtype_of",
    "exported",
    "image_inputs",
    "load_program",
    "loaded",
    "use_recording",
]

Model = torch.nn.Module | ExportedProgram | str | os.PathLike[str]
Shape = tuple[int, ...]
Shapes = Sequence[Shape] | Mapping[str, Shape]
Dtypes = torch.dtype | Sequence[torch.dtype] | Mapping[str, torch.dtype]
_COMPARED_APART = ("_parameters", "_buffers", "_modules")
_cache: weakref.WeakKeyDictionary[Any, dict[Any, RowGraph]] = weakref.WeakKeyDictionary()
_recordings: weakref.WeakKeyDictionary[torch.nn.Module, tuple[Any, Recording]] = weakref.WeakKeyDictionary()


def load_program(path: str | os.PathLike[str]) -> ExportedProgram:
    """An exported program from a `.pt2` file.

    Raises:
        InputError: there is no such file, or it is no exported program.
    """
    if not Path(path).is_file():
        raise InputError(f"there is no file {path}")
    try:
        return torch.export.load(path)
    except Exception as error:
        raise InputError(f"{path} is not an exported program (.pt2): {str(error).splitlines()[0]}") from error


def loaded(model: Model) -> torch.nn.Module | ExportedProgram:
    """`model`, read from its file if it is one."""
    return load_program(model) if isinstance(model, (str, os.PathLike)) else model


def dtype_of(model: torch.nn.Module | ExportedProgram) -> torch.dtype | None:
    """The dtype of the first floating-point weight; None where there is none."""
    if isinstance(model, ExportedProgram):
        tensors = list(model.state_dict.values())
    else:
        tensors = [*model.parameters(), *model.buffers()]
    return next((tensor.dtype for tensor in tensors if tensor.is_floating_point()), None)


def channels_of(model: torch.nn.Module | ExportedProgram) -> int | None:
    """Channels of the image that the network takes: of an exported program's first input, or what a module says in
    `in_channels`, else those of its first convolution in the order of definition; None where none tells."""
    if isinstance(model, ExportedProgram):
        shapes = _program_shapes(model)
        return int(shapes[0][-3]) if shapes and len(shapes[0]) >= 3 else None
    if isinstance(said := getattr(model, "in_channels", None), int):
        return said
    for module in model.modules():
        if isinstance(module, (torch.nn.Conv2d, torch.nn.ConvTranspose2d)):
            return module.in_channels
    return None


def _program_shapes(program: ExportedProgram) -> list[Any]:
    names = [s.arg.name for s in program.graph_signature.input_specs if s.kind is InputKind.USER_INPUT]
    nodes = {node.name: node for node in program.graph.nodes}
    return [nodes[name].meta["val"].shape for name in names if hasattr(nodes[name].meta.get("val"), "shape")]


def image_inputs(
    model: torch.nn.Module | ExportedProgram,
    height: int,
    width: int,
    *,
    channels: int | None = None,
    batch: int = 1,
    dtype: torch.dtype | None = None,
    inputs: Shapes | None = None,
) -> tuple[Shapes, torch.dtype]:
    """Whole shapes (N, C, H, W) of every input of a network that is to be looked at for an image, and their dtype.

    Args:
        channels: of the image; read from the network if None.
        dtype: of the image; that of the network's weights if None.
        inputs: the shapes themselves, for networks with several.

    Raises:
        InputError: the image is empty, or nothing tells how many channels it has.
    """
    if height < 1 or width < 1:
        raise InputError(f"an image has at least one row and one column, not {height} x {width}")
    kind = dtype or dtype_of(model) or torch.float32
    if inputs is not None:
        return inputs, kind
    channels = channels or channels_of(model)
    if channels is None:
        raise InputError("the network doesn't tell how many channels it takes; give channels")
    return [(batch, channels, height, width)], kind


def captured(
    model: torch.nn.Module | ExportedProgram, shapes: Shapes, dtypes: Dtypes, *, fold: bool = True
) -> RowGraph:
    """The row graph of `model` for inputs of these whole shapes (N, C, H, W) and dtypes (or one dtype for all).

    With `fold`, batch norm and ReLU become part of the convolution that alone feeds them, as in a streamed run; without
    it they stay operators of their own, as the user's Python runs them.

    It is kept for the next call with the same network, unchanged: its weights, every module's mode and every plain
    attribute count. A module whose attributes can't be pickled is captured anew each time.

    Raises:
        CaptureError: the network can't be exported at that size, or is in training mode.
    """
    content = _content(model) if isinstance(model, torch.nn.Module) else None
    key = (content, fold, tuple((name, tuple(shape), dtype) for name, shape, dtype in _named(shapes, dtypes)))
    known = _cache.setdefault(model, {}) if content is not None else {}
    if key not in known:
        for stale in [other for other in known if other[0] != content or other[1] == fold]:
            del known[stale]
        program = _recorded(model, content, shapes, dtypes) or exported(model, shapes, dtypes)
        known[key] = capture(program, fold=fold)
    return known[key]


def use_recording(model: torch.nn.Module, recording: Recording) -> None:
    """Let `captured` take the calls of `model`, as it is now, from `recording` at sizes that it serves, instead of
    exporting it. A network that is changed afterwards is exported."""
    _recordings[model] = _content(model), recording


def _recorded(model: torch.nn.Module | ExportedProgram, content: Any, shapes: Shapes, dtypes: Dtypes) -> Program | None:
    if not isinstance(model, torch.nn.Module) or content is None or isinstance(shapes, Mapping):
        return None
    known, recording = _recordings.get(model, (None, None))
    state = model.state_dict()
    if recording is None or known != content or not recording.serves(state, shapes):
        return None
    ((_, shape, dtype),) = _named(shapes, dtypes)
    return recording.program(state, shape, dtype)


def _named(shapes: Shapes, dtypes: Dtypes) -> list[tuple[Any, Shape, torch.dtype]]:
    """(name or place, shape, dtype) of each input."""
    named: dict[Any, Shape] = dict(shapes) if isinstance(shapes, Mapping) else dict(enumerate(shapes))
    if isinstance(dtypes, torch.dtype):
        return [(name, shape, dtypes) for name, shape in named.items()]
    typed: dict[Any, torch.dtype] = dict(dtypes) if isinstance(dtypes, Mapping) else dict(enumerate(dtypes))
    return [(name, shape, typed[name]) for name, shape in named.items()]


def _content(model: torch.nn.Module) -> Any:
    """Changes with whatever an export may depend on; None where that can't be told."""
    tensors = tuple((t.data_ptr(), t._version) for t in (*model.parameters(), *model.buffers()))
    try:
        plain = [
            (name, type(module), {k: v for k, v in vars(module).items() if k not in _COMPARED_APART})
            for name, module in model.named_modules()
        ]
        return tensors, pickle.dumps(plain)
    except Exception:  # pickling raises whatever an attribute's class likes
        return None


def exported(model: torch.nn.Module | ExportedProgram, shapes: Shapes, dtypes: Dtypes) -> ExportedProgram:
    """`model` as an exported program for inputs of these whole shapes (N, C, H, W) and dtypes (or one dtype for all).

    Raises:
        CaptureError: the network can't be exported at that size, or is in training mode.
    """
    # One number each, expanded: they take no memory.
    blank = {
        name: torch.zeros((1,) * len(shape), dtype=dtype).expand(shape) for name, shape, dtype in _named(shapes, dtypes)
    }
    args: list[Any] = [] if isinstance(shapes, Mapping) else list(blank.values())
    kwargs: dict[str, Any] = {str(name): tensor for name, tensor in blank.items()} if not args else {}
    if isinstance(model, torch.nn.Module):
        return export_at(model, args, kwargs)
    wanted = [tuple(tensor.shape) for tensor in blank.values()]
    held = [tuple(shape) for shape in _program_shapes(model)]
    if all(isinstance(size, int) for shape in held for size in shape):
        if held != wanted:
            raise CaptureError(
                f"the exported program takes inputs of {held} only; export it with dynamic sizes to run it at {wanted}"
            )
        return model
    module = model.module()
    module.training = False
    return export_at(module, args, kwargs)
