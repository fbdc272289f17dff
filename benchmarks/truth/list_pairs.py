"""List the scenes of a split with their masks, for `narrows water evaluate`, `narrows water train` and the recipes.

    python benchmarks/truth/list_pairs.py --split choose --out build/choose

writes the part of each mask that lies inside its scene, and ``pairs.csv``, into the folder. Dates of an archive aren't
files and are left out.
"""

from __future__ import annotations

import argparse
import csv
import os
import shlex
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from windows import DATA, HERE, load_windows

sys.path.insert(0, str(HERE.parent))
from scenes import SCENES

COLUMNS = ("scene", "mask", "row", "column", "height", "width", "bands", "sensor", "scale", "offset", "nodata")


def list_pairs(split: str, out: Path, data: Path = DATA) -> Path:
    """Write the list of that split's windows, and their masks, into `out`; returns the list."""
    out.mkdir(parents=True, exist_ok=True)
    options = {scene.path: scene.options for scene in SCENES.values()}
    place = out / "pairs.csv"
    with place.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        for name, window in load_windows().items():
            if window.source.split != split or window.source.frame is not None:
                continue
            inside = window.inside()
            mask = np.asarray(Image.open(HERE / "masks" / f"{name}.png"))[inside]
            Image.fromarray(mask).save(out / f"{name}.png")
            said = shlex.split(options[window.source.path])
            writer.writerow(
                {
                    "scene": os.path.relpath(data / window.source.path, out),
                    "mask": f"{name}.png",
                    "row": window.row,
                    "column": window.column,
                    "height": mask.shape[0],
                    "width": mask.shape[1],
                    **{key.removeprefix("--"): value for key, value in zip(said[::2], said[1::2], strict=True)},
                }
            )
    return place


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--split", choices=("choose", "report"), default="choose")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", type=Path, default=DATA)
    given = parser.parse_args()
    print(list_pairs(given.split, given.out, given.data))


if __name__ == "__main__":
    main()
