"""From a drawing to its mask.

A drawing is a JSON file of shapes in pixel coordinates of its window: x to the right, y down, (0, 0) the upper left
corner of the upper left pixel, so that a pixel's centre is at a half. Shapes are laid down in order, later ones over
earlier ones, on land. A shape has a `class` and one of:

- `polygon`: a list of points; a pixel belongs to it whose centre is inside;
- `line`: a list of points, with a `width` in pixels;
- `wand`: `{band, below | above}` with a `polygon`, or a `line` and a `width`: the pixels in there whose stored value of
  that one band is below or above. `smallest` drops groups (8 neighbours) of fewer pixels.

and may have `over`, the only classes that it may cover, `confidence` (high, medium, low) and a `note`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from rasterio.features import rasterize
from scipy import ndimage
from shapely.geometry import LineString, Polygon
from windows import BANDS, HERE, SIZE, Window, read_window

DRAWINGS, MASKS = HERE / "drawings", HERE / "masks"
CLASSES = {"land": 0, "water": 1, "unsure": 2, "cloud": 3, "shadow": 4, "fill": 255}
COLOURS = {
    "land": (222, 214, 196),
    "water": (40, 90, 200),
    "unsure": (230, 150, 40),
    "cloud": (255, 255, 255),
    "shadow": (90, 80, 110),
    "fill": (0, 0, 0),
}
CONFIDENCES = ("high", "medium", "low")
FORMS = ("polygon", "line", "wand")


@dataclass(frozen=True)
class Drawing:
    """The shapes of one window, how sure the drawer is of it, and what they noted."""

    window: str
    confidence: str
    notes: str
    shapes: list[dict[str, Any]]

    @property
    def needs_imagery(self) -> bool:
        """Whether a shape is a threshold inside an outline, for which the band is needed."""
        return any("wand" in shape for shape in self.shapes)


def load_drawing(path: Path) -> Drawing:
    """The drawing in `path`.

    Raises:
        ValueError: it isn't a drawing, or has a class, a form or a confidence that isn't known.
    """
    try:
        drawing = Drawing(**json.loads(path.read_text()))
    except (json.JSONDecodeError, TypeError) as error:
        raise ValueError(f"{path.name}: not a drawing: {error}") from error
    if drawing.confidence not in CONFIDENCES:
        raise ValueError(f"{path.name}: confidence {drawing.confidence!r} is none of {', '.join(CONFIDENCES)}")
    for number, shape in enumerate(drawing.shapes):
        where = f"{path.name}: shape {number}"
        unknown = {shape["class"], *shape.get("over", ())} - CLASSES.keys()
        if unknown:
            raise ValueError(f"{where}: no class {', '.join(sorted(unknown))}")
        if sum(form in shape for form in FORMS) != 1:
            raise ValueError(f"{where}: has to be one of {', '.join(FORMS)}")
        if shape.get("confidence", "high") not in CONFIDENCES:
            raise ValueError(f"{where}: confidence {shape['confidence']!r} is none of {', '.join(CONFIDENCES)}")
    return drawing


def rasterise(drawing: Drawing, window: Window, bands: np.ndarray | None = None) -> np.ndarray:
    """The mask of a drawing, [SIZE, SIZE] uint8 with the numbers of `CLASSES`.

    `bands` is [6, SIZE, SIZE] as stored, needed where the drawing has wands; read from the imagery where not given.

    Raises:
        FileNotFoundError: the drawing has wands, and the imagery isn't there.
    """
    if drawing.needs_imagery and bands is None:
        bands = read_window(window)
    mask = np.full((SIZE, SIZE), CLASSES["land"], np.uint8)
    for shape in drawing.shapes:
        inside = _pixels(shape, bands)
        if "over" in shape:
            inside &= np.isin(mask, [CLASSES[name] for name in shape["over"]])
        mask[inside] = CLASSES[shape["class"]]
    beyond = np.ones((SIZE, SIZE), bool)
    beyond[window.inside()] = False
    mask[beyond] = CLASSES["fill"]
    return mask


def touched_by_wands(drawing: Drawing) -> np.ndarray:
    """The pixels inside the outline of any wand but those that take no data, [SIZE, SIZE] bool.

    What the others are depends on no imagery, but for what is fill.
    """
    inside = np.zeros((SIZE, SIZE), bool)
    for shape in drawing.shapes:
        if "wand" in shape and shape["class"] != "fill":
            inside |= _outline(shape["wand"])
    return inside


def burn_scars(name: str, outlines: Path = HERE / "burn_scars.json") -> np.ndarray:
    """The pixels of a window that were outlined as freshly burnt, [SIZE, SIZE] bool; none where nothing was."""
    inside = np.zeros((SIZE, SIZE), bool)
    for points in json.loads(outlines.read_text())["scars"].get(name, []):
        inside |= _outline({"polygon": points})
    return inside


def _pixels(shape: dict[str, Any], bands: np.ndarray | None) -> np.ndarray:
    if "wand" not in shape:
        return _outline(shape)
    wand = shape["wand"]
    assert bands is not None
    band = bands[BANDS.index(wand["band"])]
    with np.errstate(invalid="ignore"):
        inside = _outline(wand) & (band < wand["below"] if "below" in wand else band > wand["above"])
    if "smallest" in wand:
        groups, _ = ndimage.label(inside, np.ones((3, 3)))
        inside &= np.bincount(groups.ravel())[groups] >= wand["smallest"]
    return inside


def _outline(shape: dict[str, Any]) -> np.ndarray:
    if "polygon" in shape:
        area = Polygon(shape["polygon"])
    else:
        area = LineString(shape["line"]).buffer(shape["width"] / 2, cap_style="flat")
    return rasterize([(area, 1)], out_shape=(SIZE, SIZE), fill=0, dtype="uint8") == 1


def write_mask(mask: np.ndarray, path: Path) -> None:
    """An indexed PNG whose indices are the numbers of `CLASSES`."""
    picture = Image.fromarray(mask, "P")
    palette = [0] * 768
    for name, number in CLASSES.items():
        palette[3 * number : 3 * number + 3] = COLOURS[name]
    picture.putpalette(palette)
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, optimize=True)


def read_mask(path: Path) -> np.ndarray:
    """The numbers of `CLASSES` in a mask's PNG, [rows, columns] uint8."""
    with Image.open(path) as opened:
        return np.asarray(opened)
