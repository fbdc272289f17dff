"""Pictures of what several maps say together: change, occurrence, area by date."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from narrows.water.quicklook import ClassShares, scale_bar

if TYPE_CHECKING:
    from narrows.water.compare import Change
    from narrows.water.series import Entry

__all__ = ["save_areas", "save_change", "save_occurrence"]


_NEARLY_WHOLE = 0.1
"""Up to this share not observed, dates are joined by a line."""


def _figure(rows: int, columns: int, beside: float = 0.0) -> tuple[Any, Any, float]:
    """A figure with one picture of `rows` x `columns` cells, and its height; `beside` inches are for a colour bar."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    scale = 7.0 / max(rows, columns)
    height = max(rows * scale, 1.6) + 1.5
    figure = Figure(figsize=(max(columns * scale, 4.6) + 0.3 + beside, height), layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    axis.set_xticks([])
    axis.set_yticks([])
    for spine in axis.spines.values():
        spine.set_color("0.7")
    return figure, axis, height


def _title(figure: Any, height: float, title: str, line: str) -> None:
    figure.suptitle(f"{title}\n\n", fontsize=11, fontweight="bold", x=0.012, ha="left")
    figure.text(0.012, 1 - 0.40 / height, line, fontsize=9, color="0.3", va="center")


def save_change(shares: ClassShares, change: Change, cell_metres: float | None, path: Path) -> None:
    """Write a change map as PNG to `path`, each cell coloured by the shares of its classes."""
    from matplotlib.patches import Patch

    from narrows.water.compare import CHANGES

    colours = np.array([np.array(colour[:3]) / 255 if colour[3] else np.ones(3) for _, colour in CHANGES.values()])
    picture = np.einsum("chw,ck->hwk", shares.shares(), colours)
    rows, columns = shares.shape
    figure, axis, height = _figure(rows, columns)
    axis.imshow(picture, interpolation="nearest" if max(rows, columns) < 600 else "antialiased")
    if cell_metres:
        scale_bar(axis, columns, rows, cell_metres)
    entries = [
        Patch(facecolor=tuple(colour), edgecolor="0.6", label=f"{name} ({change.amount(name)})")
        for (name, _), colour, there in zip(CHANGES.values(), colours, shares.present(), strict=True)
        if there
    ]
    figure.legend(handles=entries, loc="outside lower left", ncols=3, frameon=False, fontsize=8)
    _title(figure, height, f"{change.before} to {change.after}", change.line())
    figure.savefig(path, dpi=130)


def save_occurrence(percent: NDArray[np.float32], title: str, line: str, cell_metres: float | None, path: Path) -> None:
    """Write an occurrence map (h, w) in percent, NaN where never observed, as PNG to `path`."""
    from matplotlib.colors import LinearSegmentedColormap

    rows, columns = percent.shape
    figure, axis, height = _figure(rows, columns, beside=1.3)
    ramp = LinearSegmentedColormap.from_list("occurrence", ["#e2e0d9", "#9fc3d8", "#3f86bd", "#0b3c78"], bad="white")
    drawn = axis.imshow(percent, cmap=ramp, vmin=0, vmax=100, interpolation="nearest")
    figure.colorbar(drawn, ax=axis, shrink=0.7, label="water in % of the dates observed")
    if cell_metres:
        scale_bar(axis, columns, rows, cell_metres)
    _title(figure, height, title, line)
    figure.savefig(path, dpi=130)


def save_areas(entries: Sequence[Entry], path: Path) -> None:
    """Write water by date as PNG to `path`: the area seen, up to where it would reach if all that was not observed
    were water (bars may leave the picture), and below it the share that was not observed."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    days = np.array([entry.day for entry in entries], dtype="datetime64[D]")
    in_km2 = all(entry.statistics.as_dict()["water_km2"] is not None for entry in entries)
    unit = "km2" if in_km2 else "pixels"
    seen = np.array([getattr(entry.statistics, f"water_{unit}") for entry in entries], dtype=float)
    unseen = np.array(
        [
            getattr(entry.statistics, f"hidden_{unit}") + getattr(entry.statistics, f"no_data_{unit}")
            for entry in entries
        ],
        dtype=float,
    )
    figure = Figure(figsize=(8, 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    top, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    share = np.array([entry.statistics.not_observed_share for entry in entries])
    whole = share <= _NEARLY_WHOLE
    top.vlines(days, seen, seen + unseen, color="#edb86b", linewidth=3)
    top.plot(days[whole], seen[whole], "o-", color="#125cad", markersize=5, linewidth=1)
    top.plot(days[~whole], seen[~whole], "o", color="#125cad", markerfacecolor="white", markersize=5)
    top.set_ylabel("water, km²" if in_km2 else "water, pixels")
    top.set_ylim(0, max(1.6 * float(seen.max()), 1e-9))
    top.set_title(
        f"Water seen; hollow: more than {_NEARLY_WHOLE:.0%} not observed; bars: up to where it would reach "
        "if all of that were water",
        fontsize=9, loc="left", color="0.25",
    )  # fmt: skip
    below.vlines(days, 0, 100 * share, color="#edb86b", linewidth=4)
    below.set_ylabel("not observed, %", fontsize=9)
    below.set_ylim(0, max(5.0, 110 * float(share.max())))
    for axis in (top, below):
        axis.spines[["top", "right"]].set_visible(False)
    figure.autofmt_xdate()
    figure.savefig(path, dpi=130)
