"""Networks that map water: what they take, what they give, and how the published one wants its scene
prepared.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from narrows.errors import InputError
from narrows.water.framing import Framing, anchored, centred

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram

__all__ = [
    "Gives",
    "WaterNetwork",
    "deepwatermap",
    "default_network",
    "own_network",
    "trained_network",
    "with_hidden",
]

Gives = Literal["probability", "logits"]
BANDS = 6
_MULTIPLE = 32
_PROBE = 1024
_SHARPNESS = 16.0
# The published network was trained and is used on integers of about 10,000 at full reflectance.
_COUNTS_PER_REFLECTANCE = 10_000.0


@dataclass(frozen=True)
class WaterNetwork:
    """A network of six bands to one channel of the same size, and what belongs around it.

    Attributes:
        name: how outputs name it. module: the network, in eval mode; input (1, 6, H, W) float32, output (1,
        1, H, W). gives: whether its output is a probability or its logit. digest: changes when its weights
        do. as_published: prepare and sharpen as DeepWaterMap's authors do (`deepwatermap`), not by
        reflectance as it is. tells_hidden: a second output channel is what clouds hide. known_stride: `stride`,
        where it needn't be found out. without_swir: it was taught to do without shortwave infrared, given as 1 in
        both bands.
    """

    name: str
    module: torch.nn.Module | ExportedProgram
    gives: Gives
    digest: str
    as_published: bool = False
    tells_hidden: bool = False
    known_stride: int | None = None
    without_swir: bool = False

    def check_bands(self, name: str, lacks: Sequence[str]) -> None:
        """Refuse the scene `name`, which `lacks` these bands, for a network that can't do without.

        Raises:
            InputError: it lacks some, and the network wasn't taught so.
        """
        if not lacks or self.without_swir:
            return
        from narrows.water import weights

        able = " or ".join([*weights.available(), "one of your own that was taught so (--without-swir)"])
        raise InputError(
            f"{name}: has no {' and '.join(lacks)}, which the network {self.name} needs; what can do without is {able}"
        )

    def framing(self, height: int, width: int, grid_origin: tuple[int, int]) -> Framing:
        """Where the scene lies in what the network sees."""
        if self.as_published:
            return centred(height, width, _MULTIPLE)
        return anchored(height, width, grid_origin, self.stride)

    @cached_property
    def stride(self) -> int:
        """Total stride: rows of the image for one row of the coarsest value inside the network."""
        if self.known_stride is not None:
            return self.known_stride
        nodes = _graph(self.module, _PROBE, _PROBE).nodes
        heights = [node.height for node in nodes if node.rows is not None and node.height > 1]
        return max(1, round(_PROBE / min(heights, default=_PROBE)))

    def reach(self) -> tuple[int, int]:
        """Rows and columns around a pixel that its answer depends on, at most `_PROBE` / 2; found with a
        stripe of NaN.
        """
        import torch

        module = self.module if isinstance(self.module, torch.nn.Module) else self.module.module()
        stride = self.stride
        band = max(stride, _PROBE // 16)
        middle = slice(_PROBE // 2, _PROBE // 2 + stride)
        found = []
        with torch.inference_mode():
            for shape, place in (((_PROBE, band), (middle, slice(None))), ((band, _PROBE), (slice(None), middle))):
                image = torch.full((1, BANDS, *shape), 0.1)
                image[(..., *place)] = torch.nan
                touched = torch.isnan(module(image)).any(dim=1)[0]
                lines = torch.nonzero(touched.any(dim=1 if shape[0] == _PROBE else 0)).flatten()
                # Any row of the stripe may be the one that an answer depends on.
                found.append(max(middle.stop - 1 - int(lines.min()), int(lines.max()) - middle.start))
        return found[0], found[1]

    def check(self, height: int, width: int) -> None:
        """Refuse a network that doesn't give the input's size for an image of this size.

        Raises:
            InputError: it gives something else.
            CaptureError, NotStreamableError: it can't be read at this size, or not be run in one pass.
        """
        from narrows.streaming.plan import check_streamable

        graph = _graph(self.module, height, width)
        check_streamable(graph)
        shapes = [graph.nodes[index].shape for index in graph.outputs]
        if shapes != [(1, 2 if self.tells_hidden else 1, height, width)]:
            given = " and ".join(" x ".join(str(size) for size in shape[1:]) for shape in shapes)
            raise InputError(
                f"the network {self.name} gives {given} for an image of {BANDS} x {height} x {width}; "
                f"a water network gives one channel of the image's size"
            )

    def probability(self, rows: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """The probability of water, 0 to 1, from the network's output.

        Raises:
            InputError: the output was said to be a probability but lies outside 0 to 1.
        """
        values = rows.astype(np.float32, copy=False)
        if self.gives == "logits":
            return _logistic(values)
        finite = values[np.isfinite(values)]
        if finite.size and (finite.min() < -1e-3 or finite.max() > 1 + 1e-3):
            raise InputError(
                f"the network {self.name} gives values from {finite.min():.3g} to {finite.max():.3g}, "
                "which are no probabilities; if they are logits, say --gives logits"
            )
        if self.as_published:
            return _logistic(_SHARPNESS * (values - 0.5))
        return np.clip(values, 0, 1)


@dataclass(frozen=True)
class Rescale:
    """(reflectance - minimum) x factor."""

    minimum: float
    factor: float

    @staticmethod
    def between(minimum: float, maximum: float) -> Rescale:
        """As DeepWaterMap's authors scale a scene: less its minimum, over the larger of 1 and its maximum
        then.

        Their scenes are integers; reflectance counts as 10,000 of them.
        """
        span = (maximum - minimum) * _COUNTS_PER_REFLECTANCE
        return Rescale(minimum, _COUNTS_PER_REFLECTANCE / max(span, 1.0))


def default_network(name: str = "water", *, hidden: bool = False) -> WaterNetwork:
    """A network that comes with the package, "water" or "water-small"; with `hidden`, also its own opinion of what
    clouds hide.

    Raises:
        InputError: there is none of this name.
    """
    from narrows.water import weights

    return with_hidden(name, weights.load(name), hidden=hidden)


def trained_network(path: str | Path, *, hidden: bool = False) -> WaterNetwork:
    """The network in a file that `narrows water train` wrote, named as the file; `hidden` as for
    `default_network`.

    Raises:
        InputError: the file can't be read or is none of these.
    """
    from narrows.water.model_files import read_model_file

    model = read_model_file(path)
    return with_hidden(model.name, model.module, hidden=hidden)


def with_hidden(name: str, module: torch.nn.Module, *, hidden: bool) -> WaterNetwork:
    """A network of (water, hidden) such as `narrows.networks.water_net.WaterNet`; `hidden` as for `default_network`."""
    from narrows.networks.water_net import WaterNet
    from narrows.water.adapters import WaterAndHidden, WaterOnly
    from narrows.water.recorded_calls import use_recorded_calls

    adapter = WaterAndHidden(module) if hidden else WaterOnly(module)
    use_recorded_calls(adapter.eval())
    stride = module.stride
    assert isinstance(stride, int)
    return WaterNetwork(
        name,
        adapter,
        "probability",
        digest_of(module),
        tells_hidden=hidden,
        known_stride=stride,
        # Every WaterNet loses shortwave infrared now and then in training (`recipes.augmentation.vary`).
        without_swir=isinstance(module, WaterNet),
    )


def deepwatermap(weights: str | Path) -> WaterNetwork:
    """DeepWaterMapV2 with imported weights, used as its authors use it.

    Raises:
        InputError: the file can't be read or holds other weights.
    """
    import torch

    from narrows.networks.deepwatermap import deepwatermap_v2
    from narrows.training.loading import load_weights

    with torch.device("meta"):
        module = deepwatermap_v2()
    load_weights(module, Path(weights))
    return WaterNetwork("deepwatermap", module.eval(), "probability", digest_of(module), as_published=True)


def own_network(
    module: torch.nn.Module | ExportedProgram, name: str, gives: Gives, *, without_swir: bool = False
) -> WaterNetwork:
    """A network of the user's: six bands of reflectance in, one channel out; `without_swir` if it can do with 1 in
    place of shortwave infrared.
    """
    return WaterNetwork(name, module, gives, digest_of(module), without_swir=without_swir)


def digest_of(module: torch.nn.Module | ExportedProgram) -> str:
    """Sixteen hexadecimal digits that change with any weight."""
    import torch

    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def _graph(module: torch.nn.Module | ExportedProgram, height: int, width: int) -> Any:
    import torch

    from narrows.streaming.capturing import captured

    return captured(module, [(1, BANDS, height, width)], [torch.float32])


def _logistic(values: NDArray[np.float32]) -> NDArray[np.float32]:
    from scipy.special import expit

    result: NDArray[np.float32] = expit(values)
    return result
