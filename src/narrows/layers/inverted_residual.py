"""Inverted residual with linear bottleneck: narrow, wide, narrow; the narrow ends aren't rectified.

M. Sandler, A. Howard, M. Zhu, A. Zhmoginov, L.-C. Chen, "MobileNetV2: Inverted Residuals and Linear Bottlenecks", arXiv
1801.04381; with another activation and squeeze-and-excitation as in MobileNetV3, arXiv 1905.02244.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from narrows.layers.squeeze_excitation import HardSqueezeExcitation

__all__ = ["InvertedResidual"]


class InvertedResidual(nn.Module):
    """(N, channels_in, H, W) to (N, channels_out, ceil(H / stride), ceil(W / stride)).

    1 x 1 up to `hidden` channels, depthwise `kernel` x `kernel`, both with batch norm and activation, then 1 x 1 down
    with batch norm alone. The input is added where it has the shape of the output. Where `hidden` equals
    `channels_in` there is no 1 x 1 up.

    Args:
        hidden: channels in the middle: in MobileNetV2 channels_in times the expansion factor, 6 as a rule.
        kernel: odd side of the depthwise kernel.
        activation: makes the activation; ReLU6 in MobileNetV2.
        squeeze: squeeze-and-excitation, in MobileNetV3's form, after the depthwise convolution. It is a barrier.
        epsilon: of the batch norms.
        momentum: of the batch norms.
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        hidden: int,
        *,
        stride: int = 1,
        kernel: int = 3,
        activation: Callable[[], nn.Module] = nn.ReLU6,
        squeeze: bool = False,
        epsilon: float = 1e-5,
        momentum: float = 0.1,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        if hidden != channels_in:
            layers += [
                nn.Conv2d(channels_in, hidden, 1, bias=False),
                nn.BatchNorm2d(hidden, epsilon, momentum),
                activation(),
            ]
        layers += [
            nn.Conv2d(hidden, hidden, kernel, stride, kernel // 2, groups=hidden, bias=False),
            nn.BatchNorm2d(hidden, epsilon, momentum),
            activation(),
        ]
        if squeeze:
            layers.append(HardSqueezeExcitation(hidden))
        layers += [nn.Conv2d(hidden, channels_out, 1, bias=False), nn.BatchNorm2d(channels_out, epsilon, momentum)]
        self.layers = nn.Sequential(*layers)
        self.residual = stride == 1 and channels_in == channels_out

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x) if self.residual else self.layers(x)
