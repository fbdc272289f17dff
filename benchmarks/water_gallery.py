"""The pictures of docs/scenes.md: each real scene beside the maps of the network, of the best rule, and of ukis-csmask.

    python benchmarks/water_gallery.py
    python benchmarks/water_gallery.py --model water-small --only manaus_l9,cloudy --out /tmp/gallery

The best rule is the index, or DSWE, of highest F1 on the drawn windows that are there to choose by. The network and
ukis-csmask hide clouds by their own opinion. Drawn masks score what
they show of a scene in the panels' titles: F1 of water.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from scenes import SCENES
from water_methods import DATA, ROOT, Kept, add_options, network_of, view_of
from water_pictures import panel_of, save_panels
from water_truth import best_rule, drawn_scenes, scored

from narrows.water.evaluation.confusion import Confusion
from narrows.water.evaluation.methods import Method, NetworkMethod
from narrows.water.evaluation.peers import CsMask, find_peers

PAGE_NAMES = {"l7_etms": "l7_coast"}
"""Scenes that the drawn windows call otherwise than the page."""


def methods_for(chosen: argparse.Namespace, best: Method) -> dict[str, Method]:
    """By the titles of their panels."""
    network = network_of(chosen.model, hidden=True)
    found: dict[str, Method] = {"narrows": NetworkMethod(network), best.name: best}
    peers = [] if chosen.no_peers else find_peers()[0]
    return found | {
        f"ukis-csmask {each.version}": Kept(each, chosen.kept) for each in peers if isinstance(each, CsMask)
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images" / "scenes")
    parser.add_argument("--only", default=",".join(SCENES))
    add_options(parser)
    chosen = parser.parse_args()
    data = chosen.data.resolve()
    best = best_rule(data)
    drawn = {
        PAGE_NAMES.get(each.name, each.name): each.windows
        for split in ("choose", "report", "cloudy")
        for each in drawn_scenes(split, data)
    }
    for name in chosen.only.split(","):
        scene = SCENES[name]
        with tempfile.TemporaryDirectory() as temporary:
            source = (data / scene.path).resolve()
            view = view_of(scene.prepare(source, Path(temporary)) if scene.prepare else source, scene.options)
        panels = [panel_of(view, None, "scene: short-wave infrared, near infrared, red")]
        for title, method in methods_for(chosen, best).items():
            answer = method.map(view)
            total = Confusion()
            for place, mask in drawn.get(name, {}).values():
                total += scored(answer, view, place, mask).confusion
            if total.hits + total.misses:
                title += f": F1 {total.f1:.2f}"
            panels.append(panel_of(view, answer.classes, title))
        pairs = [panels[start : start + 2] for start in range(0, len(panels), 2)]
        save_panels(pairs, chosen.out / f"{name}.jpg", inches=4.8 if view.shape[0] < view.shape[1] else 4.0)
        print(f"{name}: {', '.join(panel.title for panel in panels[1:])}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
