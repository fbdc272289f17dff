"""How well a network maps what it wasn't trained on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from narrows.rasters.images import RasterImage
from narrows.water.classes import NO_DATA
from narrows.water.evaluation.confusion import Confusion, judge
from narrows.water.evaluation.truth import FILL
from narrows.water.framing import Inner
from narrows.water.mapping import MapOptions, MapWindow, run_map
from narrows.water.network import WaterNetwork
from narrows.water.training.division import Part

__all__ = ["check_budget", "score_scenes", "score_windows"]

_AT_ONCE = 8
_THRESHOLD = 0.5


def score_windows(
    model: nn.Module, windows: Sequence[tuple[NDArray[np.float32], NDArray[np.uint8]]], device: torch.device
) -> Confusion:
    """All `windows` together (see `fixed_windows`). `model` is in eval mode and on `device`."""
    total = Confusion()
    with torch.inference_mode():
        for start in range(0, len(windows), _AT_ONCE):
            some = windows[start : start + _AT_ONCE]
            x = torch.from_numpy(np.nan_to_num(np.stack([reflectance for reflectance, _ in some]))).to(device)
            answer = (model(x)[0][:, 0] >= _THRESHOLD).cpu().numpy().astype(np.uint8)
            classes = np.stack([classes for _, classes in some])
            total += _confusion(answer, classes, classes != FILL)
    return total


def check_budget(network: WaterNetwork, parts: Sequence[Part], memory: int | str | None) -> None:
    """Refuse a budget in which the widest scene can't be mapped, before training.

    Raises:
        BudgetError: the budget is too small.
    """
    from narrows.streaming.stream import plan

    if memory is None or not parts:
        return
    with max((part.scene for part in parts), key=lambda scene: scene.width).pair.opened() as scene:
        shape = network.framing(scene.height, scene.width, scene.grid_origin).shape
        plan(network.module, *shape, channels=6, memory=memory, resident_bytes=int(scene.cache_bytes))


def score_scenes(
    network: WaterNetwork, parts: Sequence[Part], memory: int | str | None, tell: Callable[[str], None]
) -> dict[str, Confusion]:
    """Each scene by its name, mapped whole as `narrows water` maps it and scored as `narrows water evaluate` does, but
    on the cells of the part alone.

    Raises:
        InputError: a scene can't be read.
        BudgetError: the budget is too small.
    """
    found = {}
    for part in parts:
        if not any(part.pixels.values()):
            continue
        tell(f"{part.scene.name}: mapped by {network.name}")
        pair = part.scene.pair
        mask = RasterImage(str(pair.mask), pair.mask.name)
        try:
            with pair.opened() as scene:
                judging = _Judging(part, mask)
                window = MapWindow(scene, Inner(0, 0, scene.height, scene.width), None)
                options = MapOptions(_THRESHOLD, clouds="network" if network.tells_hidden else "none", memory=memory)
                run_map(window, network, options, judging)
        finally:
            mask.close()
        found[part.scene.name] = judging.found
    return found


class _Judging:
    """A writer that holds the rows of a map against those of a mask."""

    def __init__(self, part: Part, mask: RasterImage) -> None:
        self.found = Confusion()
        self._part, self._mask = part, mask
        self._columns = np.arange(part.scene.width)

    def write(self, start: int, rows: NDArray[Any]) -> None:
        stop = start + rows.shape[1]
        classes = self._mask.read([1], (start, stop), (0, self._part.scene.width))[0].astype(np.uint8)
        kept = self._part.keep(np.arange(start, stop), self._columns)
        self.found += _confusion(rows[0], np.where(kept, classes, np.uint8(FILL)), rows[0] != NO_DATA)


def _confusion(answer: NDArray[np.uint8], classes: NDArray[np.uint8], observed: NDArray[np.bool_]) -> Confusion:
    judged = judge(answer, classes, observed)
    return Confusion.of(judged.water, judged.wet, judged.scored)
