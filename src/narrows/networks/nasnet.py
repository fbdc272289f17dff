"""NASNet-A, mobile: the network that a search found, and the example of a fragmented one.

B. Zoph, V. Vasudevan, J. Shlens, Q. V. Le, "Learning Transferable Architectures for Scalable Image Recognition", arXiv
1707.07012; between cells as in the authors' code (research/slim/nets/nasnet in github.com/tensorflow/models).
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from narrows.layers.nasnet_cells import NASNetNormalCell, NASNetReductionCell

__all__ = ["NASNetA", "nasnet_a_mobile"]

_STEM = 32


class NASNetA(nn.Module):
    """Float (N, in_channels, H, W) to logits (N, classes); sides of at least 3.

    An unpadded 3 x 3 convolution at stride 2, two reduction cells with a quarter and half of the channels, then three
    times `cells` normal cells with a reduction cell between; channels double with each.

    The paper prints 5.3 million parameters and 564 million multiply-accumulates at 224 x 224 for 4 @ 1056 (4 cells,
    1,056 channels at the end); here they are 5,289,978 and 563,638,816. The auxiliary head of training is left out.

    Args:
        cells: normal cells in each of the three stages; 4 in the mobile network.
        channels: of each branch in the first stage; 44 in the mobile network.
    """

    def __init__(self, in_channels: int, classes: int, cells: int, channels: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(in_channels, _STEM, 3, stride=2, bias=False), nn.BatchNorm2d(_STEM, eps=1e-3, momentum=0.0003)
        )
        first, second = channels // 4, channels // 2
        parts: list[nn.Module] = [
            NASNetReductionCell(_STEM, None, first),
            NASNetReductionCell(4 * first, _STEM, second, halved=True),
        ]
        before, last, halved = 4 * first, 4 * second, True
        for stage in range(3):
            width = channels << stage
            if stage:
                parts.append(NASNetReductionCell(last, before, width))
                before, last, halved = last, 4 * width, True
            for _ in range(cells):
                parts.append(NASNetNormalCell(last, before, width, halved=halved))
                before, last, halved = last, 6 * width, False
        self.cells = nn.ModuleList(parts)
        self.classifier = nn.Sequential(nn.Dropout(0.5), nn.Linear(last, classes))

    def features(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) to (N, 24 channels, H', W'), a thirty-second of the sides, rounded up."""
        before = x = self.stem(x)
        for cell in self.cells:
            before, x = x, cell(x, before)
        return F.relu(x)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(F.adaptive_avg_pool2d(self.features(x), 1).flatten(1))


def nasnet_a_mobile(in_channels: int = 3, classes: int = 1000) -> NASNetA:
    """NASNet-A (4 @ 1056) with random weights, in training mode."""
    return NASNetA(in_channels, classes, 4, 44)
