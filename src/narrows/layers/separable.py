"""Convolution taken apart into what hardware that receives an image line by line pays for differently.

S. Asama and others split a 3 x 3 convolution so for their imaging core, arXiv 2001.00630; there the vertical part is a
recursive filter. Here it is a convolution.
"""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["ThreeWaySeparable"]


class ThreeWaySeparable(nn.Module):
    """Vertical, then horizontal, then pointwise: (N, channels_in, H, W) to (N, channels_out, H, W).

    The first two work on each channel by itself (depthwise), the last on each pixel. Of k x k x channels_in x
    channels_out weights there remain ``channels_in (rows + columns) + channels_in channels_out``, and a bias for each
    output. The vertical part alone keeps lines, ``rows - 1`` of them for each input channel.

    Args:
        rows: odd size of the vertical kernel.
        columns: odd size of the horizontal kernel.
    """

    def __init__(self, channels_in: int, channels_out: int, rows: int = 3, columns: int = 3) -> None:
        super().__init__()
        self.vertical = nn.Conv2d(
            channels_in, channels_in, (rows, 1), padding=(rows // 2, 0), groups=channels_in, bias=False
        )
        self.horizontal = nn.Conv2d(
            channels_in, channels_in, (1, columns), padding=(0, columns // 2), groups=channels_in, bias=False
        )
        self.pointwise = nn.Conv2d(channels_in, channels_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.pointwise(self.horizontal(self.vertical(x)))
