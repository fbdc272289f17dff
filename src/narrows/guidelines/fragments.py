"""G3: fragmentation."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from math import prod

import torch.nn.functional as F
from torch import Tensor, nn

from narrows.guidelines.core.guideline import Experiment, Guideline, Suspicion
from narrows.guidelines.core.subject import Subject, within
from narrows.guidelines.core.surgery import with_replacements
from narrows.rowgraph.graph import Node

BRANCHES = 4
SHARE = 0.02


def find(subject: Subject) -> Iterator[Suspicion]:
    paths = {path for conv in subject.convs for path in _around(conv.node.module)}
    # Lists of modules are never called themselves.
    paths = {path for path in paths if not isinstance(subject.module(path), (nn.ModuleList, nn.ModuleDict))}
    broad = {path: most for path in paths if (most := _parallel(subject, path)) >= BRANCHES}
    inner = [path for path in broad if not any(other != path and within(other, path) for other in broad)]
    by_kind: dict[tuple[type, int], list[str]] = {}
    for path in sorted(inner):
        by_kind.setdefault((type(subject.module(path)), broad[path]), []).append(path)
    for (kind, branches), alike in by_kind.items():
        nodes = [node for path in alike for node in subject.nodes_under(path)]
        share = sum(subject.macs_of(node) for node in nodes) / max(subject.macs, 1)
        if share < SHARE:
            continue
        convs = sum(node.index in subject.conv_of for node in subject.nodes_under(alike[0]))
        more = f", and {len(alike) - 1} more {kind.__name__}" if len(alike) > 1 else ""
        experiment, why = _experiment(subject, alike)
        yield Suspicion(
            alike[0],
            _line(subject, alike[0]),
            f"{convs} convolutions in up to {branches} parallel branches{more}",
            "use few, larger operators in place of many small ones",
            share,
            experiment,
            why,
            places=len(alike),
            modules=tuple(alike),
        )


def _around(path: str) -> Iterator[str]:
    parts = path.split(".") if path else []
    for depth in range(len(parts) + 1):
        yield ".".join(parts[:depth])


def _parallel(subject: Subject, path: str) -> int:
    """Convolutions inside a module that are equally many convolutions deep, at one resolution: none waits for "
    "another."""
    depth: dict[int, int] = {}
    count: dict[tuple[int, int], int] = {}
    for node in subject.nodes:
        if not node.rows:
            continue
        before = max((depth.get(i, 0) for i in node.inputs), default=0)
        inside = node.index in subject.conv_of and within(node.module, path)
        depth[node.index] = before + inside
        if inside:
            place = (before, node.height)
            count[place] = count.get(place, 0) + 1
    return max(count.values(), default=0)


def _line(subject: Subject, path: str) -> str | None:
    return next((n.source for n in subject.nodes_under(path) if n.index in subject.conv_of), None)


def _experiment(subject: Subject, paths: list[str]) -> tuple[Experiment | None, str]:
    if subject.model is None:
        return None, "an exported program has no modules to change"
    made: dict[str, _Plain] = {}
    before = after = 0
    for path in paths:
        if not path:
            return None, "the branches are those of the network itself, not of a module in it"
        nodes = subject.nodes_under(path)
        inside = {node.index for node in nodes}
        given = {i for n in nodes for i in n.inputs if i not in inside and subject.nodes[i].operator != "constant"}
        results = [
            n for n in nodes if subject.is_output(n) or any(c.index not in inside for c in subject.consumers[n.index])
        ]
        if len(results) != 1 or len(results[0].shape) != 4:
            return None, f"'{path}' gives several values"
        sources = [subject.nodes[i] for i in sorted(given)]
        if not sources or any(len(s.shape) != 4 for s in sources):
            return None, f"'{path}' takes something that is no image"
        macs = sum(subject.macs_of(node) for node in nodes)
        plain = _plain(sources, results[0], macs)
        made[path] = plain
        before += macs
        after += plain.macs
    ratio = (subject.macs - before + after) / max(subject.macs, 1)
    title = "two plain convolutions in its place" if len(paths) == 1 else "two plain convolutions in place of each"
    change = with_replacements({path: partial(_instead, plain) for path, plain in made.items()})
    return Experiment(title, change, macs_ratio=ratio), ""


def _instead(plain: nn.Module, old: nn.Module) -> nn.Module:
    return plain


def _plain(sources: list[Node], result: Node, macs: int) -> _Plain:
    places = prod((result.shape[0], *result.shape[2:]))
    sides = sum(source.shape[1] for source in sources) + result.shape[1]
    kernel = 3 if macs >= 9 * places * sides * 4 else 1
    hidden = max(1, round(macs / (kernel**2 * places * sides)))
    strides = {source.shape[1]: max(1, round(source.height / max(result.height, 1))) for source in sources}
    return _Plain(strides, hidden, result.shape[1], kernel, kernel**2 * places * sides * hidden)


class _Plain(nn.Module):
    """One convolution for each image that comes in, added, ReLU, and one more: what the branches would be in one "
    "piece."""

    def __init__(self, strides: dict[int, int], hidden: int, channels_out: int, kernel: int, macs: int) -> None:
        super().__init__()
        self.macs = macs
        self.entries = nn.ModuleDict(
            {
                str(channels): nn.Conv2d(channels, hidden, kernel, stride, kernel // 2, bias=False)
                for channels, stride in strides.items()
            }
        )
        self.last = nn.Conv2d(hidden, channels_out, kernel, padding=kernel // 2, bias=False)

    def forward(self, *images: Tensor) -> Tensor:
        made = [self.entries[str(x.shape[1])](x) for x in images if str(x.shape[1]) in self.entries]
        like = min((m.shape[-2:] for m in made), key=prod)
        total = sum(m if m.shape[-2:] == like else F.adaptive_avg_pool2d(m, like) for m in made)
        assert isinstance(total, Tensor)
        return self.last(F.relu(total))


GUIDELINE = Guideline(
    key="G3",
    name="Fragmentation",
    statement="Many small operators in place of few large ones lower the degree of parallelism, and each has to be "
    "launched.",
    source="Ma et al., ShuffleNet V2, ECCV 2018 (arXiv 1807.11164), guideline 3",
    figures="One fragment, four in series, four in parallel at the same operations: 2446, 752, 691 batches/s on a GPU; "
    "40.2, 38.4, 35.0 images/s on an ARM core (table 3, x1).",
    finds=f"Modules with at least {BRANCHES} convolutions side by side at one resolution, the innermost such "
    "modules, where they "
    f"make at least {100 * SHARE:g} % of the operations. Modules of one class with as many branches are one finding.",
    tries="Two plain convolutions (3 x 3, or 1 x 1 where there are too few operations for it) in the module's "
    "place, with as "
    "many channels between them as its operations allow.",
    quality="fragmented structures were found to help accuracy (as in NASNet-A)",
    find=find,
)
