"""Stream a network over an image of any height, and plan it beforehand."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch.export import ExportedProgram

from narrows.errors import CaptureError, InputError
from narrows.rowgraph.graph import RowGraph
from narrows.streaming.arrays import BlockInput, Input, as_input
from narrows.streaming.capturing import Model, Shapes, captured, dtype_of, image_inputs, loaded
from narrows.streaming.mapped import MappedWeights
from narrows.streaming.memory import resident_now
from narrows.streaming.plan import Plan, make_plan
from narrows.streaming.run import Progress, Run, several
from narrows.units import parse_bytes

__all__ = ["plan", "stream", "stream_rows"]


def plan(
    model: Model,
    height: int,
    width: int,
    *,
    memory: int | str | None = None,
    strip: int | None = None,
    channels: int | None = None,
    batch: int = 1,
    dtype: torch.dtype | None = None,
    inputs: Shapes | None = None,
    resident_bytes: int = 0,
) -> Plan:
    """What streaming `model` over an image of (channels, height, width) will hold, before it runs.

    Args:
        model: a module in eval mode, an `ExportedProgram`, or the path of a `.pt2` file.
        memory: budget for the peak resident memory of the whole process, in bytes or as ``"600MB"``; None for none.
        strip: rows of a step; chosen if None.
        channels: of the image; read from the network if None.
        dtype: of the image; that of the network's weights if None.
        inputs: whole shapes (N, C, H, W) of every input, for networks with several; by name for keyword arguments.
        resident_bytes: what files being read and written will hold (a raster's block cache).

    Raises:
        CaptureError, NotStreamableError, BudgetError, InputError: one line each, saying what to do.
    """
    held = loaded(model)
    shapes, kind = image_inputs(held, height, width, channels=channels, batch=batch, dtype=dtype, inputs=inputs)
    graph = captured(held, shapes, kind)
    MappedWeights(graph)  # lets go of what a run will pack
    return make_plan(
        graph,
        process=resident_now(),
        outside=resident_bytes,
        memory=parse_bytes(memory) if memory is not None else None,
        strip=strip,
    )


def stream(
    model: Model,
    source: Any,
    sink: Any = None,
    *,
    memory: int | str | None = None,
    strip: int | None = None,
    device: torch.device | str | None = None,
    progress: Progress | None = None,
    cancel: threading.Event | None = None,
) -> Any:
    """Run `model` over `source` strip by strip, each row of each layer once, within a memory budget.

    Args:
        model: a module in eval mode, an `ExportedProgram`, or the path of a `.pt2` file.
        source: a tensor or array of (N, C, H, W) or (C, H, W), or a `RowSource`; a tuple of them for several positional
            inputs, a dict for keyword inputs. Converted to the dtype of the network's weights.
        sink: a `RowSink`, or as many as the network has outputs (flattened, in order); None to get the outputs back.
        memory: budget for the peak resident memory of the whole process, in bytes or as ``"600MB"``. By default what
            the process holds now plus a quarter of what is free. Whole arrays passed in or returned are not counted.
        strip: rows of a step; chosen if None.
        device: where to compute; that of the network's weights if None.
        progress: called after each step with (rows done, rows in all, bytes held by the run).
        cancel: set it to stop the run.

    Returns:
        With no sink, what the network returns (a tensor, a tuple, a dict): tensors for tensors, arrays for arrays, with
        the batch dimension left out where the source had none. With a sink, None.

    Raises:
        CaptureError, NotStreamableError, BudgetError, InputError: before any work, one line each.
        CancelledError: `cancel` was set.
    """
    held = loaded(model)
    feeds, names = _feeds(source)
    graph = _graph_for(held, feeds, names)
    run = Run(graph, feeds, memory, strip, device or _device_of(held), progress, cancel, sink)
    return run.whole(source) if sink is None else run.into_sinks()


def stream_rows(
    model: Model,
    blocks: Iterable[Any],
    height: int,
    *,
    memory: int | str | None = None,
    strip: int = 1,
) -> Iterator[Any]:
    """Run `model` over blocks of rows as they arrive, and yield rows of its output as soon as they are ready.

    Args:
        blocks: arrays or tensors of (C, n, W) or (N, C, n, W), any n, from the top to the bottom.
        height: how many rows will come in all; every size of the network follows from it.
        strip: rows of a step: 1 gives each row at the earliest moment, more is faster.

    Yields:
        Rows of the output, of the kind of the blocks; for a network with several outputs a tuple with None for those
        that have no new rows.

    Raises:
        CaptureError, NotStreamableError, BudgetError: as `stream`.
        InputError: as `stream`, or the blocks end early.
    """
    feed = BlockInput(blocks, height)
    held = loaded(model)
    graph = _graph_for(held, [feed], None)
    run = Run(graph, [feed], memory, strip, _device_of(held), None, None, None)
    yield from run.as_ready(feed)


def _graph_for(model: torch.nn.Module | ExportedProgram, feeds: list[Input], names: list[str] | None) -> RowGraph:
    dtype = dtype_of(model)
    given = [feed.dtype for feed in feeds]
    kinds = [dtype if dtype is not None and len(feed.shape) >= 3 else feed.dtype for feed in feeds]
    shapes = [feed.shape for feed in feeds]
    if any(0 in shape for shape in shapes):
        raise InputError(f"the image is empty: {shapes}")

    def capture(dtypes: list[torch.dtype]) -> RowGraph:
        if names is None:
            return captured(model, shapes, dtypes)
        return captured(model, dict(zip(names, shapes, strict=True)), dict(zip(names, dtypes, strict=True)))

    try:
        return capture(kinds)
    except CaptureError:
        # Integers are an image's counts or, for networks that look them up, labels: those stay what they are.
        if kinds == given:
            raise
        labels = [held if not held.is_floating_point else kind for held, kind in zip(given, kinds, strict=True)]
        try:
            return capture(labels)
        except CaptureError:
            pass
        raise


def _feeds(source: Any) -> tuple[list[Input], list[str] | None]:
    if isinstance(source, Mapping):
        return [as_input(item) for item in source.values()], list(source)
    return [as_input(item) for item in several(source)], None


def _device_of(model: torch.nn.Module | ExportedProgram) -> torch.device | None:
    tensors = model.state_dict.values() if isinstance(model, ExportedProgram) else model.state_dict().values()
    return next((tensor.device for tensor in tensors), None)
