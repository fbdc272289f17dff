"""DeepWaterMapV2, the published network that maps surface water, and its authors' way of preparing a scene.

L. F. Isikdogan, A. C. Bovik, P. Passalacqua, "Seeing Through the Clouds With DeepWaterMap", IEEE GRSL, 2019.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from narrows.layers.constant_memory import ConstantMemoryDown, ConstantMemoryUp, ResidualPair
from narrows.layers.same import SameConvNorm, same_padding

__all__ = ["AsPublished", "DeepWaterMapV2", "SameConvNorm", "deepwatermap_v2", "same_padding"]

_STRIDE = 16
_MULTIPLE = 32
_SHARPNESS = 16.0


class DeepWaterMapV2(nn.Module):
    """The published network: five scales with 4, 16, 64, 256 and 1024 channels, so 4 H W values at every scale.

    Input: float (N, 6, H, W), blue, green, red, nir, swir1, swir2, scaled for the whole scene to start at 0 and to
    reach at most 1 (see `AsPublished`). Output: float (N, 1, H, W), probability of water, 0 to 1.

    The published layers halve each side four times and add what comes back to what was there, so they run as they are
    on sides that are multiples of 16. Any other side is first padded by reflection to a multiple of 32, split on both
    ends, the larger half after, as the authors prepare a scene, and the output is cropped again; that needs sides of
    at least 12 (or a multiple of 16).

    It holds 37,200,150 parameters, and 10,906 running means and variances: 37,211,056 as Keras counts. Batch norm's
    momentum and epsilon are Keras' defaults.

    Modules stand in the order in which they run. `nn.PixelShuffle` takes the four values of one output channel from
    neighbouring channels, TensorFlow's depth-to-space from four runs of channels: weights from there need their
    channels reordered, which `narrows import-deepwatermap` does.

    Raises:
        ValueError: a side is too small to be padded.
    """

    bands = ("blue", "green", "red", "nir", "swir1", "swir2")

    def __init__(self) -> None:
        super().__init__()
        widths = (4, 16, 64, 256, 1024)
        self.entry = SameConvNorm(6, widths[0], 1, relu=False)
        self.encoder = nn.ModuleList(ConstantMemoryDown(width) for width in widths[:-1])
        self.bottleneck = ResidualPair(SameConvNorm(widths[-1], widths[-1], 3), SameConvNorm(widths[-1], widths[-1], 3))
        self.decoder = nn.ModuleList(ConstantMemoryUp(width) for width in reversed(widths[:-1]))
        self.head = SameConvNorm(widths[0], 1, 1, relu=False)

    def forward(self, scene: Tensor) -> Tensor:
        height, width = scene.shape[-2:]
        if height % _STRIDE or width % _STRIDE:
            return _cropped(self._published(_padded(scene, _STRIDE)), scene)
        return self._published(scene)

    def _published(self, x: Tensor) -> Tensor:
        x = self.entry(x)
        skips = [x]
        for unit in self.encoder:
            x = unit(x)
            skips.append(x)
        x = self.bottleneck(x)
        for unit in self.decoder:
            x = unit(x + skips.pop())
        return torch.sigmoid(self.head(x + skips.pop()))


class AsPublished(nn.Module):
    """A network with what the authors do before and after it, row by row.

    What is not finite becomes 0; `minimum` is taken off and the rest divided by `span`, both known from an earlier pass
    over the scene; sides are padded by reflection to multiples of 32 and cropped again; the probability p is sharpened
    to 1 / (1 + exp(-16 (p - 0.5))).

    Input: float (N, 6, H, W) in the scene's own units; the authors give integer digital numbers. Output: float
    (N, 1, H, W), 0 to 1.

    Args:
        network: takes and gives what `DeepWaterMapV2` does.
        minimum: the least value of the scene, over all bands, not-finite values counting as 0.
        maximum: the greatest, in the same way. `span` is maximum - minimum, but at least 1.

    Raises:
        ValueError: a side is below 12.
    """

    minimum: Tensor
    span: Tensor

    def __init__(self, network: nn.Module, minimum: float, maximum: float) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("minimum", torch.tensor(float(minimum)), persistent=False)
        self.register_buffer("span", torch.tensor(max(float(maximum) - float(minimum), 1.0)), persistent=False)

    def forward(self, scene: Tensor) -> Tensor:
        x = torch.nan_to_num(scene, nan=0.0, posinf=0.0, neginf=0.0)
        x = _padded((x - self.minimum) / self.span, _MULTIPLE)
        return torch.sigmoid(_SHARPNESS * (_cropped(self.network(x), scene) - 0.5))


def deepwatermap_v2() -> DeepWaterMapV2:
    """The published network with random weights, in training mode."""
    return DeepWaterMapV2()


def _padded(x: Tensor, multiple: int) -> Tensor:
    """`x` with each side that is no multiple of `multiple` reflected up to a multiple of 32."""
    (top, bottom), (left, right) = (_halves(size, multiple) for size in x.shape[-2:])
    if not (top or bottom or left or right):
        return x
    return F.pad(x, (left, right, top, bottom), mode="reflect")


def _halves(size: int, multiple: int) -> tuple[int, int]:
    total = -size % _MULTIPLE if size % multiple else 0
    if total - total // 2 >= size:
        raise ValueError(f"a side of {size} is too small to be reflected to {_MULTIPLE}; it needs at least 12")
    return total // 2, total - total // 2


def _cropped(x: Tensor, like: Tensor) -> Tensor:
    """The middle of `x`, as large as `like`."""
    (height, width), (rows, columns) = like.shape[-2:], x.shape[-2:]
    top, left = (rows - height) // 2, (columns - width) // 2
    return x[..., top : top + height, left : left + width]
