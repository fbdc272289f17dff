"""Mapping one scene in one pass: rows in, through the network, rows of the map out."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from narrows.errors import InputError
from narrows.units import parse_bytes
from narrows.water.aoi import AreaOfInterest, read_area
from narrows.water.bodies import SmallBodyFilter
from narrows.water.framing import Inner
from narrows.water.network import Rescale, WaterNetwork
from narrows.water.sink import MapSink, Writer
from narrows.water.source import SLAB_ROWS, SceneSource, StatusLines

if TYPE_CHECKING:
    from narrows.rasters import Scene
    from narrows.streaming.plan import Plan
    from narrows.water.quicklook import Overview
    from narrows.water.statistics import Statistics

__all__ = ["MapOptions", "MapWindow", "MinimumArea", "Progress", "cache_bytes", "find_window", "run_map"]

_log = logging.getLogger(__name__)
Progress = Callable[[int, int, int], None]
# Strips that can be under way at once: in the queues before and after the network, and at their ends.
_STRIPS_UNDER_WAY = 9
_CACHE_SPARE = 4 * 2**20
_AREA_UNITS = {"": 1.0, "M2": 1.0, "M²": 1.0, "HA": 1e4, "KM2": 1e6, "KM²": 1e6}


@dataclass(frozen=True)
class MinimumArea:
    """The smallest water body that a map keeps: `amount` in square metres, or in pixels."""

    amount: float
    in_pixels: bool = False

    @classmethod
    def parse(cls, text: str | float) -> MinimumArea:
        """``"5000"`` or ``"5000m2"`` (square metres), ``"2ha"``, ``"0.1km2"``, ``"12px"``.

        Raises:
            InputError: the text is no area.
        """
        match = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*(px|m2|m²|ha|km2|km²)?\s*", str(text), re.IGNORECASE)
        if not match:
            raise InputError(f"--min-area {text}: write an area as 5000m2, 2ha or 0.1km2, or pixels as 12px")
        unit = (match[2] or "").upper()
        if unit == "PX":
            return cls(float(match[1]), in_pixels=True)
        return cls(float(match[1]) * _AREA_UNITS[unit])

    def __str__(self) -> str:
        return f"{self.amount:g}{'px' if self.in_pixels else 'm2'}"


@dataclass(frozen=True)
class MapOptions:
    """How a map is made.

    Attributes:
        threshold: a pixel is water from this probability on, 0 to 1.
        min_area: smaller water bodies (8-connected) become land; None keeps all.
        clouds: ``"none"``; ``"product"``: hide what the product's QA_PIXEL, SCL or Fmask flags; ``"network"``: hide
            what the network itself takes for cloud or shadow.
        aoi: a vector file, ``west,south,east,north`` in the scene's coordinates, or ``lonlat:`` before such a box.
        memory: budget for the process, as ``"1GB"`` or in bytes; None for what the process holds and a quarter of what
            is free.
    """

    threshold: float = 0.5
    min_area: MinimumArea | None = None
    clouds: Literal["none", "product", "network"] = "none"
    aoi: str | None = None
    memory: int | str | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.threshold <= 1:
            raise InputError(f"--threshold {self.threshold:g}: a probability lies between 0 and 1")
        if self.memory is not None:
            parse_bytes(self.memory)


@dataclass(frozen=True)
class MapWindow:
    """What is read of a scene, and what of that the map shows.

    `scene` is the scene or a crop of it; `inner` the part of it that the map shows; `area` the area of
    interest on the whole scene, or None.
    """

    scene: Scene
    inner: Inner
    area: AreaOfInterest | None

    @property
    def transform(self) -> Affine | None:
        """The map's affine transform; None where the scene has none."""
        if self.scene.transform is None:
            return None
        return self.scene.transform @ Affine.translation(self.inner.left, self.inner.top)

    def pixel_areas(self, start: int, stop: int) -> NDArray[np.float64]:
        """Square metres of a pixel in each of the map's rows [start, stop); NaN where nothing tells."""
        return self._row_areas[start:stop]

    @cached_property
    def _row_areas(self) -> NDArray[np.float64]:
        """Of all rows at once: each call sets a change of coordinates up anew, which takes longer than the rows do."""
        areas = self.scene.pixel_areas(self.inner.top, self.inner.top + self.inner.height)
        return np.full(self.inner.height, np.nan) if areas is None else areas


def find_window(scene: Scene, network: WaterNetwork, aoi: str | None) -> MapWindow:
    """The window of `scene` that `aoi` asks for, with as much around it as the network's answers depend on.

    The map of the window is then that of the whole scene, cut out. (DeepWaterMap as published scales each
    scene by its own extremes, so there the two differ.)

    Raises:
        InputError: the scene lacks bands that the network needs, or `aoi` is no area of it.
    """
    network.check_bands(scene.name, scene.lacks)
    if aoi is None:
        return MapWindow(scene, Inner(0, 0, scene.height, scene.width), None)
    if scene.transform is None:
        raise InputError("--aoi: the scene has no georeference")
    area = read_area(aoi, scene.crs, scene.transform, scene.height, scene.width)
    down, across = network.reach()
    rows = max(0, area.rows[0] - down), min(scene.height, area.rows[1] + down)
    columns = max(0, area.columns[0] - across), min(scene.width, area.columns[1] + across)
    inner = Inner(
        area.rows[0] - rows[0],
        area.columns[0] - columns[0],
        area.rows[1] - area.rows[0],
        area.columns[1] - area.columns[0],
    )
    return MapWindow(scene.window(rows, columns), inner, area)


def cache_bytes(window: MapWindow, writers: Sequence[Writer]) -> int:
    """The GDAL cache with which no block is decoded or compressed twice: rows of blocks read, and rows of tiles
    written.
    """
    written = sum(int(getattr(writer, "resident_bytes", 0)) for writer in writers)
    return int(window.scene.cache_bytes) + written + _CACHE_SPARE


def run_map(
    window: MapWindow,
    network: WaterNetwork,
    options: MapOptions,
    mask: Writer,
    *,
    probability: Writer | None = None,
    exact: Writer | None = None,
    overview: Overview | None = None,
    progress: Progress | None = None,
    cancel: threading.Event | None = None,
) -> tuple[Statistics, Plan]:
    """Map what `window` shows into the writers `mask` and `probability`, rows (1, n, width) of uint8.

    `exact` gets the probability as float32, NaN where there is none.

    Raises:
        InputError: the network doesn't fit, no pixel was observed, or reading fails.
        BudgetError: the budget is too small.
    """
    from narrows.streaming.stream import plan, stream

    scene, inner = window.scene, window.inner
    framing = network.framing(scene.height, scene.width, scene.grid_origin)
    network.check(*framing.shape)
    small, small_bytes = _small_bodies(window, options.min_area)
    area, place = window.area, window.transform

    def outside(start: int, stop: int) -> NDArray[np.bool_] | None:
        return area.outside(start, stop, place) if area is not None and place is not None else None

    status = StatusLines()
    writers = [writer for writer in (mask, probability) if writer is not None]
    sink = MapSink(
        network,
        framing,
        status,
        window.pixel_areas,
        mask,
        inner=inner,
        probability=probability,
        exact=exact,
        threshold=options.threshold,
        small=small,
        small_in_pixels=options.min_area is not None and options.min_area.in_pixels,
        overview=overview,
        resident_bytes=small_bytes
        + 16 * SLAB_ROWS * inner.width
        + sum(int(getattr(writer, "resident_bytes", 0)) for writer in writers),
    )

    def source(status_rows: int, rescale: Rescale | None) -> SceneSource:
        return SceneSource(
            scene,
            framing,
            status,
            inner=inner,
            clouds=options.clouds == "product",
            outside=outside,
            rescale=rescale,
            overview=overview,
            other_bytes=cache_bytes(window, writers)
            + status_rows * scene.width
            + (overview.resident_bytes if overview else 0),
        )

    # The rows under way between reading and writing depend on the strip, which depends on what else is held:
    # the first plan gives an upper bound.
    held = source(0, None).resident_bytes + sink.resident_bytes
    first = plan(
        network.module, *framing.shape, channels=6, memory=options.memory, resident_bytes=held + scene.width * SLAB_ROWS
    )
    under_way = min(scene.height, first.delay + _STRIPS_UNDER_WAY * first.strip)
    rescale = _extremes(scene) if network.as_published else None
    rows = source(under_way, rescale)
    stream(network.module, rows, sink, memory=options.memory, progress=progress, cancel=cancel)
    sink.finish()
    if not rows.observed_pixels:
        where = "the area of interest" if window.area is not None else "the scene"
        raise InputError(f"no pixel of {where} was observed: all is no data")
    _log.debug("rows under way at most: %d (bound %d)", status.most_rows, under_way)
    return sink.statistics.result(), first


def _small_bodies(window: MapWindow, min_area: MinimumArea | None) -> tuple[SmallBodyFilter | None, int]:
    if min_area is None or not min_area.amount:
        return None, 0
    inner = window.inner
    smallest = 1.0 if min_area.in_pixels else float(np.min(window.pixel_areas(0, inner.height)))
    if not np.isfinite(smallest) or smallest <= 0:
        raise InputError("--min-area: the scene doesn't say how large a pixel is; give the area in pixels, as 12px")
    held = SmallBodyFilter.rows_held(inner.height, min_area.amount, smallest) * inner.width
    return SmallBodyFilter(inner.width, min_area.amount), held


def _extremes(scene: Scene) -> Rescale:
    """The smallest and the largest reflectance that the scene shows, over all bands: a pass over the file."""
    low, high = np.inf, -np.inf
    for start in range(0, scene.height, SLAB_ROWS):
        rows = scene.read(start, min(start + SLAB_ROWS, scene.height))
        seen = rows.reflectance[:, rows.observed]
        if seen.size:
            low, high = min(low, float(seen.min())), max(high, float(seen.max()))
    if low > high:
        raise InputError("no pixel of the scene was observed: all is no data")
    return Rescale.between(low, high)
