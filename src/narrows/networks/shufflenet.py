"""ShuffleNet V2, the network built by the guidelines G1 to G4.

N. Ma, X. Zhang, H.-T. Zheng, J. Sun, "ShuffleNet V2: Practical Guidelines for Efficient CNN Architecture Design", arXiv
1807.11164, table 5.
"""

from __future__ import annotations

from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from narrows.layers.convolution import ConvNorm
from narrows.layers.shuffle import ShuffleDownUnit, ShuffleUnit

__all__ = ["ShuffleNetV2", "shufflenet_v2"]

# Channels of the three stages and of the last convolution, by width.
_CHANNELS = {
    0.5: (48, 96, 192, 1024),
    1.0: (116, 232, 464, 1024),
    1.5: (176, 352, 704, 1024),
    2.0: (244, 488, 976, 2048),
}
_UNITS = (4, 8, 4)
_STEM = 24


class ShuffleNetV2(nn.Module):
    """Float (N, in_channels, H, W) to logits (N, classes).

    The paper prints 1.4, 2.3, 3.5 and 7.4 million parameters for the four widths, and 41, 146, 299 and 591 million
    operations at 224 x 224. Here are 1,366,792, 2,279,760, 3,507,720 and 7,403,600 parameters, and 40,476,448,
    145,814,296, 298,970,656 and 590,783,000 multiply-accumulates of convolutions and the linear layer, which is what
    the authors count (issue 12 of their repository): the printed figures, but for 40.5 million, which they call 41.
    Ports that share the channels of the second stage's first unit evenly between its branches have up to 1.3 % fewer:
    144.9, 295.8 and 583.3 million at the wider three.

    For width 2 with squeeze-and-excitation the paper prints 597 million, 6 more than without; with `reduction` 16 there
    are 0.2 million more here, and what makes 6 isn't known.

    Args:
        width: 0.5, 1, 1.5 or 2.
        reduction: of squeeze-and-excitation at the end of each unit's branch; None for none. The paper's table 8 has
            such a variant, without saying where its squeeze-and-excitation stands or what it reduces by: both are this
            project's choice.

    Raises:
        ValueError: another width.
    """

    def __init__(self, in_channels: int, classes: int, width: float, reduction: int | None) -> None:
        super().__init__()
        if width not in _CHANNELS:
            raise ValueError(f"ShuffleNet V2 has widths {', '.join(str(w) for w in _CHANNELS)}, not {width}")
        *stages, last = _CHANNELS[width]
        self.stem = ConvNorm(in_channels, _STEM, 3, stride=2)
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        self.stages = nn.ModuleList(
            nn.Sequential(
                ShuffleDownUnit(fine, coarse, reduction), *[ShuffleUnit(coarse, reduction) for _ in range(units - 1)]
            )
            for (fine, coarse), units in zip(pairwise([_STEM, *stages]), _UNITS, strict=True)
        )
        self.last = ConvNorm(stages[-1], last, 1)
        self.classifier = nn.Linear(last, classes)

    def features(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) to (N, 1024 or 2048, ceil(H / 32), ceil(W / 32))."""
        x = self.pool(self.stem(x))
        for stage in self.stages:
            x = stage(x)
        return self.last(x)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(F.adaptive_avg_pool2d(self.features(x), 1).flatten(1))


def shufflenet_v2(
    width: float = 1.0, in_channels: int = 3, classes: int = 1000, reduction: int | None = None
) -> ShuffleNetV2:
    """ShuffleNet V2 with random weights, in training mode."""
    return ShuffleNetV2(in_channels, classes, width, reduction)
