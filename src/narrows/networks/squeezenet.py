"""SqueezeNet 1.0, of the paper, and 1.1, its authors' cheaper version.

F. N. Iandola and others, "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and < 0.5 MB model size", arXiv
1602.07360; for 1.1 github.com/forresti/SqueezeNet.
"""

from __future__ import annotations

from torch import Tensor, nn

from narrows.layers.fire import Fire

__all__ = ["SqueezeNet", "squeezenet"]

# Squeezed and expanded channels of Fire modules 2 to 9.
_FIRES = ((16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256))
# Stem channels and kernel, and the Fire modules that a pooling follows.
_VERSIONS = {"1.0": (96, 7, (4, 8)), "1.1": (64, 3, (3, 5))}


class SqueezeNet(nn.Module):
    """Float (N, in_channels, H, W) to logits (N, classes).

    The paper's table 1 prints 1,248,424 parameters for 1.0, which it has here; 1.1 has 1,235,496. The paper prints no
    operations. The first convolution isn't padded: the table's 111 x 111 after it takes an image of 227 x 227, though
    the table says 224; at 227 there are 832,667,936 multiply-accumulates in 1.0 and 387,747,520 in 1.1.

    Raises:
        ValueError: another version.
    """

    def __init__(self, in_channels: int, classes: int, version: str) -> None:
        super().__init__()
        if version not in _VERSIONS:
            raise ValueError(f"SqueezeNet has versions {', '.join(_VERSIONS)}, not {version}")
        channels, kernel, pooled = _VERSIONS[version]
        layers: list[nn.Module] = [nn.Conv2d(in_channels, channels, kernel, stride=2), nn.ReLU(), _pool()]
        for number, (squeezed, expanded) in enumerate(_FIRES, start=2):
            layers.append(Fire(channels, squeezed, expanded))
            channels = 2 * expanded
            if number in pooled:
                layers.append(_pool())
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            nn.Dropout(0.5), nn.Conv2d(channels, classes, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x))


def squeezenet(version: str = "1.1", in_channels: int = 3, classes: int = 1000) -> SqueezeNet:
    """SqueezeNet with random weights, in training mode."""
    return SqueezeNet(in_channels, classes, version)


def _pool() -> nn.MaxPool2d:
    return nn.MaxPool2d(3, stride=2, ceil_mode=True)
