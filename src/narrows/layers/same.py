"""TensorFlow's "same" padding, whose larger half comes after: what networks published for TensorFlow need."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["SameConvNorm", "pad_same", "same_padding"]


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Zeros that TensorFlow's "same" padding puts before and after `size` elements.

    The output has ceil(size / stride) elements; where the total is odd, the larger half comes after. A kernel of 5
    at stride 2 has (1, 2) on even sizes and (2, 2) on odd ones.
    """
    outputs = -(-size // stride)
    total = max((outputs - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def pad_same(x: Tensor, kernel: int, stride: int) -> Tensor:
    """(N, C, H, W) with the zeros around it that "same" padding puts there for a square kernel."""
    height, width = x.shape[-2:]
    return F.pad(x, (*same_padding(width, kernel, stride), *same_padding(height, kernel, stride)))


class SameConvNorm(nn.Module):
    """Convolution without bias under TensorFlow's "same" padding, Keras' batch norm and, unless `relu` is false, ReLU.

    (N, channels_in, H, W) to (N, channels_out, ceil(H / stride), ceil(W / stride)).
    """

    def __init__(self, channels_in: int, channels_out: int, kernel: int, *, stride: int = 1, relu: bool = True) -> None:
        super().__init__()
        self.relu = relu
        # At stride 1 and an odd kernel the padding is the same on both sides at every size.
        padding = kernel // 2 if stride == 1 else 0
        self.convolution = nn.Conv2d(channels_in, channels_out, kernel, stride, padding, bias=False)
        self.norm = nn.BatchNorm2d(channels_out, eps=1e-3, momentum=0.01)
        nn.init.kaiming_uniform_(self.convolution.weight, nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        kernel, stride = self.convolution.kernel_size[0], self.convolution.stride[0]
        x = self.norm(self.convolution(pad_same(x, kernel, stride) if stride > 1 else x))
        return F.relu(x) if self.relu else x
