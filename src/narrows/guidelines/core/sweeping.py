"""What it takes to sweep over all rows once more, as far as an operator that looks at all of them before its first.

The further pass makes everything up to that operator again. Its result of the first pass is known by then, so that in
its place stands what merely applies it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from narrows.errors import NarrowsError
from narrows.guidelines.core.copies import images
from narrows.guidelines.core.guideline import NotTriable
from narrows.guidelines.core.measuring import Measurer
from narrows.guidelines.core.noise import LEAST_EFFECT, Ratio, interval_of_median
from narrows.guidelines.core.subject import Subject
from narrows.guidelines.core.surgery import changed, with_replacements
from narrows.rowgraph.graph import RowGraph
from narrows.streaming.arrays import as_input
from narrows.streaming.capturing import captured
from narrows.streaming.run import Run

__all__ = ["Level", "UpTo", "further_passes", "sentence"]

Level = Mapping[str, Callable[[nn.Module], nn.Module]]
"""Operators that one further pass is for: the path of each, and what applies its known result."""


class UpTo(nn.Module):
    """The network as far as the inputs of some of its modules, which are what it returns."""

    def __init__(self, network: nn.Module, paths: Sequence[str]) -> None:
        super().__init__()
        self.network = network
        self.paths = tuple(paths)

    def forward(self, *images: Tensor) -> tuple[Tensor, ...]:
        seen: dict[str, Tensor] = {}

        def keep(path: str) -> Callable[[nn.Module, Any], None]:
            return lambda module, given: seen.__setitem__(path, given[0])

        hooks = [self.network.get_submodule(path).register_forward_pre_hook(keep(path)) for path in self.paths]
        try:
            self.network(*images)
        finally:
            for hook in hooks:
                hook.remove()
        return tuple(seen[path] for path in self.paths)


class _Nowhere:
    """A row sink that keeps nothing."""

    def write(self, start: int, rows: Any) -> None:
        pass


def further_passes(
    subject: Subject, levels: Sequence[Level], size: tuple[int, int], measurer: Measurer, seconds: float
) -> Ratio | None:
    """Time of the further passes over that of a run without them, both streamed; None where it can't be told.

    Args:
        levels: one for each pass; the operators of one level don't wait for each other.
        size: rows and columns to stream.
    """
    if not levels or subject.model is None or isinstance(subject.inputs, Mapping):
        return None
    given = images(subject, size)
    shapes = [tuple(image.shape) for image in given]
    try:
        known = changed(
            subject.model, with_replacements({path: make for level in levels for path, make in level.items()})
        )
        whole = _until_barriers(captured(known, shapes, subject.dtype))
        parts = [captured(changed(UpTo(known, list(level)), lambda m: None), shapes, subject.dtype) for level in levels]
        runs = [_streamed(whole, given), *(_streamed(part, given) for part in parts)]
        taken = measurer.seconds(
            {"whole": runs[0], "again": lambda: [run() for run in runs[1:]]},
            seconds,
        )
    except (NarrowsError, NotTriable):
        return None
    ratios = [again / once for again, once in zip(taken["again"], taken["whole"], strict=True)]
    low, high = interval_of_median(ratios)
    return Ratio(sorted(ratios)[len(ratios) // 2], low, high, LEAST_EFFECT)


def sentence(passes: int, ratio: Ratio) -> str:
    said = "the further pass takes" if passes == 1 else f"the {passes} further passes take"
    return (
        f"streamed, {said} {ratio.middle:.2f} x the time of a run without {'it' if passes == 1 else 'them'} here "
        f"({ratio.low:.2f} to {ratio.high:.2f})"
    )


def _until_barriers(graph: RowGraph) -> RowGraph:
    """The part of a graph that a barrier doesn't come before: all but the end of a classifier, say."""
    nodes = graph.nodes
    behind: set[int] = set()
    for node in nodes:
        if node.barrier or any(index in behind for index in node.inputs):
            behind.add(node.index)
    read = {index for place in behind for index in nodes[place].inputs if nodes[index].rows}
    ends = sorted((read | set(graph.outputs)) - behind)
    if not behind or not ends:
        return graph
    kept, todo = set(graph.inputs), list(ends)
    while todo:
        index = todo.pop()
        kept.add(index)
        todo += [source for source in nodes[index].inputs if source not in kept]
    place = {index: number for number, index in enumerate(sorted(kept))}
    return RowGraph(
        tuple(replace(nodes[i], index=place[i], inputs=tuple(place[s] for s in nodes[i].inputs)) for i in sorted(kept)),
        tuple(place[i] for i in graph.inputs),
        tuple(place[i] for i in ends),
        {place[i]: tensor for i, tensor in graph.constants.items() if i in kept},
        graph.constant_bytes,
    )


def _streamed(graph: RowGraph, given: Sequence[Tensor]) -> Callable[[], None]:
    run = Run(graph, [as_input(image) for image in given], None, None, given[0].device, None, None, [
        _Nowhere() for _ in graph.outputs
    ])  # fmt: skip
    return run.into_sinks
