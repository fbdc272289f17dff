"""How far two people's drawings of the same windows agree.

    python benchmarks/truth/compare_passes.py first/drawings second/drawings --out agreement

For each window that both have drawn: intersection over union of water, over all pixels that neither calls fill, then
without what either calls unsure, cloud or shadow, then without the pixels at either's shore too; and the confusion of
all classes. Over the windows of a split, over those with little water, and over all, the counts are summed, each pixel
of a scene once. Writes ``agreement.json``, ``agreement.md`` and a picture of each window, with both outlines over false
colour: the first cyan, the second yellow. The imagery is needed.
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
from windows import DATA, SIZE, load_windows, read_window, seen_once

SEEN = ("land", "water")
LITTLE = 5000
"""Pixels that either pass calls water: a window with fewer has little, and a sum over all windows hides it."""


def ratio(both: int, either: int) -> float | None:
    """Intersection over union; None where neither drew anything."""
    return both / either if either else None


def agreement(first: np.ndarray, second: np.ndarray, counted: np.ndarray | None = None) -> dict[str, Any]:
    """Counts and figures of two masks, each [rows, columns] with the numbers of `CLASSES`.

    `water` counts every pixel that neither calls fill; `clear` those which both call land or water; `away` of the
    clear ones those that don't touch the border of either's water. Pixels out of `counted` [rows, columns] bool, where
    given, count nowhere.
    """
    within = np.ones(first.shape, bool) if counted is None else counted
    names = list(CLASSES)
    numbers = [CLASSES[name] for name in names]
    confusion = [[int(((first == a) & (second == b) & within).sum()) for b in numbers] for a in numbers]
    wet = [mask == CLASSES["water"] for mask in (first, second)]
    everywhere = (first != CLASSES["fill"]) & (second != CLASSES["fill"]) & within
    clear = np.logical_and(*(np.isin(mask, [CLASSES[name] for name in SEEN]) for mask in (first, second))) & within
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


def compared(masks: dict[str, tuple[np.ndarray, np.ndarray]]) -> dict[str, dict[str, Any]]:
    """The agreement of each window's two masks by name, then of sums over windows: splits, little water, and all.

    Where windows of one scene overlap, a sum counts a pixel in the first of them in the table.
    """
    windows = {name: window for name, window in load_windows().items() if name in masks}
    found = {name: agreement(*pair) for name, pair in masks.items()}
    once = {name: agreement(*pair, seen_once(windows[name], windows)) for name, pair in masks.items()}
    for split in ("choose", "report"):
        if chosen := [one for name, one in once.items() if windows[name].source.split == split]:
            found[f"all of {split}"] = total(chosen)
    if little := [one for name, one in once.items() if found[name]["water"]["either"] < LITTLE]:
        found["all with little water"] = total(little)
    found["all windows"] = total(list(once.values()))
    return found


def alone(one: dict[str, Any], name: str = "water") -> tuple[int, int, int]:
    """How many pixels both, only the first, and only the second give a class, of those that neither calls fill."""
    index, fill = one["classes"].index(name), one["classes"].index("fill")
    row, column = one["confusion"][index], [line[index] for line in one["confusion"]]
    both = row[index]
    return both, sum(row) - both - row[fill], sum(column) - both - column[fill]


def lines_of(found: dict[str, dict[str, Any]]) -> str:
    """The figures as JSON, one window a line."""
    return "{\n" + ",\n".join(f"{json.dumps(name)}: {json.dumps(one)}" for name, one in found.items()) + "\n}\n"


def report(found: dict[str, dict[str, Any]]) -> str:
    """The figures as two Markdown tables: by window, and by class over all windows."""
    lines = [
        "| window | IoU of water | both sure | away from shores | clear pixels that agree | water in both "
        "| only first | only second |",
        "|" + "---|" * 8,
    ]
    for name, one in found.items():
        ratios = [one["water"]["iou"], one["clear"]["iou"], one["away"]["iou"], one["clear"]["agree"]]
        cells = ["-" if cell is None else f"{cell:.3f}" for cell in ratios]
        cells += [f"{count:,}" for count in alone(one)]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    lines += ["", "| class, all windows | IoU | in both | only first | only second |", "|" + "---|" * 5]
    for name in CLASSES:
        counts = alone(found["all windows"], name)
        if name != "fill" and sum(counts):
            cells = [f"{counts[0] / sum(counts):.3f}", *(f"{count:,}" for count in counts)]
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--out", type=Path, required=True, help="folder for the figures and pictures")
    chosen = parser.parse_args()
    masks: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for name, window in load_windows().items():
        sources = [folder / f"{name}.json" for folder in (chosen.first, chosen.second)]
        if not all(source.exists() for source in sources):
            continue
        bands = read_window(window, chosen.data)
        first, second = (rasterise(load_drawing(source), window, bands) for source in sources)
        masks[name] = (first, second)
        chosen.out.mkdir(parents=True, exist_ok=True)
        sheet = enlarged(pictures(bands)["false"], None, (0, 0, SIZE))
        drawn, zoom = ImageDraw.Draw(sheet), (sheet.width - LEFT) // SIZE
        for mask, colour in ((first, (0, 255, 255)), (second, (255, 255, 0))):
            outline(drawn, mask == CLASSES["water"], zoom, colour, (LEFT, TOP))
        sheet.save(chosen.out / f"{name}.png")
    if not masks:
        sys.exit(f"no window is drawn in both {chosen.first} and {chosen.second}")
    found = compared(masks)
    (chosen.out / "agreement.json").write_text(lines_of(found))
    (chosen.out / "agreement.md").write_text(report(found))
    print(report(found), end="")


if __name__ == "__main__":
    try:
        main()
    except (FileNotFoundError, ValueError) as error:
        sys.exit(str(error))
