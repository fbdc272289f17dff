"""A plain encoder of the kind that image classification streams: the network on which every peer can be compared."""

from __future__ import annotations

from torch import nn

__all__ = ["encoder"]


def encoder(channels: int = 3, widths: tuple[int, ...] = (16, 32, 64)) -> nn.Sequential:
    """3 x 3 convolutions with batch norm and ReLU, each stage ending in max pooling: an eighth comes out."""
    layers: list[nn.Module] = []
    for width in widths:
        layers += [
            nn.Conv2d(channels, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.MaxPool2d(2),
        ]
        channels = width
    return nn.Sequential(*layers)
