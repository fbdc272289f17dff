"""Every method of `narrows water evaluate` on the windows that were drawn by hand.

    python benchmarks/water_truth.py
    python benchmarks/water_truth.py --split choose --plots /tmp/plots --curves

Reads the windows and masks of `benchmarks/truth` and their scenes below ``../shared/data`` beside the clone. A pixel
that two windows show is scored once. Peers are asked where they are installed (``pip install 'narrows[peers]'``).
"""

from __future__ import annotations

import argparse
import csv
import json
import shlex
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from common import save, table
from scenes import SCENES, days

ROOT = Path(__file__).resolve().parents[1]
SIZE = 256
NOT_SCORED = 255


def pairs_of(split: str, truth: Path, data: Path, folder: Path) -> Path:
    """A list of the split's scenes, windows and masks for `narrows water evaluate`; its files go into `folder`."""
    from PIL import Image

    described = json.loads((truth / "windows.json").read_text())
    options = {scene.path: scene.options for scene in SCENES.values()}
    columns = ["scene", "mask", "row", "column", "height", "width", "bands", "scale", "offset", "nodata"]
    seen: dict[str, Any] = {}
    listed = folder / f"{split}.csv"
    with listed.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        for window in described["windows"]:
            scene = described["scenes"][window["scene"]]
            if scene["split"] != split:
                continue
            width, height = scene["size"]
            rows = slice(window["row"], min(window["row"] + SIZE, height))
            across = slice(window["column"], min(window["column"] + SIZE, width))
            with Image.open(truth / "masks" / f"{window['name']}.png") as opened:
                mask = np.array(opened)[: rows.stop - rows.start, : across.stop - across.start]
            before = seen.setdefault(window["scene"], np.zeros((height, width), bool))
            mask[before[rows, across]] = NOT_SCORED
            before[rows, across] = True
            Image.fromarray(mask).save(folder / f"{window['name']}.png")
            source = data / scene["path"]
            if source.suffix == ".npz":
                source = days(source, folder, only=scene["frame"])[0]
            said = shlex.split(options[scene["path"]].replace("--mask-clouds", ""))
            more = {key.removeprefix("--"): value for key, value in zip(said[::2], said[1::2], strict=True)}
            place = {"row": rows.start, "column": across.start}
            place |= {"height": rows.stop - rows.start, "width": across.stop - across.start}
            writer.writerow({"scene": source, "mask": f"{window['name']}.png", **place, **more})
    return listed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--truth", type=Path, default=ROOT / "benchmarks" / "truth")
    parser.add_argument("--split", default="choose,report")
    parser.add_argument("--plots", type=Path, help="an existing folder; gets a folder for each split")
    parser.add_argument("--curves", action="store_true")
    parser.add_argument("--no-peers", action="store_true")
    chosen = parser.parse_args()
    from narrows.water.evaluation.evaluating import evaluate
    from narrows.water.evaluation.methods import NetworkMethod, rules
    from narrows.water.evaluation.pairs import find_pairs
    from narrows.water.evaluation.peers import find_peers
    from narrows.water.evaluation.plots import save_plots
    from narrows.water.network import default_network

    peers, missing = ([], []) if chosen.no_peers else find_peers()
    methods = [*(NetworkMethod(default_network(hidden=hidden)) for hidden in (False, True)), *rules(), *peers]
    rows, by_window = [], {}
    for split in chosen.split.split(","):
        with tempfile.TemporaryDirectory() as temporary:
            listed = pairs_of(split, chosen.truth, chosen.data.resolve(), Path(temporary))
            found = evaluate(
                find_pairs(str(listed), None, {}), methods, missing=missing, curves=chosen.curves, progress=print
            )
        by_window[split] = {
            window: {name: scores.confusion.as_dict() for name, scores in each.items()}
            for window, each in found.scenes.items()
        }
        for name, scores in found.total.items():
            reliability = scores.reliability
            rows.append(
                {
                    "split": split,
                    "method": name,
                    **scores.confusion.as_dict(),
                    "f1_unobserved_as_land": scores.as_land.f1,
                    "boundary_f1": scores.boundary.f1,
                    "ece": reliability.error() if reliability else None,
                    "ece_middle": reliability.error(within=(0.02, 0.98)) if reliability else None,
                    "clear_unobserved_share": scores.unobserved_share,
                    "cloud_and_shadow_called_water": scores.covered_water,
                    "seconds": round(scores.seconds, 2),
                }
            )
        if chosen.plots:
            folder = chosen.plots / split
            folder.mkdir(exist_ok=True)
            save_plots(found, folder, overwrite=True)
    table("Water against drawn masks", rows, [key for key in rows[0] if key not in ("pixels", "water_pixels")])
    if chosen.split == "choose,report":
        settings = {"missing": {each.name: each.why for each in missing}, "windows": by_window}
        save("water_truth", settings, rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
