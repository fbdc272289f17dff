"""What can be scored: networks, indices, and rules. Peers are in `peers`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from narrows.water.classes import NO_DATA, WATER
from narrows.water.evaluation.view import View, ViewScene
from narrows.water.indices import INDICES, Index, dswe

if TYPE_CHECKING:
    from narrows.rasters import Scene
    from narrows.water.network import WaterNetwork

__all__ = ["Answer", "DsweMethod", "IndexMethod", "Method", "NetworkMethod", "rules"]


@dataclass(frozen=True)
class Answer:
    """Classes uint8 (H, W): 0 land, 1 water, 254 hidden, 255 no data. `probability` of water, float32 (H, W), NaN where
    there is none, or None for a method that has no such thing."""

    classes: NDArray[np.uint8]
    probability: NDArray[np.float32] | None = None


class Method(Protocol):
    """Something that maps water. `quick`: fast enough to be tried on many changed scenes. `needs_swir`: it can't map a
    scene without shortwave infrared."""

    @property
    def name(self) -> str:
        """As tables have it, its threshold included."""
        ...

    @property
    def quick(self) -> bool: ...

    @property
    def needs_swir(self) -> bool: ...

    def map(self, view: View) -> Answer: ...


@dataclass(frozen=True)
class IndexMethod:
    """A water index above its threshold."""

    index: Index
    quick: bool = True

    @property
    def name(self) -> str:
        return self.index.rule

    @property
    def needs_swir(self) -> bool:
        return self.index.needs_swir

    def map(self, view: View) -> Answer:
        water = self.index.value(view.reflectance) > self.index.threshold
        return Answer(np.where(view.observed, water * np.uint8(WATER), np.uint8(NO_DATA)))


@dataclass(frozen=True)
class DsweMethod:
    """Water where two or more of DSWE's five tests hold."""

    name: str = "DSWE, 2 of 5 tests"
    quick: bool = True
    needs_swir: bool = True

    def map(self, view: View) -> Answer:
        water = dswe(view.reflectance)
        return Answer(np.where(view.observed, water * np.uint8(WATER), np.uint8(NO_DATA)))


def rules() -> list[Method]:
    """Every index at its usual threshold, and DSWE."""
    return [*(IndexMethod(index) for index in INDICES), DsweMethod()]


class _Whole:
    """A writer of rows into an array."""

    def __init__(self, shape: tuple[int, int], dtype: Any):
        self.array: NDArray[Any] = np.zeros(shape, dtype)

    def write(self, start: int, rows: NDArray[Any]) -> None:
        self.array[start : start + rows.shape[1]] = rows[0]


@dataclass(frozen=True)
class NetworkMethod:
    """A water network, run as `narrows water` runs it."""

    network: WaterNetwork
    threshold: float = 0.5
    memory: int | str | None = None
    quick: bool = True

    @property
    def name(self) -> str:
        hiding = ", hides clouds itself" if self.network.tells_hidden else ""
        return f"{self.network.name} ≥ {self.threshold:g}{hiding}"

    @property
    def needs_swir(self) -> bool:
        return not self.network.without_swir

    def map(self, view: View) -> Answer:
        from narrows.water.framing import Inner
        from narrows.water.mapping import MapOptions, MapWindow, run_map

        scene = cast("Scene", ViewScene(view))
        window = MapWindow(scene, Inner(0, 0, *view.shape), None)
        classes, probability = _Whole(view.shape, np.uint8), _Whole(view.shape, np.float32)
        clouds: Any = "network" if self.network.tells_hidden else "none"
        options = MapOptions(self.threshold, clouds=clouds, memory=self.memory)
        run_map(window, self.network, options, classes, exact=probability)
        return Answer(classes.array, probability.array)
