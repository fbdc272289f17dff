"""How far apart the scores of the water networks lie when only the seed of their training differs.

    python benchmarks/water_seeds.py runs/water-306 runs/water-307 runs/small-306

Each folder is one that `python -m narrows.water.recipes.training` wrote. What was scored earlier stays in the results
unless the same network and seed is scored again, so that trainings can be added one by one; trainings of other settings
are refused beside them. Scores are those of `water_held_out.py` (consensus pixels) and of `water_truth.py` (windows of
*report*, and the cloudy chip, on which nothing is chosen).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common import RESULTS, save, table
from water_methods import DATA, network_of
from water_truth import drawn_scenes, scored

from narrows.water.classes import hides
from narrows.water.evaluation.calibration import MIDDLE, Reliability
from narrows.water.evaluation.confusion import Confusion
from narrows.water.evaluation.methods import NetworkMethod
from narrows.water.evaluation.scoring import Scores
from narrows.water.recipes.chips import Chips, read_chips, read_split
from narrows.water.recipes.scoring import predict

NAME = "water_seeds"


def training_of(folder: Path) -> tuple[str, int, dict[str, Any]]:
    """Network, seed, and what else its training was set to."""
    found = sorted(folder.glob("water*.json"))
    if len(found) != 1:
        raise SystemExit(f"{folder}: no finished training of a water network")
    told = json.loads(found[0].read_text())
    settings = {**told["settings"], "second": told["second"], "parameters": told["parameters"]}
    seed = settings.pop("seed")
    if settings["second"]:
        settings["second"] = {**settings["second"], "seed": None}
    return told["name"], seed, settings


def scores_of(model: str, chips: Chips, data: Path) -> dict[str, Any]:
    """Figures of one network."""
    network: Any = network_of(model, hidden=True)
    said = predict(network.module.network, chips.reflectance)
    truth = chips.label > 0
    reliability = Reliability()
    reliability.add(said[:, 0][chips.known], truth[chips.known])
    found: dict[str, Any] = {
        "held_out_iou": Confusion.of(said[:, 0] >= 0.5, truth, chips.known).iou,
        "ece": reliability.error(),
        "ece_middle": reliability.error(within=MIDDLE),
        "clear_hidden_percent": 100 * float(hides(said[:, 0], said[:, 1])[chips.known].mean()),
    }
    method = NetworkMethod(network_of(model))
    for split in ("report", "cloudy"):
        total = Scores()
        for drawn in drawn_scenes(split, data):
            answer = method.map(drawn.view)
            for place, mask in drawn.windows.values():
                total += scored(answer, drawn.view, place, mask)
        found[f"{split}_f1"] = total.confusion.f1
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--data", type=Path, default=DATA)
    chosen = parser.parse_args(arguments)
    file = RESULTS / f"{NAME}.json"
    held = json.loads(file.read_text()) if file.exists() else {"rows": [], "settings": {}}
    rows = {(row["network"], row["seed"]): row for row in held["rows"]}
    settings: dict[str, Any] = dict(held["settings"])
    chips = read_chips(chosen.data / "water306" / "hls306_6band.npz").at_places(read_split()["test"])
    for folder in chosen.folders:
        name, seed, training = training_of(folder)
        if settings.setdefault(name, training) != training:
            raise SystemExit(f"{folder}: trained otherwise than what {file.name} holds of {name}; remove that first")
        print(f"{name}, seed {seed}", flush=True)
        scores = scores_of(str(folder / f"{name}.safetensors"), chips, chosen.data.resolve())
        rows[name, seed] = {"network": name, "seed": seed, **scores}
    found = [rows[key] for key in sorted(rows)]
    table("By seed", found, list(found[0]))
    save(NAME, settings, found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
