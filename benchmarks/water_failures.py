"""Where the water networks fail: the pictures of docs/models/water.md, chosen by the worst score.

    python benchmarks/water_failures.py
    python benchmarks/water_failures.py --model water-small --picture /tmp/failures.jpg

Of the drawn windows of the report split, the cloudy chip in windows of 256 x 256, and the chips at held-out places, the
`WORST` of lowest F1 of water at 0.5 are shown, from each of the three kinds one at least; one with fewer than `FEWEST`
pixels of water is left out, as its score hangs on a handful of pixels, and of one place the worst alone is shown. The
network hides clouds by its own opinion, and a pixel that it hides counts as wrong.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from common import save, table
from numpy.typing import NDArray
from water_methods import DATA, ROOT, add_options, network_of
from water_pictures import Panel, panel_of, save_panels
from water_truth import SIZE, drawn_scenes, scored

from narrows.water.classes import HIDDEN
from narrows.water.classes import WATER as SAID_WATER
from narrows.water.evaluation.confusion import Confusion
from narrows.water.evaluation.methods import Answer, Method, NetworkMethod
from narrows.water.evaluation.truth import FILL, LAND, UNSURE, WATER
from narrows.water.evaluation.view import View
from narrows.water.recipes.chips import read_chips, read_split

PICTURE = ROOT / "docs" / "images" / "water_failures.jpg"
WORST, FEWEST = 6, 100
MISSED, FALSE, RIGHT = (0.90, 0.33, 0.05), (0.80, 0.10, 0.60), (0.07, 0.36, 0.68)


@dataclass(frozen=True)
class Shown:
    """A part of a scene, a map of it, and what is true there."""

    kind: str
    place: str
    name: str
    view: View
    classes: NDArray[np.uint8]
    truth: NDArray[np.uint8]
    confusion: Confusion


def part(view: View, place: tuple[slice, slice], name: str) -> View:
    return View(name, view.reflectance[(slice(None), *place)], view.observed[place], view.filled[place])


def from_scenes(network: Method, split: str, data: Path) -> Iterator[Shown]:
    for drawn in drawn_scenes(split, data):
        answer = network.map(drawn.view)
        windows = drawn.windows
        if split == "cloudy":
            whole = next(iter(windows.values()))[1]
            corners = [(r, c) for r in range(0, whole.shape[0], SIZE) for c in range(0, whole.shape[1], SIZE)]
            places = [(slice(r, r + SIZE), slice(c, c + SIZE)) for r, c in corners]
            windows = {f"rows from {p[0].start}, columns from {p[1].start}": (p, whole[p]) for p in places}
        for name, (place, mask) in windows.items():
            found = scored(answer, drawn.view, place, mask).confusion
            view = part(drawn.view, place, name)
            yield Shown(split, drawn.name, name, view, answer.classes[place], mask, found)


def from_chips(network: Method, file: Path) -> Iterator[Shown]:
    chips = read_chips(file).at_places(read_split()["test"])
    for number, place in enumerate(chips.place.tolist()):
        seen = np.ones(chips.label.shape[1:], bool)
        view = View(f"chip {number}", chips.reflectance[number], seen, ~seen)
        mask = np.where(chips.known[number], np.where(chips.label[number] > 0, WATER, LAND), UNSURE).astype(np.uint8)
        answer: Answer = network.map(view)
        found = scored(answer, view, (slice(None), slice(None)), mask).confusion
        yield Shown(
            "held-out places", f"place {place}", f"tier {chips.tier[number]}", view, answer.classes, mask, found
        )


def worst_of(shown: list[Shown]) -> list[Shown]:
    """The worst of all, after the worst of each kind."""
    order = sorted((each for each in shown if each.confusion.hits + each.confusion.misses >= FEWEST), key=_f1)
    first: dict[str, Shown] = {}
    for each in order:
        first.setdefault(each.place, each)
    places = list(first.values())
    kinds = {each.kind: each for each in reversed(places)}
    others = [each for each in places if each not in kinds.values()]
    return sorted([*kinds.values(), *others][:WORST], key=_f1)


def _f1(shown: Shown) -> float:
    return shown.confusion.f1 or 0.0


def mistakes(shown: Shown) -> Panel:
    """Over pale grey: water that was found, missed, and wrongly said."""
    said, unsaid = shown.classes == SAID_WATER, shown.classes >= HIDDEN
    true, scores = shown.truth == WATER, np.isin(shown.truth, (LAND, WATER))
    picture = np.full((*said.shape, 3), 0.93, np.float32)
    picture[(shown.truth == FILL) | unsaid] = 0.75
    for where, colour in ((said & true, RIGHT), (~said & true, MISSED), (said & ~true & scores, FALSE)):
        picture[where] = colour
    return Panel("blue found, orange missed, pink false", picture)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--picture", type=Path, default=PICTURE)
    parser.add_argument("--name", default="water_failures", help="of the result file")
    add_options(parser, peers=False)
    chosen = parser.parse_args()
    network = NetworkMethod(network_of(chosen.model, hidden=True))
    shown = [each for split in ("report", "cloudy") for each in from_scenes(network, split, chosen.data)]
    shown += from_chips(network, chosen.data / "water306" / "hls306_6band.npz")
    worst = worst_of(shown)
    rows: list[dict[str, Any]] = [
        {
            "from": each.kind,
            "scene": each.place,
            "window": each.name,
            "water_pixels": each.confusion.hits + each.confusion.misses,
            "f1": each.confusion.f1,
            "precision": each.confusion.precision,
            "recall": each.confusion.recall,
        }
        for each in worst
    ]
    lines = [
        [
            panel_of(each.view, None, each.name if each.kind == "report" else f"{each.place}, {each.name}"),
            panel_of(each.view, each.classes, f"map: F1 {_f1(each):.2f}"),
            mistakes(each),
        ]
        for each in worst
    ]
    save_panels(lines, chosen.picture, inches=2.6, most=260_000)
    table("Worst", rows, list(rows[0]))
    save(chosen.name, {"model": network.name, "fewest_water_pixels": FEWEST, "looked_at": len(shown)}, rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
