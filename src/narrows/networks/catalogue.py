"""The catalogue: designs that worked, what for, how well, by whose account, and the line of Python that builds each.

Plain data; torch is imported when a design is built. A score stands here only with its data set and its source: a
table of a paper, the account of its authors' repository, or a page of this one. Scores of different data sets can't be
compared. Trained weights are this project's own only where `weights` says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

__all__ = ["CATALOGUE", "TASKS", "Design", "Score"]

TASKS = ("classification", "segmentation", "restoration")
"""What a design is for: one label an image; a map of classes or probabilities; an image made better."""


@dataclass(frozen=True)
class Score:
    """How well a design did.

    Attributes:
        metric: e.g. ``"top-1 accuracy"``; higher is better.
        value: 0 to 1.
        data: the data set, and on which part of it.
        bands: of the images that it was reached with.
        source: paper and table, or page.
    """

    metric: str
    value: float
    data: str
    bands: int
    source: str


@dataclass(frozen=True)
class Design:
    """One design.

    Attributes:
        name: unique in the catalogue.
        tasks: of `TASKS`.
        factory: ``"module:function"``.
        arguments: of the factory, beside the bands.
        bands: of the image if the design takes no others; None if any.
        source: where the design comes from.
        licence: of the code here, and of the weights if there are any.
        weights: where trained weights are to be had, or None.
        scores: the most telling first.
    """

    name: str
    tasks: tuple[str, ...]
    factory: str
    source: str
    arguments: tuple[tuple[str, Any], ...] = ()
    bands: int | None = None
    licence: str = "Apache-2.0 (code)"
    weights: str | None = None
    scores: tuple[Score, ...] = ()

    def given(self, bands: int) -> dict[str, Any]:
        """The factory's arguments for an image of so many bands.

        Raises:
            ValueError: the design takes another number of bands.
        """
        if self.bands is not None and self.bands != bands:
            raise ValueError(f"{self.name} takes {self.bands} bands, not {bands}")
        return dict(self.arguments) if self.bands is not None else {"in_channels": bands, **dict(self.arguments)}

    def build(self, bands: int) -> nn.Module:
        """The network with random weights, in training mode.

        Raises:
            ValueError: the design takes another number of bands.
        """
        module, function = self.factory.split(":")
        model: nn.Module = getattr(import_module(module), function)(**self.given(bands))
        return model

    def line(self, bands: int) -> str:
        """The line of Python that builds it.

        Raises:
            ValueError: the design takes another number of bands.
        """
        module, function = self.factory.split(":")
        arguments = ", ".join(f"{name}={value!r}" for name, value in self.given(bands).items())
        return f"from {module} import {function}; model = {function}({arguments})"


_IMAGENET = "ImageNet-1k validation, 224 x 224"
_SHUFFLENET = "github.com/megvii-model/ShuffleNet-Series, ShuffleNetV2/README.md"
_SLIM = "github.com/tensorflow/models, research/slim/nets/{}/README.md"
_SE = "arXiv 1709.01507, table 2"


def _imagenet(top1: float, source: str) -> tuple[Score, ...]:
    return (Score("top-1 accuracy", top1, _IMAGENET, 3, source),)


def _shufflenet(width: float, top1: float) -> Design:
    return Design(
        f"shufflenet_v2_{width:g}x",
        ("classification",),
        "narrows.networks.shufflenet:shufflenet_v2",
        "ShuffleNet V2, arXiv 1807.11164",
        (("width", width),),
        scores=_imagenet(top1, _SHUFFLENET),
    )


def _mobilenet_v2(width: float, top1: float) -> Design:
    return Design(
        f"mobilenet_v2_{width:g}",
        ("classification",),
        "narrows.networks.mobilenet_v2:mobilenet_v2",
        "MobileNetV2, arXiv 1801.04381",
        (("width", width),),
        scores=_imagenet(top1, _SLIM.format("mobilenet")),
    )


_CLASSIFIERS = (
    _shufflenet(0.5, 0.611),
    _shufflenet(1.0, 0.694),
    _shufflenet(1.5, 0.726),
    _shufflenet(2.0, 0.750),
    _mobilenet_v2(0.75, 0.698),
    _mobilenet_v2(1.0, 0.718),
    _mobilenet_v2(1.4, 0.750),
    Design(
        "mobilenet_v3_large",
        ("classification",),
        "narrows.networks.mobilenet_v3:mobilenet_v3_large",
        "MobileNetV3, arXiv 1905.02244",
        scores=_imagenet(0.752, "arXiv 1905.02244, table 3"),
    ),
    Design(
        "mobilenet_v3_small",
        ("classification",),
        "narrows.networks.mobilenet_v3:mobilenet_v3_small",
        "MobileNetV3, arXiv 1905.02244",
        scores=_imagenet(0.674, "arXiv 1905.02244, table 3"),
    ),
    Design(
        "squeezenet_1.0",
        ("classification",),
        "narrows.networks.squeezenet:squeezenet",
        "SqueezeNet, arXiv 1602.07360",
        (("version", "1.0"),),
        scores=_imagenet(0.575, "arXiv 1602.07360, table 2"),
    ),
    Design(
        "squeezenet_1.1",
        ("classification",),
        "narrows.networks.squeezenet:squeezenet",
        "github.com/forresti/SqueezeNet, SqueezeNet_v1.1",
        (("version", "1.1"),),
    ),
    Design(
        "nasnet_a_mobile",
        ("classification",),
        "narrows.networks.nasnet:nasnet_a_mobile",
        "NASNet-A, arXiv 1707.07012",
        scores=_imagenet(0.740, _SLIM.format("nasnet")),
    ),
    Design(
        "resnet50",
        ("classification",),
        "narrows.networks.resnet:resnet50",
        "ResNet, arXiv 1512.03385",
        scores=(Score("top-5 accuracy", 0.9252, _IMAGENET, 3, _SE),),
    ),
    Design(
        "se_resnet50",
        ("classification",),
        "narrows.networks.resnet:se_resnet50",
        "squeeze-and-excitation, arXiv 1709.01507",
        scores=(Score("top-5 accuracy", 0.9338, _IMAGENET, 3, _SE),),
    ),
)

_WATER = "docs/models/water.md"
_HLS = "Harmonized Landsat Sentinel-2 chips, 30 m, 40 places held out, {}"
_DRAWN = "windows of real scenes, drawn by hand, report split"
_CLOUDY = "one cloudy Sentinel-2 chip, hand labels, top of atmosphere"


def _water(name: str, *scores: Score) -> Design:
    return Design(
        name,
        ("segmentation",),
        f"narrows.networks.water_net:{name}",
        "this project, docs/models/water.md",
        bands=6,
        licence="Apache-2.0 (code and weights; the licence of the training chips is not stated)",
        weights=f'narrows.water.weights.load("{name.replace("_", "-")}")',
        scores=scores,
    )


_DENSE = (
    _water(
        "water",
        Score("F1 of water", 0.981, _HLS.format("pixels on which labels and Fmask agree"), 6, _WATER),
        Score("F1 of water", 0.972, _DRAWN, 6, _WATER),
        Score("F1 of water", 0.607, _CLOUDY, 6, _WATER),
    ),
    _water(
        "water_small",
        Score("F1 of water", 0.980, _HLS.format("pixels on which labels and Fmask agree"), 6, _WATER),
        Score("F1 of water", 0.961, _DRAWN, 6, _WATER),
        Score("F1 of water", 0.640, _CLOUDY, 6, _WATER),
    ),
    Design(
        "rowwise_water",
        ("segmentation",),
        "narrows.networks.rowwise_water:rowwise_water",
        "this project: an earlier water network, with convolutions at full resolution",
        bands=6,
    ),
    Design(
        "deepwatermap_v2",
        ("segmentation",),
        "narrows.networks.deepwatermap:deepwatermap_v2",
        'L. F. Isikdogan and others, "Seeing Through the Clouds With DeepWaterMap", IEEE GRSL, 2019',
        bands=6,
        licence="Apache-2.0 (code here); the authors' repository states no licence for their checkpoint",
        weights="github.com/isikdogan/deepwatermap, by narrows import-deepwatermap",
    ),
    Design(
        "unet_x2",
        ("segmentation", "restoration"),
        "narrows.networks.unet:unet",
        "U-Net, arXiv 1505.04597, in small",
        (("width", 16), ("multiplier", 2)),
    ),
    Design(
        "unet_x2_bilinear",
        ("segmentation", "restoration"),
        "narrows.networks.unet:unet",
        "U-Net, arXiv 1505.04597, in small, scaled up by interpolation",
        (("width", 16), ("multiplier", 2), ("transposed", False)),
    ),
    Design(
        "unet_x4",
        ("segmentation", "restoration"),
        "narrows.networks.unet:unet",
        "U-Net, arXiv 1505.04597, with DeepWaterMap's channels",
        (("width", 4), ("multiplier", 4)),
    ),
    Design(
        "convnext_dense",
        ("segmentation",),
        "narrows.networks.convnext:convnext_dense",
        "ConvNeXt, arXiv 2201.03545, in small, with this project's head",
    ),
    Design(
        "dilated",
        ("segmentation", "restoration"),
        "narrows.networks.dilated:dilated",
        "multi-scale context, arXiv 1511.07122, residual and in small",
    ),
    Design(
        "two_output_pyramid",
        ("segmentation",),
        "narrows.networks.pyramid:two_output_pyramid",
        "feature pyramid, arXiv 1612.03144, in small",
    ),
)

CATALOGUE: tuple[Design, ...] = (*_CLASSIFIERS, *_DENSE)
"""Every design, classifiers first."""
