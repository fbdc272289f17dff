"""Many scenes, one after the other: one failure doesn't stop the rest, and what is finished is not made
again.
"""

from __future__ import annotations

import csv
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from narrows.errors import NarrowsError, OutputError
from narrows.water.products import MapFiles, MapResult, is_finished

__all__ = [
    "Job",
    "Outcome",
    "Status",
    "check_summary",
    "identity",
    "place_files",
    "run_jobs",
    "scene_name",
    "write_summary",
]

Status = Literal["done", "skipped", "failed"]
SUMMARY = "water_summary.csv"
_COLUMNS = ("scene", "status", "mask", "water_km2", "not_observed_share", "seconds", "message")
_ENDINGS = (".tar.gz", ".SAFE.zip", ".SAFE", ".tar", ".zip", ".tif", ".tiff", ".vrt", ".jp2", ".nc", ".json", ".img")


@dataclass(frozen=True)
class Job:
    """One scene and where its map goes. `key` tells its input and options from others."""

    scene: str
    name: str
    files: MapFiles
    key: str


@dataclass(frozen=True)
class Outcome:
    """What became of one scene. `error` is the one line of a failure."""

    job: Job
    status: Status
    seconds: float
    result: MapResult | None = None
    error: str | None = None


def scene_name(scene: str) -> str:
    """What outputs call a scene: its file or folder name without the ending."""
    name = scene.rstrip("/\\").replace("\\", "/").rsplit("/", 1)[-1]
    for ending in _ENDINGS:
        if name.lower().endswith(ending.lower()) and len(name) > len(ending):
            return name[: -len(ending)]
    return name or "scene"


def identity(scene: str) -> dict[str, Any]:
    """What tells this input from another: its place, and the size and time of its files."""
    path = Path(scene)
    if path.is_dir():
        files = sorted(entry for entry in path.rglob("*") if entry.is_file())
    elif path.exists():
        files = [path]
    else:
        return {"place": scene}
    return {"place": os.path.abspath(scene), "files": [(f.name, f.stat().st_size, f.stat().st_mtime_ns) for f in files]}


def place_files(files: MapFiles, scenes: Sequence[str]) -> list[MapFiles]:
    """For each scene its own files: `{}` in a name stands for the scene's name.

    With several scenes, or where it is a folder, `files.mask` is a folder that gets NAME_water.tif for each.

    Raises:
        OutputError: several scenes would write one file, or the folder doesn't exist.
    """
    names = [scene_name(scene) for scene in scenes]
    template = files
    if files.mask.is_dir():
        template = replace(files, mask=files.mask / "{}_water.tif")
    elif len(scenes) > 1 and "{}" not in files.mask.name:
        raise OutputError(f"{files.mask}: with several scenes the output is a folder, and this one doesn't exist")
    placed = [
        MapFiles(*(Path(str(path).replace("{}", name)) if path else None for path in _paths(template)))  # type: ignore[arg-type]
        for name in names
    ]
    used: dict[Path, str] = {}
    for scene, own in zip(scenes, placed, strict=True):
        for path in own.wanted():
            if path in used:
                raise OutputError(
                    f"{used[path]} and {scene} would both write {path}; put {{}} in the name for the scene's name"
                )
            used[path] = scene
    return placed


def _paths(files: MapFiles) -> tuple[Path | None, ...]:
    return files.mask, files.probability, files.polygons, files.quicklook, files.statistics


def run_jobs(jobs: Iterable[Job], work: Callable[[Job], MapResult]) -> Iterator[Outcome]:
    """Do `work` for each job, but for those finished already, and yield what became of each."""
    for job in jobs:
        begun = time.perf_counter()
        if is_finished(job.files, job.key):
            yield Outcome(job, "skipped", 0.0)
            continue
        try:
            result = work(job)
        except NarrowsError as error:
            yield Outcome(job, "failed", time.perf_counter() - begun, error=str(error))
        else:
            yield Outcome(job, "done", time.perf_counter() - begun, result)


def check_summary(folder: Path) -> Path:
    """Where the summary goes.

    Raises:
        OutputError: a file of that name is no such summary.
    """
    path = folder / SUMMARY
    if path.exists():
        with path.open(newline="", encoding="utf-8", errors="replace") as file:
            if file.readline().strip() != ",".join(_COLUMNS):
                raise OutputError(f"{path} exists and is no summary of this command; move it away")
    return path


def write_summary(folder: Path, outcomes: Sequence[Outcome]) -> Path:
    """Write what became of each scene to `water_summary.csv` in `folder`, replacing an earlier summary.

    Raises:
        OutputError: a file of that name is no such summary.
    """
    path = check_summary(folder)
    beside = path.with_name(f".{path.name}.partial")
    with beside.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_COLUMNS)
        for outcome in outcomes:
            figures = outcome.result.statistics if outcome.result else None
            writer.writerow(
                (
                    outcome.job.scene,
                    outcome.status,
                    outcome.job.files.mask if outcome.status != "failed" else "",
                    f"{figures.water_km2:.6f}" if figures else "",
                    f"{figures.not_observed_share:.6f}" if figures else "",
                    f"{outcome.seconds:.1f}",
                    outcome.error or "",
                )
            )
    os.replace(beside, path)
    return path
