"""Every method of `narrows water evaluate` on the windows that were drawn by hand, and on the cloudy chip.

    python benchmarks/water_truth.py
    python benchmarks/water_truth.py --model water-small --split choose --plots /tmp/plots

Reads the windows and masks of `benchmarks/truth` and their scenes below ``../shared/data`` beside the clone. Each
method maps each scene whole, as it would be used, and is scored in the windows; a pixel that two windows show is scored
once. The chip is the one with labels under clouds that came with ukis-csmask, which may have been trained on it; it is
reported and used for no choice. Peers are asked where they are installed (``pip install 'narrows[peers]'``).
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from common import save, table
from numpy.typing import NDArray
from scenes import SCENES, cloudy_chip, days
from water_methods import DATA, ROOT, WithoutSwir, add_options, methods_of, network_of, view_of

from narrows.water.evaluation.confusion import Confusion
from narrows.water.evaluation.evaluating import Evaluation
from narrows.water.evaluation.methods import Answer, Method, NetworkMethod, rules
from narrows.water.evaluation.plots import save_plots
from narrows.water.evaluation.scoring import Scores, score
from narrows.water.evaluation.truth import CLOUD, LAND, SHADOW, WATER
from narrows.water.evaluation.view import View

TRUTH = ROOT / "benchmarks" / "truth"
SIZE = 256
NOT_SCORED = 255
SPLITS = ("choose", "report", "cloudy")
CHIP = "cloudy/sentinel2_l1c.npz"
# The chip's classes: 0 shadow, 1 water, 2 snow, 3 land, 4 cloud.
CHIP_CLASSES = np.array([SHADOW, WATER, LAND, LAND, CLOUD], np.uint8)

Place = tuple[slice, slice]


@dataclass
class Drawn:
    """A scene held whole, and its windows: where each lies and its mask, 255 where an earlier window shows the same."""

    name: str
    view: View
    windows: dict[str, tuple[Place, NDArray[np.uint8]]] = field(default_factory=dict)


def drawn_scenes(split: str, data: Path, truth: Path = TRUTH) -> Iterator[Drawn]:
    """The scenes of a split, one after the other."""
    from PIL import Image

    described = json.loads((truth / "windows.json").read_text())
    options = {scene.path: scene.options for scene in SCENES.values()}
    with tempfile.TemporaryDirectory() as temporary:
        if split == "cloudy":
            with np.load(data / CHIP) as archive:
                mask = CHIP_CLASSES[archive["msk"].squeeze().astype(np.int64)]
            drawn = Drawn("cloudy", view_of(cloudy_chip(data / CHIP, Path(temporary)), options[CHIP]))
            drawn.windows["cloudy"] = ((slice(None), slice(None)), mask)
            yield drawn
            return
        for name, scene in described["scenes"].items():
            if scene["split"] != split:
                continue
            source = data / scene["path"]
            if "frame" in scene:
                source = days(source, Path(temporary), only=scene["frame"])[0]
            view = view_of(source, options[scene["path"]])
            drawn, before = Drawn(name, view), np.zeros(view.shape, bool)
            for window in described["windows"]:
                if window["scene"] != name:
                    continue
                place = tuple(slice(window[key], window[key] + SIZE) for key in ("row", "column"))
                height, width = before[place].shape
                with Image.open(truth / "masks" / f"{window['name']}.png") as opened:
                    mask = np.array(opened)[:height, :width]
                mask[before[place]] = NOT_SCORED
                before[place] = True
                drawn.windows[window["name"]] = (place, mask)
            yield drawn


def scored(answer: Answer, view: View, place: Place, mask: NDArray[np.uint8]) -> Scores:
    """One window of an answer."""
    probability = None if answer.probability is None else answer.probability[place]
    return score(Answer(answer.classes[place], probability), mask, view.observed[place])


def best_rule(data: Path) -> Method:
    """The index or rule of highest F1 on the scenes to choose by."""
    total = {method: Confusion() for method in rules()}
    for drawn in drawn_scenes("choose", data):
        for method in total:
            answer = method.map(drawn.view)
            for place, mask in drawn.windows.values():
                total[method] += scored(answer, drawn.view, place, mask).confusion
    return max(total, key=lambda method: total[method].f1 or 0.0)


def row(split: str, name: str, scores: Scores) -> dict[str, Any]:
    reliability = scores.reliability
    return {
        "split": split,
        "method": name,
        **scores.confusion.as_dict(),
        "f1_unobserved_as_land": scores.as_land.f1,
        "boundary_f1": scores.boundary.f1,
        "ece": reliability.error() if reliability else None,
        "ece_middle": reliability.error(within=(0.02, 0.98)) if reliability else None,
        "clear_unobserved_share": scores.unobserved_share,
        "cloud_and_shadow_called_water": scores.covered_water,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--split", default=",".join(SPLITS))
    parser.add_argument("--plots", type=Path, help="an existing folder; gets a folder for each split")
    parser.add_argument("--name", default="water_truth", help="of the result files")
    add_options(parser)
    chosen = parser.parse_args()
    methods, missing = methods_of(chosen)
    methods.insert(2, WithoutSwir(NetworkMethod(network_of(chosen.model))))
    rows, by_scene = [], []
    windows: dict[str, dict[str, Any]] = {}
    for split in chosen.split.split(","):
        found = Evaluation({}, {}, [], missing)
        for drawn in drawn_scenes(split, chosen.data.resolve()):
            whole: dict[str, Scores] = {}
            for method in methods:
                print(f"{split}: {drawn.name}: {method.name}", flush=True)
                answer = method.map(drawn.view)
                for window, (place, mask) in drawn.windows.items():
                    part = scored(answer, drawn.view, place, mask)
                    found.scenes.setdefault(window, {})[method.name] = part
                    whole[method.name] = whole.get(method.name, Scores()) + part
            for name, scores in whole.items():
                found.total[name] = found.total.get(name, Scores()) + scores
            water = next(iter(whole.values())).confusion.as_dict()["water_pixels"]
            f1 = {name: scores.confusion.f1 for name, scores in whole.items()}
            by_scene.append({"split": split, "scene": drawn.name, "water_pixels": water, **f1})
        rows += [row(split, name, scores) for name, scores in found.total.items()]
        windows[split] = {
            window: {name: scores.confusion.as_dict() for name, scores in each.items()}
            for window, each in found.scenes.items()
        }
        if chosen.plots:
            folder = chosen.plots / split
            folder.mkdir(exist_ok=True)
            save_plots(found, folder, overwrite=True)
    table("Water against drawn masks", rows, [key for key in rows[0] if key not in ("pixels", "water_pixels")])
    table("F1 by scene", by_scene, list(by_scene[0]))
    if chosen.split == ",".join(SPLITS):
        settings = {"model": chosen.model, "missing": {each.name: each.why for each in missing}}
        save(chosen.name, {**settings, "windows": windows}, rows)
        save(f"{chosen.name}_scenes", settings, by_scene)
    return 0


if __name__ == "__main__":
    sys.exit(main())
