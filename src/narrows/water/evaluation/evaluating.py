"""Score several methods on several scenes: together, scene by scene, and on scenes made harder by degrees."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import narrows
from narrows.errors import InputError
from narrows.water.classes import HIDDEN, NO_DATA
from narrows.water.evaluation.changes import CHANGES
from narrows.water.evaluation.methods import Answer, Method, NetworkMethod
from narrows.water.evaluation.pairs import Pair
from narrows.water.evaluation.peers import Missing
from narrows.water.evaluation.scoring import Scores, score
from narrows.water.evaluation.view import View

__all__ = ["Curve", "Evaluation", "evaluate"]

LARGEST_FOR_CURVES = 1024
"""Curves are made on at most so many rows and columns in the middle of each scene."""


@dataclass
class Curve:
    """Scores of each method at each level of one change, all scenes together."""

    change: str
    unit: str
    levels: tuple[float, ...]
    scores: dict[str, list[Scores]] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        methods = {
            name: [{**each.confusion.as_dict(), "clear_unobserved_share": each.unobserved_share} for each in scores]
            for name, scores in self.scores.items()
        }
        return {"change": self.change, "unit": self.unit, "levels": list(self.levels), "methods": methods}


@dataclass
class Evaluation:
    """Scores by method, over all scenes (`total`) and for each (`scenes`); curves; what is missing from them."""

    total: dict[str, Scores]
    scenes: dict[str, dict[str, Scores]]
    curves: list[Curve]
    missing: list[Missing]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "narrows": narrows.__version__,
            "scenes": {
                scene: {name: scores.as_dict() for name, scores in found.items()}
                for scene, found in self.scenes.items()
            },
            "total": {name: scores.as_dict() for name, scores in self.total.items()},
            "curves": [curve.as_dict() for curve in self.curves],
            "missing": {each.name: each.why for each in self.missing},
        }


def evaluate(
    pairs: Sequence[Pair],
    methods: Sequence[Method],
    *,
    missing: Sequence[Missing] = (),
    curves: bool = True,
    slow_curves: bool = False,
    progress: Callable[[str], None] | None = None,
) -> Evaluation:
    """Score `methods` on `pairs`. Every pair is checked before the first is mapped.

    A rule or peer that needs shortwave infrared is left out where no scene has it; where some have, the others are
    unobserved for it throughout, so that all methods are scored on the same pixels. Both are told in `missing`.

    Args:
        missing: peers that can't be asked, to be said in the report.
        curves: also score on scenes made harder (`CHANGES`), by the quick methods; with `slow_curves` by all.
        progress: told what is done next.

    Raises:
        InputError: a mask doesn't fit its scene, two pairs or two methods have one name, or a method can't map a scene:
            a network that needs shortwave infrared, above all, one without.
    """
    tell = progress or (lambda _: None)
    for names in ([pair.name for pair in pairs], [method.name for method in methods]):
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise InputError(f"two of what is to be scored are called {twice}")
    lacking = {pair.name: lacks for pair in pairs if (lacks := pair.check())}
    methods, without = _able(methods, lacking, len(pairs))
    for each in without:
        tell(f"{each.name}: {each.why}")
    found = Evaluation({}, {}, [], [*missing, *without])
    if curves:
        found.curves = [Curve(change.name, change.unit, change.levels) for change in CHANGES]
    for pair in pairs:
        view, truth = pair.read()
        scenes = found.scenes.setdefault(pair.name, {})
        for method in methods:
            tell(f"{pair.name}: {method.name}")
            begun = time.perf_counter()
            answer = _map(method, view)
            seconds = time.perf_counter() - begun
            scenes[method.name] = score(answer, truth, view.observed, seconds=seconds)
            found.total[method.name] = found.total.get(method.name, Scores()) + scenes[method.name]
        part, place = view.middle(LARGEST_FOR_CURVES)
        trying = [method for method in methods if method.quick or slow_curves]
        for change, curve in zip(CHANGES, found.curves, strict=False):
            tell(f"{pair.name}: with {change.name}")
            for number, level in enumerate(change.levels):
                changed = change.at(part, truth[place], level)
                for method in trying:
                    scores = score(_map(method, changed.view), changed.truth, changed.view.observed)
                    kept = curve.scores.setdefault(method.name, [Scores() for _ in change.levels])
                    kept[number] = kept[number] + scores
    return found


def _able(
    methods: Sequence[Method], lacking: Mapping[str, tuple[str, ...]], scenes: int
) -> tuple[list[Method], list[Missing]]:
    """The methods that can map one of the `scenes` at least, and what is to be said of those that can't map all.

    Args:
        lacking: by scene, the bands that it lacks.
    """
    able: list[Method] = []
    unable: list[Missing] = []
    for method in methods:
        if not lacking or not method.needs_swir:
            able.append(method)
            continue
        if isinstance(method, NetworkMethod):
            method.network.check_bands(*next(iter(lacking.items())))
        if len(lacking) == scenes:
            unable.append(Missing(method.name, "left out, as it needs shortwave infrared, which no scene has"))
            continue
        able.append(method)
        why = f"unobserved on {len(lacking)} of {scenes} scenes, which lack the shortwave infrared that it needs"
        unable.append(Missing(method.name, why))
    return able, unable


def _map(method: Method, view: View) -> Answer:
    if view.lacks and method.needs_swir:
        return Answer(np.where(view.observed, np.uint8(HIDDEN), np.uint8(NO_DATA)))
    return method.map(view)
