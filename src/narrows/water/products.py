"""A scene's map as files: the mask and whatever else was asked for, all at once or none."""

from __future__ import annotations

import hashlib
import json
import math
import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import rasterio

import narrows
from narrows.errors import OutputError
from narrows.rasters.cog import CogSink
from narrows.rasters.dates import date_in_name
from narrows.rasters.gdal import raster_environment
from narrows.water.classes import COLOURS, NO_DATA, PROBABILITY_COLOURS
from narrows.water.mapping import MapOptions, MapWindow, Progress, cache_bytes, find_window, run_map
from narrows.water.outputs import StagedOutputs, check_output, check_space
from narrows.water.polygons import polygon_driver, write_polygons
from narrows.water.quicklook import Caption, Overview, save_quicklook
from narrows.water.statistics import Statistics, check_statistics_path, write_statistics

if TYPE_CHECKING:
    from narrows.rasters import Scene
    from narrows.water.network import WaterNetwork

__all__ = ["ACQUIRED", "PIXEL_M2", "MapFiles", "MapResult", "is_finished", "map_to_files", "run_key"]

ACQUIRED, PIXEL_M2 = "NARROWS_ACQUIRED", "NARROWS_PIXEL_M2"
"""Tags of a map: the day of its scene, and the square metres of a pixel where its grid doesn't say them."""

# Masks of real scenes compress more than tenfold; the tiled file and its COG copy with overviews stand side
# by side.
_COMPRESSION = 4
_COPIES = 2 + 1 / 3


@dataclass(frozen=True)
class MapFiles:
    """Where the parts of a map go; None for those not wanted."""

    mask: Path
    probability: Path | None = None
    polygons: Path | None = None
    quicklook: Path | None = None
    statistics: Path | None = None

    def wanted(self) -> list[Path]:
        return [path for path in asdict(self).values() if path is not None]

    def check(self, *, overwrite: bool) -> None:
        """Refuse, before any work, what can't be written.

        Raises:
            OutputError: see `check_output`; or an ending that names no format.
        """
        if self.polygons:
            polygon_driver(self.polygons)
        if self.statistics:
            check_statistics_path(self.statistics)
        if self.quicklook and self.quicklook.suffix.lower() != ".png":
            raise OutputError(f"{self.quicklook.name}: the quick-look is written as .png")
        for raster in (self.mask, self.probability):
            if raster and raster.suffix.lower() not in (".tif", ".tiff"):
                raise OutputError(f"{raster.name}: maps are written as .tif")
        for path in self.wanted():
            check_output(path, overwrite=overwrite)


@dataclass(frozen=True)
class MapResult:
    """What was made of a scene."""

    scene: str
    files: MapFiles
    statistics: Statistics
    applied: dict[str, Any]
    height: int
    width: int
    strip: int
    predicted_peak_bytes: int
    polygons: int | None
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "scene": self.scene,
            "files": {name: str(path) for name, path in asdict(self.files).items() if path is not None},
            "height": self.height,
            "width": self.width,
            "applied": self.applied,
            "statistics": self.statistics.as_dict(),
            "polygons": self.polygons,
            "strip": self.strip,
            "predicted_peak_bytes": self.predicted_peak_bytes,
            "seconds": round(self.seconds, 2),
        }


def map_to_files(
    scene: Scene,
    network: WaterNetwork,
    options: MapOptions,
    files: MapFiles,
    *,
    name: str,
    key: str | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
    cancel: threading.Event | None = None,
) -> MapResult:
    """Map `scene` into `files`: cloud-optimised GeoTIFFs, polygons, a picture, figures.

    Args:
        name: what outputs call the scene.
        key: tells this input and these options from others (`run_key`); written in the tags.

    Raises:
        NarrowsError: one line in the user's terms; nothing is left behind then.
    """
    begun = time.perf_counter()
    files.check(overwrite=overwrite)
    window = find_window(scene, network, options.aoi)
    height, width = window.inner.height, window.inner.width
    raster_bytes = CogSink.needed_bytes(width=width, height=height)
    check_space({path: raster_bytes for path in (files.mask, files.probability) if path})
    overview = Overview(height, width, swir=not scene.lacks) if files.quicklook else None
    applied = {str(k): str(v) for k, v in dict(scene.applied).items()}
    tags = _tags(name, network, options, applied, key) | _day_and_size(scene)

    with StagedOutputs(overwrite=overwrite) as staged:
        places = {path: staged.add(path) for path in files.wanted()}
        with raster_environment(), ExitStack() as sinks:
            mask = sinks.enter_context(_cog(places[files.mask], window, tags, COLOURS))
            probability = None
            if files.probability:
                more = {**tags, "NARROWS_VALUES": "probability of water in percent; 254 hidden, 255 no data"}
                probability = sinks.enter_context(_cog(places[files.probability], window, more, PROBABILITY_COLOURS))
            writers = [writer for writer in (mask, probability) if writer is not None]
            sinks.enter_context(raster_environment(cache_bytes(window, writers)))
            statistics, plan = run_map(
                window, network, options, mask,
                probability=probability, overview=overview, progress=progress, cancel=cancel,
            )  # fmt: skip
        count = None
        if files.polygons:
            areas = window.pixel_areas(0, height)
            staged_path = places[files.polygons]
            count = write_polygons(places[files.mask], staged_path, areas, polygon_driver(files.polygons))
        if files.statistics:
            write_statistics(statistics, places[files.statistics], scene=name)
        if files.quicklook and overview is not None:
            metres = math.sqrt(float(window.pixel_areas(height // 2, height // 2 + 1)[0])) * overview.cell
            line = statistics.line()
            caption = Caption(name, line[0].upper() + line[1:], metres if np.isfinite(metres) else None)
            save_quicklook(overview, caption, places[files.quicklook])
    return MapResult(
        name, files, statistics, applied, height, width, plan.strip, plan.peak, count, time.perf_counter() - begun
    )


def run_key(identity: dict[str, Any], asked: dict[str, Any]) -> str:
    """Sixteen hexadecimal digits that tell one input and what was asked for it from another.

    The budget doesn't belong in `asked`: it doesn't change the result.
    """
    said = {"input": identity, "asked": asked, "version": narrows.__version__}
    return hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode()).hexdigest()[:16]


def is_finished(files: MapFiles, key: str) -> bool:
    """Whether every file is there and the mask was made of the same input with the same options."""
    if not all(path.exists() for path in files.wanted()):
        return False
    try:
        with rasterio.open(files.mask) as mask:
            return bool(mask.tags().get("NARROWS_KEY") == key)
    except rasterio.errors.RasterioError:
        return False


def _cog(path: Path, window: MapWindow, tags: dict[str, str], colours: Mapping[int, tuple[int, ...]]) -> CogSink:
    return CogSink(
        path,
        width=window.inner.width,
        height=window.inner.height,
        count=1,
        dtype="uint8",
        crs=window.scene.crs,
        transform=window.transform,
        nodata=NO_DATA,
        tags=tags,
        colormap=colours,
        overwrite=True,
    )


def _day_and_size(scene: Scene) -> dict[str, str]:
    """Tags for what a map's own grid doesn't tell: its day, and the area of a pixel where there is no georeference."""
    day = scene.acquired or date_in_name(scene.name)
    tags = {ACQUIRED: day.isoformat()} if day else {}
    areas = scene.pixel_areas(0, 1) if scene.transform is None else None
    return tags | ({PIXEL_M2: repr(float(areas[0]))} if areas is not None else {})


def _tags(
    name: str, network: WaterNetwork, options: MapOptions, applied: dict[str, str], key: str | None
) -> dict[str, str]:
    tags = {
        "TIFFTAG_SOFTWARE": f"narrows {narrows.__version__}",
        "NARROWS_INPUT": name,
        "NARROWS_VALUES": "0 land, 1 water, 254 hidden by cloud or shadow, 255 no data",
        "NARROWS_MODEL": f"{network.name} {network.digest}",
        "NARROWS_THRESHOLD": f"{options.threshold:g}",
        "NARROWS_CLOUDS": options.clouds,
    }
    if options.min_area:
        tags["NARROWS_MIN_AREA"] = str(options.min_area)
    if options.aoi:
        tags["NARROWS_AOI"] = Path(options.aoi).name
    if key:
        tags["NARROWS_KEY"] = key
    return tags | {f"NARROWS_{k.upper().replace(' ', '_')}": v for k, v in applied.items()}
