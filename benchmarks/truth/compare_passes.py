"""How far two people's drawings of the same windows agree.

    python benchmarks/truth/compare_passes.py first/drawings second/drawings --out agreement

For each window that both have drawn: intersection over union of water, over all pixels that neither calls fill, then
without what either calls unsure, cloud or shadow, then without the pixels at either's shore too; and the confusion of
all classes. Over all windows the counts are summed. Writes ``agreement.json``, ``agreement.md`` and a picture of each
window, with both outlines over false colour: the first cyan, the second yellow. The imagery is needed.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from drawings import CLASSES, load_drawing, rasterise
from PIL import ImageDraw
from scipy import ndimage
from views import LEFT, TOP, enlarged, outline, pictures
from windows import DATA, SIZE, load_windows, read_window

SEEN = ("land", "water")


def ratio(both: int, either: int) -> float | None:
    """Intersection over union; None where neither drew anything."""
    return both / either if either else None


def agreement(first: np.ndarray, second: np.ndarray) -> dict[str, Any]:
    """Counts and figures of two masks, each [rows, columns] with the numbers of `CLASSES`.

    `water` counts every pixel that neither calls fill; `clear` those which both call land or water; `away` of the
    clear ones those that don't touch the border of either's water.
    """
    names = list(CLASSES)
    numbers = [CLASSES[name] for name in names]
    confusion = [[int(((first == a) & (second == b)).sum()) for b in numbers] for a in numbers]
    wet = [mask == CLASSES["water"] for mask in (first, second)]
    everywhere = (first != CLASSES["fill"]) & (second != CLASSES["fill"])
    clear = np.logical_and(*(np.isin(mask, [CLASSES[name] for name in SEEN]) for mask in (first, second)))
    near = np.logical_or(
        *(ndimage.binary_dilation(each) & ~ndimage.binary_erosion(each, border_value=1) for each in wet)
    )
    found: dict[str, Any] = {"classes": names, "confusion": confusion}
    for name, where in (("water", everywhere), ("clear", clear), ("away", clear & ~near)):
        both, either = int((wet[0] & wet[1] & where).sum()), int(((wet[0] | wet[1]) & where).sum())
        found[name] = {"pixels": int(where.sum()), "both": both, "either": either, "iou": ratio(both, either)}
    found["clear"]["agree"] = float((first == second)[clear].mean()) if clear.any() else None
    return found


def total(each: list[dict[str, Any]]) -> dict[str, Any]:
    """The counts of several windows, summed."""
    out: dict[str, Any] = {
        "classes": list(CLASSES),
        "confusion": np.sum([one["confusion"] for one in each], 0).tolist(),
    }
    for name in ("water", "clear", "away"):
        counts = {key: sum(one[name][key] for one in each) for key in ("pixels", "both", "either")}
        out[name] = {**counts, "iou": ratio(counts["both"], counts["either"])}
    pixels = out["clear"]["pixels"]
    agreeing = sum(one["confusion"][index][index] for one in each for index in range(len(SEEN)))
    out["clear"]["agree"] = agreeing / pixels if pixels else None
    return out


def report(found: dict[str, dict[str, Any]]) -> str:
    """The figures as a Markdown table."""
    lines = [
        "| window | IoU of water | both sure | away from shores | clear pixels that agree |",
        "|---|---|---|---|---|",
    ]
    for name, one in found.items():
        cells = [one["water"]["iou"], one["clear"]["iou"], one["away"]["iou"], one["clear"]["agree"]]
        lines.append(f"| {name} | " + " | ".join("-" if cell is None else f"{cell:.3f}" for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--out", type=Path, required=True, help="folder for the figures and pictures")
    chosen = parser.parse_args()
    found: dict[str, dict[str, Any]] = {}
    for name, window in load_windows().items():
        sources = [folder / f"{name}.json" for folder in (chosen.first, chosen.second)]
        if not all(source.exists() for source in sources):
            continue
        bands = read_window(window, chosen.data)
        first, second = (rasterise(load_drawing(source), window, bands) for source in sources)
        found[name] = agreement(first, second)
        chosen.out.mkdir(parents=True, exist_ok=True)
        sheet = enlarged(pictures(bands)["false"], None, (0, 0, SIZE))
        drawn, zoom = ImageDraw.Draw(sheet), (sheet.width - LEFT) // SIZE
        for mask, colour in ((first, (0, 255, 255)), (second, (255, 255, 0))):
            outline(drawn, mask == CLASSES["water"], zoom, colour, (LEFT, TOP))
        sheet.save(chosen.out / f"{name}.png")
    if not found:
        sys.exit(f"no window is drawn in both {chosen.first} and {chosen.second}")
    found["all windows"] = total(list(found.values()))
    (chosen.out / "agreement.json").write_text(json.dumps(found, indent=1) + "\n")
    (chosen.out / "agreement.md").write_text(report(found))
    print(report(found), end="")


if __name__ == "__main__":
    try:
        main()
    except (FileNotFoundError, ValueError) as error:
        sys.exit(str(error))
