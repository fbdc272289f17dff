"""Rasterise drawings into masks, and list what they hold.

    python benchmarks/truth/make_masks.py
    python benchmarks/truth/make_masks.py --check
    python benchmarks/truth/make_masks.py --drawings second/drawings --masks second/masks

Each ``drawings/NAME.json`` becomes ``masks/NAME.png``, and README's table of windows is written again. With --check
nothing is written; what differs is named, and the exit status is 1. Drawings with wands need the imagery (`--data`, by
default ``../shared/data`` beside the clone).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from drawings import CLASSES, DRAWINGS, MASKS, load_drawing, rasterise, read_mask, write_mask
from windows import DATA, HERE, Window, load_windows, read_window

README = HERE / "README.md"
START, END = "<!-- windows -->\n", "<!-- end -->"
COUNTED = ("water", "unsure", "cloud", "shadow", "fill")


def make(name: str, window: Window, drawings: Path, data: Path) -> np.ndarray:
    """The mask of a window's drawing."""
    drawing = load_drawing(drawings / f"{name}.json")
    return rasterise(drawing, window, read_window(window, data) if drawing.needs_imagery else None)


def table(windows: dict[str, Window], drawings: Path, masks: Path) -> str:
    """What README says of each window: its split, what it shows, confidence, and pixels by class."""
    lines = [
        "| window | split | what it shows | sure | " + " | ".join(COUNTED) + " |",
        "|" + "---|" * (4 + len(COUNTED)),
    ]
    for name, window in windows.items():
        if not (masks / f"{name}.png").exists():
            continue
        mask = read_mask(masks / f"{name}.png")
        counts = " | ".join(f"{int((mask == CLASSES[each]).sum()):,}" for each in COUNTED)
        sure = load_drawing(drawings / f"{name}.json").confidence
        lines.append(f"| {name} | {window.source.split} | {window.shows} | {sure} | {counts} |")
    return "\n".join(lines) + "\n"


def filled(page: str, rows: str) -> str:
    """`page` with its table of windows written again."""
    before, rest = page.split(START)
    return before + START + rows + END + rest.split(END, 1)[1]


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--drawings", type=Path, default=DRAWINGS)
    parser.add_argument("--masks", type=Path, default=MASKS)
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit with 1 where a mask isn't its drawing's"
    )
    chosen = parser.parse_args()
    windows = load_windows()
    differing = []
    for name, window in windows.items():
        if not (chosen.drawings / f"{name}.json").exists():
            print(f"{name}: not drawn")
            continue
        mask, path = make(name, window, chosen.drawings, chosen.data), chosen.masks / f"{name}.png"
        if not chosen.check:
            write_mask(mask, path)
        elif not path.exists() or not np.array_equal(mask, read_mask(path)):
            differing.append(name)
    if chosen.masks == MASKS:
        page = README.read_text()
        again = filled(page, table(windows, chosen.drawings, chosen.masks))
        if not chosen.check:
            README.write_text(again)
        elif again != page:
            differing.append("the table of README.md")
    if differing:
        sys.exit(f"not as drawn: {', '.join(differing)}")


if __name__ == "__main__":
    try:
        main()
    except (FileNotFoundError, ValueError) as error:
        sys.exit(str(error))
