"""How much freshly burnt ground each method calls water: inside the outlines of benchmarks/truth/burn_scars.json.

    python benchmarks/water_burn_scars.py
    python benchmarks/water_burn_scars.py --model water-small --picture /tmp/burn_scars.jpg

Nothing inside the outlines is water that could be seen. The scenes, Corumbá on two dates, are of the report split. The
picture shows the windows beside the maps of the network, of the best rule (chosen on the other split) and of
ukis-csmask.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from common import save, table
from water_methods import DATA, ROOT, add_options, methods_of
from water_pictures import Panel, panel_of, save_panels
from water_truth import NOT_SCORED, TRUTH, best_rule, drawn_scenes

from narrows.water.classes import HIDDEN, NO_DATA, WATER
from narrows.water.evaluation.view import View

sys.path.insert(0, str(TRUTH))
from drawings import burn_scars

PICTURE = ROOT / "docs" / "images" / "burn_scars.jpg"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--picture", type=Path, default=PICTURE)
    parser.add_argument("--name", default="water_burn_scars", help="of the result file")
    add_options(parser)
    chosen = parser.parse_args()
    data = chosen.data.resolve()
    methods, missing = methods_of(chosen)
    network, best = methods[0].name, best_rule(data).name
    beside = [network, best, *(method.name for method in methods if method.name.startswith("ukis-csmask"))]
    counted: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(lambda: [0, 0, 0]))
    panels: list[list[Panel]] = []
    for drawn in drawn_scenes("report", data):
        inside = {name: burn_scars(name) for name in drawn.windows}
        if not any(scar.any() for scar in inside.values()):
            continue
        answers = {method.name: method.map(drawn.view).classes for method in methods}
        for name, (place, mask) in drawn.windows.items():
            scar = inside[name][: mask.shape[0], : mask.shape[1]] & (mask != NOT_SCORED) & drawn.view.observed[place]
            if not scar.any():
                continue
            for method, classes in answers.items():
                found = classes[place][scar]
                unobserved = int(np.isin(found, (HIDDEN, NO_DATA)).sum())
                for which in ("all", name):
                    kept = counted[which][method]
                    for number, more in enumerate((found.size, int((found == WATER).sum()), unobserved)):
                        kept[number] += more
            part = _part(drawn.view, place)
            shown = [panel_of(part, None, name.replace("_", " "), outline=scar)]
            panels.append(shown + [panel_of(part, answers[each][place], each, outline=scar) for each in beside])
    by_window = {
        window: {method: _row(*counts) for method, counts in found.items()} for window, found in counted.items()
    }
    rows: list[dict[str, Any]] = [{"method": method, **found} for method, found in by_window.pop("all").items()]
    table("Burnt ground called water", rows, list(rows[0]))
    save_panels(panels, chosen.picture)
    settings: dict[str, Any] = {
        "model": chosen.model,
        "best_rule": best,
        "missing": {each.name: each.why for each in missing},
    }
    settings["windows"] = by_window
    save(chosen.name, settings, rows)
    return 0


def _row(pixels: int, water: int, unobserved: int) -> dict[str, Any]:
    return {
        "burnt_pixels": pixels,
        "called_water": water,
        "called_water_percent": 100 * water / pixels,
        "unobserved_percent": 100 * unobserved / pixels,
    }


def _part(view: View, place: tuple[slice, slice]) -> View:
    return View(view.name, view.reflectance[:, *place], view.observed[place], view.filled[place])


if __name__ == "__main__":
    sys.exit(main())
