"""An imaging core whose line buffers hold whole numbers of so many bits, to score it as hardware would keep it.

What is rounded is what waits from one row to the next: lines of the image, the state of recursive filters (before the
next row reads it), the lines that a vertical convolution reads, the row of a coarser scale that is used for two, and
the first of two rows that are pooled. A skip line that is stored coded has the bits of its coder. Everything else
stays in float32. Each channel has a range of its own, found on training images with a quarter to spare; beyond it,
values saturate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from narrows.layers.fir_iir import VerticalFIR
from narrows.layers.gated_iir import GatedFIR, GatedIIR
from narrows.layers.vertical_iir import VerticalIIR
from narrows.networks.imaging_core import ImagingCore, _Down, _Scale

__all__ = ["fixed_lines"]

ROOM = 1.25


class _Line:
    """Rounds one kind of line, (N, C, rows, W), to `bits`; without bits it finds the range."""

    def __init__(self) -> None:
        self.range: Tensor | None = None
        self.bits: int | None = None

    def __call__(self, x: Tensor) -> Tensor:
        if self.bits is None:
            seen = x.abs().amax((0, 2, 3), keepdim=True)
            self.range = seen if self.range is None else torch.maximum(self.range, seen)
            return x
        assert self.range is not None
        most = 2 ** (self.bits - 1)
        step = (ROOM * self.range / most).clamp_min(1e-12)
        return (x / step).round().clamp(-most, most - 1) * step


@contextmanager
def fixed_lines(core: ImagingCore, images: Tensor, bits: int) -> Iterator[ImagingCore]:
    """`core` with lines of `bits`, their ranges from `images` (N, in_channels, H, W); as it was afterwards."""
    lines: list[_Line] = []
    undo: list[Callable[[], None]] = []

    def line() -> _Line:
        lines.append(_Line())
        return lines[-1]

    def replace(module: nn.Module, forward: Callable[..., Tensor]) -> None:
        module.forward = forward  # type: ignore[method-assign]
        undo.append(lambda: module.__dict__.pop("forward"))

    image = line()
    undo.append(core.register_forward_pre_hook(lambda _, given: (image(given[0] - 0.5) + 0.5,)).remove)
    for module in core.modules():
        if isinstance(module, VerticalIIR):
            replace(module, _recursive(module, line()))
        elif isinstance(module, GatedIIR):
            replace(module, _gated(module, line()))
        elif isinstance(module, GatedFIR | VerticalFIR):
            undo.append(module.convolution.register_forward_pre_hook(_before(line())).remove)
        elif isinstance(module, _Scale) and module.up is not None:
            undo.append(module.up.register_forward_pre_hook(_before(line())).remove)
        elif isinstance(module, _Down) and not module.causal:
            undo.append(module.register_forward_pre_hook(_before(line())).remove)
    try:
        with torch.no_grad():
            core(images)
            for each in lines:
                each.bits = bits
            yield core
    finally:
        for restore in undo:
            restore()


def _before(line: _Line) -> Callable[..., tuple[Tensor]]:
    return lambda _, given: (line(given[0]),)


def _recursive(module: VerticalIIR, line: _Line) -> Callable[[Tensor], Tensor]:
    def forward(x: Tensor) -> Tensor:
        state, made = None, []
        for row in x.split(1, 2):
            y, state = module.step(row, state)
            state = line(state)
            made.append(y)
        return torch.cat(made, 2)

    return forward


def _gated(module: GatedIIR, line: _Line) -> Callable[[Tensor, Tensor], Tensor]:
    def forward(values: Tensor, logits: Tensor) -> Tensor:
        gate = torch.sigmoid(logits + module.bias[:, None, None])
        fed, made = (values * (1 - gate)).unbind(2), []
        for kept, new in zip(gate.unbind(2), fed, strict=True):
            made.append(line((kept * made[-1] + new if made else new)[:, :, None])[:, :, 0])
        return torch.stack(made, 2)

    return forward
