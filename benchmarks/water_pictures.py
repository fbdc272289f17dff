"""Scenes in false colour beside maps of them, in a grid, as a small JPEG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from narrows.water.evaluation.view import View
from narrows.water.quicklook import Overview

MOST_BYTES = 145_000


@dataclass(frozen=True)
class Panel:
    """A picture, float32 (h, w, 3) in 0 to 1, with a title; `outline`, bool (h, w), is drawn around."""

    title: str
    picture: NDArray[np.float32]
    outline: NDArray[np.bool_] | None = None


def panel_of(
    view: View,
    classes: NDArray[np.uint8] | None,
    title: str,
    *,
    outline: NDArray[np.bool_] | None = None,
    longest: int = 900,
) -> Panel:
    """A scene in false colour (short-wave infrared, near infrared, red), or a map of it over pale grey."""
    overview = Overview(*view.shape, longest)
    overview.add_scene(0, view.reflectance, view.observed)
    if classes is not None:
        overview.add_map(0, classes)
    picture = overview.false_colour() if classes is None else overview.map_colour()
    return Panel(title, picture, outline)


def save_panels(rows: Sequence[Sequence[Panel]], path: Path, *, inches: float = 2.6, most: int = MOST_BYTES) -> None:
    """Write the panels, row by row, as a JPEG of at most `most` bytes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from PIL import Image

    across = max(len(row) for row in rows)
    heights = [row[0].picture.shape[0] / row[0].picture.shape[1] for row in rows]
    figure = Figure(figsize=(inches * across, sum(inches * height + 0.22 for height in heights)), layout="constrained")
    canvas = FigureCanvasAgg(figure)
    figure.get_layout_engine().set(w_pad=0.02, h_pad=0.02, wspace=0.01, hspace=0.01)
    axes = figure.subplots(len(rows), across, squeeze=False, height_ratios=heights)
    for line, row in zip(axes, rows, strict=True):
        for axis in line:
            axis.set_axis_off()
        for axis, panel in zip(line, row, strict=False):
            small = max(panel.picture.shape) < 400
            axis.imshow(panel.picture, interpolation="nearest" if small else "antialiased")
            if panel.outline is not None:
                axis.contour(panel.outline, levels=[0.5], colors="#e8308c", linewidths=0.8)
            axis.set_title(panel.title, fontsize=8, loc="left", color="0.25", pad=2)
    figure.set_dpi(120)
    canvas.draw()
    image = Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3].copy())
    path.parent.mkdir(parents=True, exist_ok=True)
    for quality in range(86, 25, -6):
        image.save(path, quality=quality, optimize=True, progressive=True)
        if path.stat().st_size <= most:
            return
