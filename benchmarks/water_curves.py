"""Water maps of the drawn windows made harder by degrees: noise, shifted bands, misregistration, haze, clouds.

    python benchmarks/water_curves.py
    python benchmarks/water_curves.py --model water-small --picture /tmp/curves.png

The changes are those of `narrows water evaluate`; windows of the report split, each changed by itself and mapped whole.
The clouds of this change are laid over real scenes; the simulator's are in `water_hard_cases.py`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
from common import save, table
from water_methods import DATA, ROOT, add_options, networks_of
from water_truth import drawn_scenes

from narrows.water.evaluation.changes import CHANGES
from narrows.water.evaluation.methods import DsweMethod, IndexMethod, Method
from narrows.water.evaluation.scoring import Scores, score
from narrows.water.evaluation.view import View
from narrows.water.indices import INDICES

PICTURE = ROOT / "docs" / "images" / "water_curves.png"
COLOURS = ("#125cad", "#3aa0b8", "#d9881f", "#c43e2c")


def window_of(view: View, place: tuple[slice, slice], name: str) -> View:
    """A window of a view by itself, named so that its changes are its own."""
    rows, columns = place
    origin = view.grid_origin[0] + (rows.start or 0), view.grid_origin[1] + (columns.start or 0)
    parts = (view.reflectance[:, rows, columns], view.observed[place], view.filled[place])
    return View(name, *(np.ascontiguousarray(part) for part in parts), grid_origin=origin)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--split", default="report")
    parser.add_argument("--picture", type=Path, default=PICTURE)
    parser.add_argument("--name", default="water_curves", help="of the result file")
    add_options(parser, peers=False)
    chosen = parser.parse_args()
    by_index = {index.name: IndexMethod(index) for index in INDICES}
    methods: list[Method] = [*networks_of(chosen.model), by_index["MNDWI"], DsweMethod()]
    found: dict[tuple[str, float, str], Scores] = {}
    for drawn in drawn_scenes(chosen.split, chosen.data.resolve()):
        for name, (place, truth) in drawn.windows.items():
            print(name, flush=True)
            window = window_of(drawn.view, place, name)
            for change in CHANGES:
                for level in change.levels:
                    changed = change.at(window, truth, level)
                    for method in methods:
                        key = change.name, level, method.name
                        scores = score(method.map(changed.view), changed.truth, changed.view.observed)
                        found[key] = found.get(key, Scores()) + scores
    rows: list[dict[str, Any]] = [
        {
            "change": change.name,
            "unit": change.unit,
            "level": level,
            "method": method.name,
            "f1": (scores := found[change.name, level, method.name]).confusion.f1,
            "iou": scores.confusion.iou,
            "f1_unobserved_as_land": scores.as_land.f1,
            "clear_unobserved_share": scores.unobserved_share,
        }
        for change in CHANGES
        for level in change.levels
        for method in methods
    ]
    table("Windows made harder", rows, [key for key in rows[0] if key != "unit"])
    draw(rows, [method.name for method in methods], chosen.picture)
    save(chosen.name, {"model": chosen.model, "split": chosen.split}, rows)
    return 0


def draw(rows: list[dict[str, Any]], names: list[str], path: Path) -> None:
    """F1 along each change."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(2.6 * len(CHANGES), 3.4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, len(CHANGES), sharey=True)
    for axis, change in zip(axes, CHANGES, strict=True):
        for name, colour in zip(names, COLOURS, strict=True):
            along = [row["f1"] for row in rows if (row["change"], row["method"]) == (change.name, name)]
            axis.plot(change.levels, along, "o-", color=colour, markersize=3, linewidth=1.5, label=name)
        axis.set_title(change.name, fontsize=10, loc="left")
        axis.set_xlabel(change.unit, fontsize=8)
        axis.spines[["top", "right"]].set_visible(False)
        axis.set_ylim(0, 1.02)
    axes[0].set_ylabel("F1 of water")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=len(names), frameon=False, fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)


if __name__ == "__main__":
    sys.exit(main())
