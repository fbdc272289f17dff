"""Which scene belongs to which mask: a pair, a folder of pairs, or a list of them."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from narrows.errors import InputError
from narrows.water.batch import scene_name
from narrows.water.evaluation.truth import read_truth
from narrows.water.evaluation.view import View, check_memory, read_view

if TYPE_CHECKING:
    from narrows.rasters import Scene

__all__ = ["Pair", "find_pairs"]

_ENDINGS = ("_mask.tif", "_mask.tiff", "_mask.png")
_NUMBERS = ("scale", "offset")
_COLUMNS = ("scene", "mask", "row", "column", "height", "width", "bands", "sensor", "scale", "offset", "nodata")


@dataclass(frozen=True)
class Pair:
    """A scene and its mask. `window` (row, column, height, width) is the part of the scene that the mask is of."""

    scene: str
    mask: Path
    window: tuple[int, int, int, int] | None = None
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        name = scene_name(self.scene)
        return name if self.window is None else f"{name} at {self.window[0]}, {self.window[1]}"

    def check(self) -> tuple[str, ...]:
        """Open both and see that they fit, without reading the scene; which bands the scene lacks.

        Raises:
            InputError: they don't, or one of them can't be read.
        """
        with self.opened() as part:
            check_memory(part.height, part.width, self.name)
            read_truth(self.mask, part)
            return part.lacks

    def read(self) -> tuple[View, NDArray[np.uint8]]:
        """The scene's part, and its mask.

        Raises:
            InputError: see `check`.
        """
        from dataclasses import replace

        with self.opened() as part:
            truth = read_truth(self.mask, part)
            return replace(read_view(part), name=self.name), truth

    @contextmanager
    def opened(self) -> Iterator[Scene]:
        """The scene, or the part of it that the mask is of; its files are closed at the end.

        Raises:
            InputError: it can't be opened, or the part isn't inside it.
        """
        from narrows.rasters import open_scene

        with open_scene(self.scene, **self.options) as scene:
            if self.window is None:
                yield scene
                return
            row, column, height, width = self.window
            yield scene.window((row, row + height), (column, column + width))


def find_pairs(place: str, mask: Path | None, options: dict[str, Any]) -> list[Pair]:
    """The pairs that `place` stands for.

    It is a scene, with its `mask`; or a folder where each NAME_mask.tif or NAME_mask.png has a scene NAME (a file or a
    product's folder); or a .csv file with the columns scene and mask and, if wanted, row, column, height and width (the
    part of the scene that the mask is of) and bands, sensor, scale, offset and nodata (as the options). Its paths are
    seen from its own folder. `options` is what `open_scene` takes; a list's columns go before them.

    Raises:
        InputError: there is no pair, or a mask without a scene.
    """
    path = Path(place)
    if mask is not None:
        return [Pair(place, mask, options=options)]
    if path.is_dir():
        pairs = _in_folder(path, options)
        if not pairs:
            raise InputError(
                f"{place}: holds no NAME_mask.tif or NAME_mask.png beside a scene NAME; for one scene give --mask"
            )
        return pairs
    if path.suffix.lower() == ".csv":
        return _in_list(path, options)
    raise InputError(f"{place}: give the scene's mask with --mask, or a folder of scenes and masks, or a .csv list")


def _in_folder(folder: Path, options: dict[str, Any]) -> list[Pair]:
    entries = sorted(folder.iterdir())
    pairs = []
    for mask in entries:
        ending = next((each for each in _ENDINGS if mask.name.lower().endswith(each)), None)
        if ending is None:
            continue
        name = mask.name[: -len(ending)]
        scenes = [
            entry
            for entry in entries
            if entry != mask and not entry.name.startswith(".") and scene_name(entry.name) == name
        ]
        if len(scenes) != 1:
            said = "no scene" if not scenes else f"{len(scenes)} scenes"
            raise InputError(f"{mask}: {said} called {name} beside it")
        pairs.append(Pair(str(scenes[0]), mask, options=options))
    return pairs


def _in_list(path: Path, options: dict[str, Any]) -> list[Pair]:
    if not path.is_file():
        raise InputError(f"{path}: there is no such file")
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        strange = [name for name in reader.fieldnames or () if name not in _COLUMNS]
        if not {"scene", "mask"} <= set(reader.fieldnames or ()) or strange:
            what = f"has a column {strange[0]}" if strange else "has not the columns scene and mask"
            raise InputError(f"{path.name}: {what}; known are {', '.join(_COLUMNS)}")
        pairs = [_from_row(path, number, row, options) for number, row in enumerate(reader, start=2)]
    if not pairs:
        raise InputError(f"{path.name}: lists no scene")
    return pairs


def _from_row(path: Path, line: int, row: dict[str, Any], options: dict[str, Any]) -> Pair:
    said = {key: value.strip() for key, value in row.items() if value and value.strip()}
    try:
        corner = [int(said[key]) for key in ("row", "column", "height", "width") if key in said]
        more: dict[str, Any] = {key: said[key] for key in ("bands", "sensor") if key in said}
        for key in _NUMBERS:
            if key in said:
                more[key] = tuple(float(part) for part in said[key].replace(",", " ").split())
        if "nodata" in said:
            more["nodata"] = float(said["nodata"])
        scene, mask = said["scene"], said["mask"]
    except (KeyError, ValueError) as error:
        raise InputError(f"{path.name}, line {line}: can't be read: {error}") from error
    if len(corner) not in (0, 4):
        raise InputError(f"{path.name}, line {line}: a window is row, column, height and width")
    window = (corner[0], corner[1], corner[2], corner[3]) if corner else None
    return Pair(str(path.parent / scene), path.parent / mask, window, {**options, **more})
