"""Enlarged views of a window, to draw by and to check a drawing on.

    python benchmarks/truth/views.py manaus_city --out /tmp/views
    python benchmarks/truth/views.py manaus_city --out /tmp/views --drawings benchmarks/truth/drawings --part 64,0,128

Three pictures a window: true colour (red, green, blue), false colour (swir1, nir, green) and the near infrared,
stretched over its dark part. Ticks count pixels of the window. With --drawings the outlines of the drawing's mask are
laid over: water cyan, unsure orange, cloud red, shadow magenta, fill grey.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from drawings import CLASSES, load_drawing, rasterise
from PIL import Image, ImageDraw
from windows import BANDS, DATA, SIZE, Window, load_windows, read_window

OUTLINES = {
    "water": (0, 255, 255),
    "unsure": (255, 165, 0),
    "cloud": (255, 0, 0),
    "shadow": (255, 0, 255),
    "fill": (128, 128, 128),
}
LEFT, TOP = 34, 18


def stretched(band: np.ndarray, low: float, high: float) -> np.ndarray:
    """A band as uint8 between two percentiles of what is neither fill nor zero."""
    seen = band[np.isfinite(band) & (band > 0)]
    bottom, top = np.percentile(seen, (low, high)) if seen.size else (0.0, 1.0)
    scaled = np.clip((np.nan_to_num(band) - bottom) / max(top - bottom, 1e-6), 0, 1)
    return np.asarray(255 * scaled**0.8).astype(np.uint8)


def pictures(bands: np.ndarray, dark: float = 45.0) -> dict[str, np.ndarray]:
    """True colour, false colour and the dark part of the near infrared, each [rows, columns, 3] uint8."""
    by_name = dict(zip(BANDS, bands, strict=True))
    return {
        "true": np.dstack([stretched(by_name[name], 1, 98) for name in ("red", "green", "blue")]),
        "false": np.dstack([stretched(by_name[name], 1, 98) for name in ("swir1", "nir", "green")]),
        "nir": np.dstack([stretched(by_name["nir"], 0.5, dark)] * 3),
    }


def enlarged(
    picture: np.ndarray, mask: np.ndarray | None, part: tuple[int, int, int], width: int = 1400
) -> Image.Image:
    """A square part (column, row, size) of a picture with ticks, and the mask's outlines over it."""
    column, row, size = part
    zoom = max(1, width // size)
    there = (slice(row, row + size), slice(column, column + size))
    large = Image.fromarray(picture[there]).resize((size * zoom, size * zoom), Image.Resampling.NEAREST)
    drawn = ImageDraw.Draw(large)
    if mask is not None:
        for name, colour in OUTLINES.items():
            outline(drawn, mask[there] == CLASSES[name], zoom, colour)
    sheet = Image.new("RGB", (large.width + LEFT, large.height + TOP))
    sheet.paste(large, (LEFT, TOP))
    ruler = ImageDraw.Draw(sheet)
    step = 16 if size > 100 else 8
    for number in range(0, size, step):
        at = number * zoom
        ruler.line([(LEFT + at, TOP - 6), (LEFT + at, TOP)], fill="white")
        ruler.text((LEFT + at + 2, 2), str(column + number), fill="white")
        ruler.line([(LEFT - 6, TOP + at), (LEFT, TOP + at)], fill="white")
        ruler.text((2, TOP + at), str(row + number), fill="white")
    return sheet


def outline(
    drawn: ImageDraw.ImageDraw,
    inside: np.ndarray,
    zoom: int,
    colour: tuple[int, int, int],
    origin: tuple[int, int] = (0, 0),
) -> None:
    """Lines along the borders of the pixels inside; `origin` is where the picture's corner is."""
    left, top = origin
    padded = np.pad(inside, 1)
    for row, column in zip(*np.nonzero(padded[:, 1:] != padded[:, :-1]), strict=True):
        x, y = left + int(column) * zoom, top + int(row) * zoom
        drawn.line([(x, y - zoom), (x, y)], fill=colour)
    for row, column in zip(*np.nonzero(padded[1:] != padded[:-1]), strict=True):
        x, y = left + int(column) * zoom, top + int(row) * zoom
        drawn.line([(x - zoom, y), (x, y)], fill=colour)


def render(
    window: Window, data: Path, out: Path, drawings: Path | None, part: tuple[int, int, int], dark: float
) -> None:
    """Write a window's views below `out`."""
    bands = read_window(window, data)
    mask = None
    if drawings is not None and (source := drawings / f"{window.name}.json").exists():
        mask = rasterise(load_drawing(source), window, bands)
    out.mkdir(parents=True, exist_ok=True)
    for name, picture in pictures(bands, dark).items():
        enlarged(picture, mask, part).save(out / f"{window.name}_{name}.png")


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="windows of the table (default: all)")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--drawings", type=Path, help="lay the outlines of these drawings over")
    parser.add_argument("--part", default=f"0,0,{SIZE}", help="column,row,size")
    parser.add_argument("--dark", type=float, default=45.0, help="percentile of the near infrared that is white")
    chosen = parser.parse_args()
    windows = load_windows()
    column, row, size = (int(each) for each in chosen.part.split(","))
    if unknown := set(chosen.names) - windows.keys():
        sys.exit(f"no such window: {', '.join(sorted(unknown))}")
    for name in chosen.names or windows:
        render(windows[name], chosen.data, chosen.out, chosen.drawings, (column, row, size), chosen.dark)


if __name__ == "__main__":
    try:
        main()
    except (FileNotFoundError, ValueError) as error:
        sys.exit(str(error))
