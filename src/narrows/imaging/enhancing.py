"""Repair a user's own image file inside a memory budget."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from narrows.errors import InputError
from narrows.imaging.noise_level import NoiseLevel
from narrows.imaging.palette import LUMA
from narrows.imaging.pictures import Picture, PictureSink, format_of
from narrows.imaging.tasks import INPUT_PLANES, Task, task_called
from narrows.imaging.weights import load
from narrows.rasters.gdal import raster_environment
from narrows.rasters.staging import check_output_path
from narrows.streaming.run import Progress
from narrows.streaming.stream import stream

__all__ = ["Enhanced", "enhance"]

_LUMA = np.array([LUMA], np.float32)


@dataclass(frozen=True)
class Enhanced:
    """What was made.

    Attributes:
        output: the file.
        height, width, channels: of it, alpha not counted.
        alpha: whether it has an alpha channel, as the input.
        depth: bits of a value.
        condition: what the repair assumed, by parameter.
        estimated: those of its parameters that were estimated from the image.
        orientation: the input's EXIF orientation, which the output has lost; 1 is upright.
    """

    output: Path
    height: int
    width: int
    channels: int
    alpha: bool
    depth: int
    condition: dict[str, float]
    estimated: tuple[str, ...]
    orientation: int


def enhance(
    image: Path,
    output: Path,
    task: str,
    *,
    weights: Path | None = None,
    condition: Mapping[str, float] | None = None,
    memory: int | str | None = None,
    strip: int | None = None,
    quality: int = 95,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Enhanced:
    """Repair an image file, strip by strip.

    Args:
        image: a PNG, TIFF or JPEG of 8 or 16 bits, grey or colour, with or without alpha.
        output: its ending says the format: .png, .tif, .jpg. Depth, alpha, colour profile and georeference are the
            input's; a JPEG has 8 bits.
        task: one of `narrows.imaging.tasks.TASKS`.
        weights: a file that `narrows.imaging.weights.save` wrote; those of the package if left out.
        condition: the task's parameters; a gaussian noise's sigma is estimated from the image if left out.
        memory: budget of the whole process, as for `narrows.stream`.
        strip: rows of a strip, as for `narrows.stream`.
        progress: told of rows done, as for `narrows.stream`.
        quality: of a JPEG.

    Raises:
        InputError: an image, task, condition or weights that can't be used, or a colour image where grey is needed.
        OutputError: the output exists, can't be written, or its format can't hold the image.
        BudgetError: the budget is too small.
    """
    fault = task_called(task)
    given = _checked(fault, condition or {})
    format_of(output)
    check_output_path(output, overwrite=overwrite)
    with ExitStack() as stack:
        stack.enter_context(raster_environment())
        picture = stack.enter_context(Picture(image))
        _check_channels(fault, picture)
        core = load(task, weights)
        _check_core(fault, core)
        missing = [parameter.name for parameter in fault.parameters if parameter.name not in given]
        again = stack.enter_context(Picture(image)) if picture.alpha else None
        channels = 1 if picture.channels == 1 and fault.takes == 3 else fault.gives
        sink = stack.enter_context(
            PictureSink(output, picture, channels, alpha_of=again, quality=quality, overwrite=overwrite)
        )
        readers = 1 if again is None else 2
        cache = readers * picture.cache_bytes + sink.cache_bytes + 2**22
        stack.enter_context(raster_environment(cache))
        if missing:
            given[missing[0]] = _estimated_sigma(fault, picture)
        held = cache + sink.resident_bytes + sink.encoder_bytes
        held += readers * picture.decoder_bytes + picture.working_bytes
        stream(core, _Planes(picture, fault, given, held), _Repaired(sink, picture, fault, channels), memory=memory,
               strip=strip, progress=progress)  # fmt: skip
        depth = 8 if format_of(output) == "JPEG" else picture.depth
        return Enhanced(
            output, picture.height, picture.width, channels, picture.alpha, depth, given, tuple(missing),
            picture.header.orientation,
        )  # fmt: skip


def _checked(task: Task, condition: Mapping[str, float]) -> dict[str, float]:
    """The parameters of `condition`, all of them the task's, and none missing but what can be estimated."""
    known = {parameter.name: parameter for parameter in task.parameters}
    for name, value in condition.items():
        if name not in known:
            raise InputError(f"the task {task.name} has no {name}; {_needs(task)}")
        parameter = known[name]
        if not parameter.low <= value <= parameter.high:
            raise InputError(
                f"{name} is {value:g}; the task {task.name} is trained for {parameter.low:g} to {parameter.high:g}"
                f" ({parameter.unit})"
            )
    missing = [name for name in known if name not in condition]
    if missing and not task.estimable:
        raise InputError(f"{missing[0]} is missing; {_needs(task)}")
    return {name: float(condition[name]) for name in known if name in condition}


def _needs(task: Task) -> str:
    if not task.parameters:
        return "it takes no parameter"
    return "it takes " + " and ".join(f"{p.name} ({p.unit})" for p in task.parameters)


def _check_channels(task: Task, picture: Picture) -> None:
    if task.takes == 1 and picture.channels == 3:
        raise InputError(f"{picture.path} is a colour image; {task.name} takes a grey one{task.instead}")
    if task.takes == 3 and picture.channels == 1 and not task.grey_too:
        raise InputError(f"{picture.path} is a grey image; {task.name} takes a colour one{task.instead}")


def _check_core(task: Task, core: nn.Module) -> None:
    with torch.no_grad():
        made = core(torch.zeros(1, INPUT_PLANES, 16, 16))
    if made.shape[1] < task.gives or made.shape[2:] != (16, 16):
        raise InputError(
            f"the core makes {tuple(made.shape[1:])} of 16 x 16 pixels; {task.name} needs {task.gives} channels"
            " at the image's size"
        )


def _estimated_sigma(task: Task, picture: Picture) -> float:
    """Sigma in 255ths, brought into the range that the task is trained for. Reads the whole image once."""
    level = NoiseLevel()
    for start, stop in picture.chunks(0, picture.height):
        level.add(picture.values(start, stop))
    (parameter,) = task.parameters
    return min(max(round(255 * level.sigma, 2), parameter.low), parameter.high)


class _Planes:
    """A picture as a row source of the core's six planes."""

    def __init__(self, picture: Picture, task: Task, condition: Mapping[str, float], held: int) -> None:
        self._picture, self._task, self._condition = picture, task, condition
        self.resident_bytes = held
        self.shape = (INPUT_PLANES, picture.height, picture.width)
        self.dtype = np.dtype(np.float32)

    def read(self, start: int, stop: int) -> NDArray[Any]:
        planes = np.empty((INPUT_PLANES, stop - start, self.shape[2]), np.float32)
        for first, last in self._picture.chunks(start, stop):
            observed = torch.from_numpy(self._picture.values(first, last))[None]
            observed = observed.expand(1, self._task.takes, -1, -1)
            made: Tensor = self._task.planes(observed, self._condition, row=first)
            planes[:, first - start : last - start] = made[0].numpy()
        return planes


class _Repaired:
    """A row sink that takes the core's planes and hands on the repaired image's."""

    def __init__(self, sink: PictureSink, picture: Picture, task: Task, channels: int) -> None:
        self._sink, self._picture = sink, picture
        self._planes, self._grey = task.gives, channels < task.gives

    def write(self, start: int, rows: NDArray[Any]) -> None:
        for first, last in self._picture.chunks(start, start + rows.shape[1]):
            part = rows[: self._planes, first - start : last - start]
            self._sink.write(first, np.tensordot(_LUMA, part, 1) if self._grey else part)
