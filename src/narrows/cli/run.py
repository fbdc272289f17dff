"""`narrows run`: any network over any raster, inside a memory budget."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from narrows.cli.model_argument import HELP, model_options
from narrows.cli.options import MEMORY, OVERWRITE, QUIET, STRIP
from narrows.cli.speaking import progress_bar
from narrows.errors import InputError

if TYPE_CHECKING:
    from narrows.rasters import RasterSource
    from narrows.streaming.protocols import RowSource

__all__ = ["run"]


@click.command(
    short_help="Run a network over a raster of any height.",
    help=f"""Run MODEL over the bands of INPUT, as they are stored, and write what it gives to OUT, inside a memory
    budget. An output at another scale gets a transform of its own. Where the network gives several outputs, OUT is
    given once for each, or once in all: their names are then put before its ending.

    {HELP}

    \b
    Example:
        narrows run mynet.py:build --weights mynet.safetensors scene.tif -o result.tif --memory 512MB
    """,
)
@click.argument("model")
@click.argument("raster", metavar="INPUT")
@click.option(
    "-o", "--output", "outputs", required=True, multiple=True, type=click.Path(path_type=Path), metavar="OUT.tif",
    help="Where the output goes; may be repeated.",
)  # fmt: skip
@MEMORY
@STRIP
@model_options
@OVERWRITE
@click.option("--json", "as_json", is_flag=True, help="Print what was made as JSON.")
@QUIET
def run(
    model: str,
    raster: str,
    outputs: tuple[Path, ...],
    memory: str | None,
    strip: int | None,
    weights: str | None,
    arguments: tuple[str, ...],
    channels: int | None,
    overwrite: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    from narrows.cli.model_argument import read_model
    from narrows.rasters import RasterSink, RasterSource, raster_environment, scaled_transform
    from narrows.rasters.staging import check_output_path
    from narrows.streaming.capturing import captured, channels_of, dtype_of
    from narrows.streaming.plan import check_streamable
    from narrows.streaming.stream import stream

    for path in outputs:
        check_output_path(path, overwrite=overwrite)
    begun = time.perf_counter()
    network = read_model(model, weights, arguments)
    with ExitStack() as stack:
        import numpy as np
        import torch

        stack.enter_context(raster_environment())
        source = stack.enter_context(RasterSource(raster, dtype=np.float32))
        taken = channels or channels_of(network)
        if taken is not None and taken != source.shape[0]:
            raise InputError(f"{raster} has {_bands(source.shape[0])}, but the network {model} takes {taken}")
        dtype = dtype_of(network) or torch.float32
        graph = captured(network, [(1, *source.shape)], [dtype])
        check_streamable(graph)
        nodes = [graph.nodes[index] for index in graph.outputs]
        paths = _paths(outputs, graph.structure, len(nodes))
        sinks = []
        for path, node in zip(paths, nodes, strict=True):
            if node.rows is None or len(node.shape) != 4:
                raise InputError(f"the network {model} gives {list(node.shape)} for {path.name}, which is no image")
            count, height, width = (int(size) for size in node.shape[1:])
            sink = RasterSink(
                path, width=width, height=height, count=count, dtype=_stored(node.dtype),
                crs=source.crs, transform=scaled_transform(source.transform, source.shape[1:], (height, width)),
                tags={"NARROWS_INPUT": Path(raster).name, "NARROWS_MODEL": Path(model).name}, overwrite=overwrite,
            )  # fmt: skip
            sinks.append(stack.enter_context(sink))
        cache = source.cache_bytes + sum(sink.resident_bytes for sink in sinks) + 2**22
        stack.enter_context(raster_environment(cache))
        with progress_bar(Path(raster).name, shown=not quiet) as progress:
            stream(network, _counted(source, cache), sinks, memory=memory, strip=strip, progress=progress)
    seconds = time.perf_counter() - begun
    if as_json:
        shapes = {str(path): list(node.shape[1:]) for path, node in zip(paths, nodes, strict=True)}
        click.echo(json.dumps({"outputs": shapes, "seconds": round(seconds, 2)}, indent=2))
    elif not quiet:
        for path, node in zip(paths, nodes, strict=True):
            count, height, width = node.shape[1:]
            click.echo(f"{path}: {_bands(count)}, {height} x {width}")


def _bands(count: int) -> str:
    return "1 band" if count == 1 else f"{count} bands"


def _stored(dtype: str) -> str:
    return {"bfloat16": "float32", "float16": "float32", "bool": "uint8"}.get(dtype, dtype)


def _paths(outputs: tuple[Path, ...], structure: Any, count: int) -> list[Path]:
    """A path for each output of the network: as given, or OUT with the output's name before the ending."""
    if len(outputs) == count:
        return list(outputs)
    if len(outputs) > 1:
        raise InputError(f"the network gives {count} outputs, but {len(outputs)} files are named; name one, or {count}")
    from torch.utils import _pytree as pytree

    tree = pytree.tree_unflatten(list(range(count)), structure)
    keys = {leaf: pytree.keystr(path) for path, leaf in pytree.tree_flatten_with_path(tree)[0]}
    only = outputs[0]
    named = ["_".join(part for part in keys[i].replace("'", "").strip("[]").split("][")) for i in range(count)]
    return [only.with_name(f"{only.stem}_{name}{only.suffix}") for name in named]


def _counted(source: RasterSource, cache: int) -> RowSource:
    """`source` with the bytes that GDAL holds for it, so that the plan counts them."""

    class Counted:
        shape = source.shape
        dtype = source.dtype
        resident_bytes = cache

        def read(self, start: int, stop: int) -> Any:
            return source.read(start, stop)

    return Counted()
