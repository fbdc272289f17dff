"""The windows that the hand-drawn masks cover: which scene, which part of it, and its bands as stored.

A window is `SIZE` columns by `SIZE` rows. Where it reaches beyond its scene there is nothing to see: fill.
"""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.errors import NotGeoreferencedWarning

HERE = Path(__file__).resolve().parent
DATA = HERE.parents[2] / "shared" / "data"
BANDS = ("blue", "green", "red", "nir", "swir1", "swir2")
SIZE = 256


@dataclass(frozen=True)
class Scene:
    """A scene below the data folder: a product folder, a GeoTIFF or an archive of several dates.

    `bands` gives the number of each of `BANDS` in the product or file; `size` is columns, rows; `frame` is the date
    taken of an archive. `place` is the ground that it shows: scenes of one place are of one `split`, choose or report.
    """

    path: str
    place: str
    sensor: str
    date: str | None
    level: str
    scaling: str
    size: tuple[int, int]
    split: str
    bands: dict[str, int]
    frame: str | None = None


@dataclass(frozen=True)
class Window:
    """Columns [`column`, `column` + `SIZE`) and rows [`row`, `row` + `SIZE`) of `scene`."""

    name: str
    scene: str
    column: int
    row: int
    shows: str
    source: Scene = field(repr=False)

    def inside(self) -> tuple[slice, slice]:
        """The rows and columns of the window that its scene has."""
        columns, rows = self.source.size
        return slice(0, min(SIZE, rows - self.row)), slice(0, min(SIZE, columns - self.column))


def load_windows(table: Path = HERE / "windows.json") -> dict[str, Window]:
    """Every window of the table, by name."""
    described = json.loads(table.read_text())
    scenes = {name: Scene(**{**each, "size": tuple(each["size"])}) for name, each in described["scenes"].items()}
    windows = [Window(**each, source=scenes[each["scene"]]) for each in described["windows"]]
    return {each.name: each for each in windows}


def seen_once(window: Window, windows: dict[str, Window]) -> np.ndarray:
    """Where no window of the same scene before it in the table shows the same pixel, [SIZE, SIZE] bool.

    Windows of one scene may overlap: who sums over them counts each pixel of a scene once by this.
    """
    once = np.ones((SIZE, SIZE), bool)
    for each in windows.values():
        if each.name == window.name:
            break
        down, right = each.row - window.row, each.column - window.column
        if each.scene == window.scene and abs(down) < SIZE and abs(right) < SIZE:
            once[max(0, down) : SIZE + min(0, down), max(0, right) : SIZE + min(0, right)] = False
    return once


def read_window(window: Window, data: Path = DATA) -> np.ndarray:
    """The window's bands as stored, [6, SIZE, SIZE] float32 in the order of `BANDS`, NaN beyond the scene.

    Raises:
        FileNotFoundError: the scene isn't below `data`.
    """
    path = data / window.source.path
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such scene")
    rows, columns = window.inside()
    out = np.full((len(BANDS), SIZE, SIZE), np.nan, np.float32)
    there = (
        slice(window.row, window.row + rows.stop),
        slice(window.column, window.column + columns.stop),
    )
    for index, name in enumerate(BANDS):
        out[index, rows, columns] = _band(path, window.source, name)[there]
    return out


def _band(path: Path, scene: Scene, name: str) -> np.ndarray:
    number = scene.bands[name]
    if path.suffix == ".npz":
        with np.load(path) as archive:
            stored: Any = archive["img"][archive["dates"].tolist().index(scene.frame), number - 1]
            return np.asarray(stored)
    file, index = path, number
    if path.is_dir():
        (file,), index = path.glob(f"*_B{number}.TIF"), 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(file) as opened:
            return np.asarray(opened.read(index))
