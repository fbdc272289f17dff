"""A picture to judge a map by: the scene in false colour beside the map, both reduced while their rows
pass.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from narrows.water.classes import HIDDEN, LAND, NO_DATA, WATER

__all__ = ["Caption", "ClassShares", "Overview", "save_quicklook", "scale_bar"]

LONGEST_SIDE = 900
# Short-wave infrared, near infrared, red: water is black to dark blue, vegetation green, bare soil and burns
# reddish.
_FALSE_COLOUR = (4, 3, 2)
# Without it near infrared, red, green: water is still black to dark blue, vegetation red.
_WITHOUT_SWIR = (3, 2, 1)
_WATER = np.array([0.07, 0.36, 0.68])
_HIDDEN = np.array([0.93, 0.72, 0.42])
_NO_DATA = np.array([1.0, 1.0, 1.0])


class ClassShares:
    """Shares of a raster's classes over square cells, gathered row by row in ascending order."""

    def __init__(self, height: int, width: int, values: Sequence[int], longest_side: int = LONGEST_SIDE):
        self.cell = max(1, math.ceil(max(height, width) / longest_side))
        self.shape = (math.ceil(height / self.cell), math.ceil(width / self.cell))
        self.edges = np.arange(0, width, self.cell)
        self._values = tuple(values)
        self._counts = np.zeros((len(self._values), *self.shape), dtype=np.float32)

    @property
    def resident_bytes(self) -> int:
        return self._counts.nbytes

    def add(self, start: int, classes: NDArray[np.uint8]) -> None:
        """Take rows (n, width) from row `start`."""
        for row in range(classes.shape[0]):
            into = (start + row) // self.cell
            for index, value in enumerate(self._values):
                self._counts[index, into] += np.add.reduceat((classes[row] == value).astype(np.float32), self.edges)

    def shares(self) -> NDArray[np.float32]:
        """(classes, h, w): of each cell, the share that each class has among the classes looked for."""
        total: NDArray[np.float32] = np.maximum(self._counts.sum(axis=0), 1)
        return (self._counts / total).astype(np.float32)

    def present(self) -> tuple[bool, ...]:
        """Of each class, whether any pixel is of it."""
        return tuple(bool(each.any()) for each in self._counts)


class Overview:
    """Means of a scene's colours and shares of a map's classes over square cells, gathered row by row.

    `add_scene` and `add_map` may be called from different threads. Each takes rows in ascending order. `swir` says
    whether the scene has shortwave infrared to show.
    """

    def __init__(self, height: int, width: int, longest_side: int = LONGEST_SIDE, *, swir: bool = True):
        self._bands = _FALSE_COLOUR if swir else _WITHOUT_SWIR
        self.colours = (
            "short-wave infrared, near infrared, red"
            if swir
            else "near infrared, red, green (no short-wave infrared: less sure)"
        )
        self._classes = ClassShares(height, width, (LAND, WATER, HIDDEN, NO_DATA), longest_side)
        self.cell, self.shape, self._edges = self._classes.cell, self._classes.shape, self._classes.edges
        self._colour = np.zeros((3, *self.shape), dtype=np.float32)
        self._seen = np.zeros(self.shape, dtype=np.float32)

    @property
    def resident_bytes(self) -> int:
        return self._colour.nbytes + self._seen.nbytes + self._classes.resident_bytes

    def add_scene(self, start: int, reflectance: NDArray[np.floating[Any]], observed: NDArray[np.bool_]) -> None:
        """Take scene rows (6, n, width) from row `start` and where they are observed (n, width)."""
        weight = observed.astype(np.float32)
        for row in range(observed.shape[0]):
            into = (start + row) // self.cell
            for index, band in enumerate(self._bands):
                self._colour[index, into] += np.add.reduceat(
                    np.where(observed[row], reflectance[band, row], 0), self._edges
                )
            self._seen[into] += np.add.reduceat(weight[row], self._edges)

    def add_map(self, start: int, mask: NDArray[np.uint8]) -> None:
        """Take mask rows (n, width) from row `start`: 0 land, 1 water, 254 hidden, 255 no data."""
        self._classes.add(start, mask)

    def false_colour(self) -> NDArray[np.float32]:
        """(h, w, 3) in 0 to 1, stretched between the 1st and 99th percentile of each band; white where
        nothing was seen.
        """
        seen = self._seen > 0
        picture = np.ones((*self.shape, 3), dtype=np.float32)
        for index in range(3):
            mean = self._colour[index][seen] / self._seen[seen]
            if mean.size:
                low, high = np.percentile(mean, [1, 99])
                stretched = np.clip((mean - low) / max(high - low, 1e-6), 0, 1) ** 0.8
                picture[..., index][seen] = stretched
        return picture

    def map_colour(self) -> NDArray[np.float32]:
        """(h, w, 3): the map over the scene in pale grey, each class by its share of the cell."""
        grey = 0.62 + 0.33 * self.false_colour().mean(axis=2, keepdims=True)
        land, water, hidden, missing = self._classes.shares()[..., None]
        return (land * grey + water * _WATER + hidden * _HIDDEN + missing * _NO_DATA).astype(np.float32)

    def classes_present(self) -> tuple[bool, bool]:
        """Whether any pixel is hidden, and whether any is without data."""
        _, _, hidden, missing = self._classes.present()
        return hidden, missing


@dataclass(frozen=True)
class Caption:
    """What the picture says: its title, a line under it, and the length of a cell in metres, if known."""

    title: str
    line: str
    cell_metres: float | None


def save_quicklook(overview: Overview, caption: Caption, path: Path) -> None:
    """Write the picture as PNG to `path`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    rows, columns = overview.shape
    across = columns <= 1.7 * rows  # a wide scene reads better above its map
    scale = 7.0 / max(rows, columns)
    panel = (max(columns * scale, 2.6), max(rows * scale, 1.2))
    size = (2 * panel[0] + 0.5, panel[1] + 1.5) if across else (panel[0] + 0.4, 2 * panel[1] + 1.7)
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, 2) if across else figure.subplots(2, 1)
    for axis, picture, title in zip(
        axes,
        (overview.false_colour(), overview.map_colour()),
        (f"Scene: {overview.colours}", "Surface water"),
        strict=True,
    ):
        axis.imshow(picture, interpolation="nearest" if max(rows, columns) < 300 else "antialiased")
        axis.set_title(title, fontsize=10, loc="left", color="0.25")
        axis.set_xticks([])
        axis.set_yticks([])
        for spine in axis.spines.values():
            spine.set_color("0.7")
    if caption.cell_metres:
        scale_bar(axes[0], columns, rows, caption.cell_metres)
    hidden, missing = overview.classes_present()
    entries = [Patch(facecolor=tuple(_WATER), label="water"), Patch(facecolor="0.86", label="land")]
    if hidden:
        entries.append(Patch(facecolor=tuple(_HIDDEN), label="hidden by cloud or shadow"))
    if missing:
        entries.append(Patch(facecolor=tuple(_NO_DATA), edgecolor="0.6", label="no data"))
    figure.legend(
        handles=entries,
        loc="outside lower right" if across else "outside lower center",
        ncols=4,
        frameon=False,
        fontsize=9,
    )
    figure.suptitle(f"{caption.title}\n\n", fontsize=12, fontweight="bold", x=0.012, ha="left")
    figure.text(0.012, 1 - 0.40 / size[1], caption.line, fontsize=9.5, color="0.3", va="center")
    figure.savefig(path, dpi=130)


def scale_bar(axis: Any, columns: int, rows: int, cell_metres: float) -> None:
    """Draw a bar of a round length into a picture of `rows` x `columns` cells."""
    goal = columns * cell_metres / 4
    power = 10 ** math.floor(math.log10(goal))
    length = next(step * power for step in (5, 2, 1) if step * power <= goal)
    label = f"{length / 1000:g} km" if length >= 1000 else f"{length:g} m"
    cells = length / cell_metres
    left, bottom = columns * 0.04, rows * 0.955
    style = {"solid_capstyle": "butt", "zorder": 3}
    axis.plot([left, left + cells], [bottom, bottom], color="black", linewidth=5, **style)
    axis.plot([left, left + cells], [bottom, bottom], color="white", linewidth=3, **style)
    axis.annotate(
        label,
        (left + cells / 2, bottom),
        xytext=(0, 6),
        textcoords="offset points",
        ha="center",
        fontsize=9,
        color="white",
        path_effects=_outline(),
    )
    axis.set_xlim(-0.5, columns - 0.5)
    axis.set_ylim(rows - 0.5, -0.5)


def _outline() -> list[Any]:
    from matplotlib.patheffects import withStroke

    return [withStroke(linewidth=2.5, foreground="black")]
