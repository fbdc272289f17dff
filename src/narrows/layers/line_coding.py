"""Fewer bits for a line that waits: quantiser, differential coder, and a compressor of channels around either.

A skip connection around a branch that waits for rows below holds lines until these have come. What it stores can be
compressed: fewer channels, and fewer bits for each value. Both coders quantise in `forward` exactly as `decode` of
`encode` does, pass gradients straight through (Bengio et al., arXiv 1308.3432), and spend the same number of bits on
every line, which is what a line buffer of fixed size needs. Which coder the published core uses, with which tables and
widths, is not known; these are this project's choice.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["DPCM", "ChannelCompressor", "Coded", "Quantiser"]

_MOST_BITS = 16


@dataclass(frozen=True)
class Coded:
    """Lines as a stream of bits: `data`, uint8, the first bit in the lowest place; `bits`, how many of them count.

    `shape` is that of the values, (N, C, H, W): line by line, and in a line channel by channel.
    """

    data: Tensor
    bits: int
    shape: tuple[int, int, int, int]


class _LineCoder(nn.Module, ABC):
    """What both coders share: codes for each line, whose number of bits depends on the column alone."""

    channels: int

    @abstractmethod
    def widths(self, columns: int) -> list[int]:
        """Bits of the code of each column of a line."""

    @abstractmethod
    def codes(self, x: Tensor) -> Tensor:
        """Whole numbers from 0, int64 of the shape of `x`."""

    @abstractmethod
    def values(self, codes: Tensor) -> Tensor:
        """What the codes stand for, in float32 or float64 as the tables are."""

    def stored_bits(self, columns: int, rows: int = 1) -> int:
        """Bits of `rows` lines of one image, all channels: exact, and the same for every image."""
        return self.channels * rows * sum(self.widths(columns))

    def encode(self, x: Tensor) -> Coded:
        """The lines of x, (N, C, H, W), as bits."""
        batch, channels, rows, columns = x.shape
        codes = self.codes(x).permute(0, 2, 1, 3).reshape(-1, columns)
        pieces = [
            (codes[:, column, None] >> torch.arange(width, device=x.device)) & 1
            for column, width in enumerate(self.widths(columns))
        ]
        bits = torch.cat(pieces, 1).flatten()
        padded = torch.nn.functional.pad(bits, (0, -len(bits) % 8)).view(-1, 8)
        data = (padded << torch.arange(8, device=x.device)).sum(1).to(torch.uint8)
        return Coded(data, len(bits), (batch, channels, rows, columns))

    def decode(self, coded: Coded) -> Tensor:
        """What `forward` gave for the lines that were encoded.

        Raises:
            ValueError: the stream is shorter than its shape asks for.
        """
        batch, channels, rows, columns = coded.shape
        wanted = batch * self.stored_bits(columns, rows)
        if coded.bits != wanted or len(coded.data) != -(-wanted // 8):
            raise ValueError(f"{wanted} bits make {coded.shape}, not {coded.bits} in {len(coded.data)} bytes")
        bits = ((coded.data.long()[:, None] >> torch.arange(8, device=coded.data.device)) & 1).flatten()[:wanted]
        lines, place, codes = bits.view(batch * rows * channels, -1), 0, []
        for width in self.widths(columns):
            piece = lines[:, place : place + width]
            codes.append((piece << torch.arange(width, device=piece.device)).sum(1))
            place += width
        return self.values(torch.stack(codes, 1).view(batch, rows, channels, columns).permute(0, 2, 1, 3))


class Quantiser(_LineCoder):
    """Every value by itself, to one of ``2 ** bits`` levels from `low` to `high`: (N, C, H, W) to the same.

    The range is a parameter of each channel and is trained too: with rounding taken for the identity, autograd gives
    the gradients of LSQ+ (Bhalgat et al., arXiv 2004.09576). ``stored_bits`` is ``channels * columns * bits`` a line.
    """

    def __init__(self, channels: int, bits: int, low: float = -1.0, high: float = 1.0) -> None:
        super().__init__()
        _check(channels, bits, 1, low, high)
        self.channels, self.bits = channels, bits
        self.low = nn.Parameter(torch.full((channels,), float(low)))
        self.log_step = nn.Parameter(torch.full((channels,), (high - low) / (2**bits - 1)).log())

    @torch.no_grad()
    def calibrate(self, x: Tensor) -> None:
        """Set each channel's range to that of x, (N, C, H, W)."""
        low, high = x.amin((0, 2, 3)), x.amax((0, 2, 3))
        self.low.copy_(low)
        self.log_step.copy_(((high - low).clamp_min(1e-6) / (2**self.bits - 1)).log())

    def widths(self, columns: int) -> list[int]:
        return [self.bits] * columns

    def _places(self, x: Tensor) -> Tensor:
        low, step = self.low[:, None, None], self.log_step.exp()[:, None, None]
        return ((x - low) / step).clamp(0, 2**self.bits - 1)

    @torch.no_grad()
    def codes(self, x: Tensor) -> Tensor:
        return torch.round(self._places(x)).long()

    @torch.no_grad()
    def values(self, codes: Tensor) -> Tensor:
        return self._levels(codes.to(self.low.dtype))

    def _levels(self, places: Tensor) -> Tensor:
        return places * self.log_step.exp()[:, None, None] + self.low[:, None, None]

    def forward(self, x: Tensor) -> Tensor:
        return self._levels(round_to_code(self._places(x), self.bits))

    def extra_repr(self) -> str:
        return f"{self.channels}, bits={self.bits}"


class DPCM(_LineCoder):
    """Differential coding along the line: (N, C, H, W) to the same.

    The first value of a line is stored with `first_bits`, evenly spaced from `low` to `high`. Of every other the
    difference from what the decoder has of its left neighbour is stored with `bits`: one of ``2 ** bits - 1`` steps, 0
    and as many up as down, which grow geometrically from ``(high - low) / 2 ** first_bits`` up to half of the range.
    What is decoded never leaves the range. Errors don't add up, since the encoder follows the decoder; after an edge
    higher than the largest step it takes some pixels to catch up. A line of n columns takes
    ``first_bits + (n - 1) * bits`` bits a channel, whatever it holds.

    The gradient is passed on unchanged where a value lies in the range, and is 0 outside; the tables are not trained.
    One custom operator, ``narrows::dpcm``, stands for the loop over the columns when a network is captured.

    Args:
        bits: 2 to 16 for each difference.
        low: of the range, for all channels; `calibrate` sets it from values.
        high: of the range.
    """

    low: Tensor
    high: Tensor

    def __init__(self, channels: int, bits: int, low: float = -1.0, high: float = 1.0, first_bits: int = 8) -> None:
        super().__init__()
        _check(channels, bits, 2, low, high)
        if not 1 <= first_bits <= _MOST_BITS:
            raise ValueError(f"first_bits lies between 1 and {_MOST_BITS}, not {first_bits}")
        self.channels, self.bits, self.first_bits = channels, bits, first_bits
        self.register_buffer("low", torch.full((channels,), float(low)))
        self.register_buffer("high", torch.full((channels,), float(high)))

    @torch.no_grad()
    def calibrate(self, x: Tensor) -> None:
        """Set each channel's range to that of x, (N, C, H, W)."""
        self.low.copy_(x.amin((0, 2, 3)))
        self.high.copy_(torch.maximum(x.amax((0, 2, 3)), self.low + 1e-6))

    def widths(self, columns: int) -> list[int]:
        return [self.first_bits] + [self.bits] * (columns - 1)

    def steps(self) -> Tensor:
        """The differences that can be stored, (C, 2 ** bits - 1), rising."""
        count = 2 ** (self.bits - 1) - 1
        span = self.high - self.low
        largest, smallest = span / 2, span / 2**self.first_bits
        if count == 1:
            up = (largest * smallest).sqrt()[:, None]
        else:
            growth = torch.linspace(0, 1, count, dtype=span.dtype, device=span.device)
            up = smallest[:, None] * (largest / smallest)[:, None] ** growth
        return torch.cat([-up.flip(1), torch.zeros_like(up[:, :1]), up], 1)

    @torch.no_grad()
    def codes(self, x: Tensor) -> Tensor:
        return dpcm_codes(x, self.steps(), self.low, self.high, self.first_bits)[1]

    @torch.no_grad()
    def values(self, codes: Tensor) -> Tensor:
        steps = self.steps()
        low, high = self.low[:, None], self.high[:, None]
        first = low + codes[..., 0] * ((high - low) / (2**self.first_bits - 1))
        made = [first]
        for column in range(1, codes.shape[3]):
            made.append(_held(made[-1] + _looked_up(steps, codes[..., column]), low, high))
        return torch.stack(made, 3)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = dpcm(x, self.steps(), self.low, self.high, self.first_bits)
        return y

    def extra_repr(self) -> str:
        return f"{self.channels}, bits={self.bits}, first_bits={self.first_bits}"


class ChannelCompressor(nn.Module):
    """A skip line in fewer channels and bits: 1x1 convolution, coder, 1x1 convolution. (N, C, H, W) to the same.

    Args:
        channels: C.
        coder: a `Quantiser` or `DPCM`; its channels are those that are stored.
    """

    def __init__(self, channels: int, coder: Quantiser | DPCM) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, coder.channels, 1)
        self.coder = coder
        self.expand = nn.Conv2d(coder.channels, channels, 1)

    def stored_bits(self, columns: int, rows: int = 1) -> int:
        """Bits of `rows` lines of one image: exact."""
        return self.coder.stored_bits(columns, rows)

    def encode(self, x: Tensor) -> Coded:
        """What waits in the line buffer."""
        return self.coder.encode(self.reduce(x))

    def decode(self, coded: Coded) -> Tensor:
        """What comes out of it; equals `forward`."""
        expanded: Tensor = self.expand(self.coder.decode(coded))
        return expanded

    def forward(self, x: Tensor) -> Tensor:
        expanded: Tensor = self.expand(self.coder(self.reduce(x)))
        return expanded


def _check(channels: int, bits: int, least: int, low: float, high: float) -> None:
    if channels < 1:
        raise ValueError(f"a coder has at least one channel, not {channels}")
    if not least <= bits <= _MOST_BITS:
        raise ValueError(f"bits lie between {least} and {_MOST_BITS}, not {bits}")
    if not low < high:
        raise ValueError(f"the range rises from low to high, not from {low} to {high}")


def _looked_up(table: Tensor, codes: Tensor) -> Tensor:
    """Row c of `table`, (C, k), at codes of (N, C, H)."""
    flat = codes.transpose(0, 1).flatten(1)
    return table.gather(1, flat).view(codes.shape[1], codes.shape[0], -1).transpose(0, 1)


def _held(x: Tensor, low: Tensor, high: Tensor) -> Tensor:
    return torch.minimum(torch.maximum(x, low), high)


def dpcm_codes(x: Tensor, steps: Tensor, low: Tensor, high: Tensor, first_bits: int) -> tuple[Tensor, Tensor]:
    """What the decoder will have, of the shape of x, and the codes, int64."""
    middles = ((steps[:, 1:] + steps[:, :-1]) / 2).contiguous()
    low, high = low[:, None], high[:, None]
    columns = x.to(steps.dtype).permute(3, 0, 1, 2).contiguous()
    scale = (high - low) / (2**first_bits - 1)
    first = torch.round(((columns[0] - low) / scale).clamp(0, 2**first_bits - 1)).long()
    codes, made = [first], [low + first * scale]
    for column in columns[1:]:
        difference = (column - made[-1]).transpose(0, 1).flatten(1)
        code = torch.searchsorted(middles, difference.contiguous())
        code = code.view(x.shape[1], x.shape[0], -1).transpose(0, 1)
        codes.append(code)
        made.append(_held(made[-1] + _looked_up(steps, code), low, high))
    return torch.stack(made, 3), torch.stack(codes, 3)


@torch.library.custom_op("narrows::round_to_code", mutates_args=())
def round_to_code(x: Tensor, bits: int) -> Tensor:
    """x rounded, where it lies between 0 and 2 ** bits - 1: a code of so many bits. Its gradient is the identity's."""
    return torch.round(x)


@round_to_code.register_fake
def _(x: Tensor, bits: int) -> Tensor:
    return torch.empty_like(x)


round_to_code.register_autograd(lambda ctx, grad: (grad, None))


@torch.library.custom_op("narrows::dpcm", mutates_args=())
def dpcm(x: Tensor, steps: Tensor, low: Tensor, high: Tensor, first_bits: int) -> Tensor:
    """What a decoder has of x, (N, C, H, W), coded along its lines; steps (C, k) rising, low and high (C,)."""
    return dpcm_codes(x, steps, low, high, first_bits)[0].contiguous()


@dpcm.register_fake
def _(x: Tensor, steps: Tensor, low: Tensor, high: Tensor, first_bits: int) -> Tensor:
    return torch.empty(x.shape, dtype=steps.dtype, device=x.device)


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, _, low, high, _ = inputs
    ctx.save_for_backward(x, low, high)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    x, low, high = ctx.saved_tensors
    inside = (x >= low[:, None, None]) & (x <= high[:, None, None])
    return (grad * inside).to(x.dtype), None, None, None, None


dpcm.register_autograd(_backward, setup_context=_save)
