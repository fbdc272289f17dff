"""Separable blocks whose vertical part is a recursive filter, and their twins with an ordinary one.

A 3 x 3 convolution is split in three: a vertical filter for each channel, a horizontal one for each channel, and a
pointwise convolution that mixes the channels. Where the vertical filter is recursive, the block keeps `order` rows of
state for each channel, and waits for none below; a vertical convolution of k rows keeps k - 1, and waits for half of
them if it is symmetric. The split and its residual form are those of Asama et al., arXiv 2001.00630; how wide the
filters are, where the activations stand and how the recursion is parametrised are this project's choice.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from narrows.layers.vertical_iir import VerticalIIR

__all__ = ["ResidualSeparable", "SeparableFIR", "SeparableFIRIIR", "VerticalFIR"]


class VerticalFIR(nn.Module):
    """A convolution down the columns, for each channel its own: (N, C, H, W) to the same.

    Args:
        channels: C.
        kernel: k rows, odd.
        causal: row t is made of the rows t - k + 1 to t; otherwise of those from t - k // 2 to t + k // 2. Outside the
            image there are zeros.
    """

    def __init__(self, channels: int, kernel: int = 3, *, causal: bool = False) -> None:
        super().__init__()
        if kernel < 1 or kernel % 2 == 0:
            raise ValueError(f"the kernel is an odd number of rows, not {kernel}")
        self.causal = causal
        before = kernel - 1 if causal else kernel // 2
        self.convolution = nn.Conv2d(channels, channels, (kernel, 1), padding=(before, 0), groups=channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.convolution(x)
        return y[:, :, : x.shape[2]] if self.causal else y


class _Separable(nn.Sequential):
    """A vertical filter, a horizontal one, and a pointwise convolution."""

    def __init__(self, vertical: nn.Module, channels_in: int, channels_out: int, horizontal: int) -> None:
        if horizontal < 1 or horizontal % 2 == 0:
            raise ValueError(f"the horizontal kernel is an odd number of columns, not {horizontal}")
        across = nn.Conv2d(
            channels_in, channels_in, (1, horizontal), padding=(0, horizontal // 2), groups=channels_in, bias=False
        )
        super().__init__()
        self.vertical = vertical
        self.horizontal = across
        self.pointwise = nn.Conv2d(channels_in, channels_out, 1)


class SeparableFIRIIR(_Separable):
    """Vertical recursive filter, horizontal convolution, pointwise convolution.

    (N, channels_in, H, W) to (N, channels_out, H, W). It keeps ``order * channels_in`` rows, and waits for `delay`.

    Args:
        horizontal: odd columns of the horizontal kernel.
        order: of the `VerticalIIR`, as all that follow.
        activation: inside its loop.
        delay: rows that it waits for.
        max_radius: of its poles.
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        *,
        horizontal: int = 3,
        order: int = 1,
        activation: str = "linear",
        delay: int = 0,
        max_radius: float | None = None,
    ) -> None:
        vertical = VerticalIIR(channels_in, order, activation=activation, delay=delay, max_radius=max_radius)
        super().__init__(vertical, channels_in, channels_out, horizontal)


class SeparableFIR(_Separable):
    """The twin of `SeparableFIRIIR`, of the same shape, with a vertical convolution.

    (N, channels_in, H, W) to (N, channels_out, H, W). It keeps ``(vertical - 1) * channels_in`` rows, and waits for
    ``vertical // 2`` of them; for none if causal.

    Args:
        vertical: rows of the vertical kernel, an odd number.
        horizontal: columns of the horizontal one, an odd number.
        causal: as of `VerticalFIR`.
    """

    def __init__(
        self, channels_in: int, channels_out: int, *, vertical: int = 3, horizontal: int = 3, causal: bool = False
    ) -> None:
        super().__init__(VerticalFIR(channels_in, vertical, causal=causal), channels_in, channels_out, horizontal)


class ResidualSeparable(nn.Module):
    """``relu(x + second(relu(first(x))))`` of two separable blocks of as many channels out as in.

    Args:
        first: a `SeparableFIRIIR` or `SeparableFIR`, of as many channels out as in.
        second: another.
    """

    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.first, self.second = first, second

    @classmethod
    def fir_iir(cls, channels: int, **how: object) -> ResidualSeparable:
        """Of two `SeparableFIRIIR`, `how` as it takes it."""
        return cls(*(SeparableFIRIIR(channels, channels, **how) for _ in range(2)))  # type: ignore[arg-type]

    @classmethod
    def fir(cls, channels: int, **how: object) -> ResidualSeparable:
        """Of two `SeparableFIR`, `how` as it takes it."""
        return cls(*(SeparableFIR(channels, channels, **how) for _ in range(2)))  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.second(F.relu(self.first(x))))
