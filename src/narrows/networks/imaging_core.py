"""An imaging core: image to image, line in, line out, for hardware that receives its image line by line."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from narrows.layers.fir_iir import VerticalFIR
from narrows.layers.gated_iir import GatedFIR, GatedIIR
from narrows.layers.line_coding import ChannelCompressor, Quantiser
from narrows.layers.vertical_iir import VerticalIIR

__all__ = ["VERTICAL", "ImagingCore", "imaging_core"]

VERTICAL = ("iir", "causal", "symmetric")
_REACH = (0.5, 8.0)


class ImagingCore(nn.Module):
    """A fixed topology of residual FIR-IIR blocks at two or three scales, in the spirit of Asama et al.

    (N, in_channels, H, W) to (N, out_channels, H, W), any H and W; values around 0 to 1. What is known of the
    published core (arXiv 2001.00630) is its blocks (vertical IIR, horizontal FIR, pointwise, residual), pooling between
    scales, and six planes in, up to six out; how they are wired here is this project's choice:

    - A stem reads a few rows of the image itself: the newest, `look_ahead` rows before it down to the row that is being
      made, and `rows_above` more. These lines of the image are what look-ahead costs; no feature map waits.
    - Residual blocks: horizontal convolution for each channel, pointwise to `states` channels, vertical filter, and
      pointwise layers that mix both and add to what came in.
    - Two or three scales of half the columns and half the rows each. Row k of a coarser scale is made when row 2k has
      come and is used for rows 2k and 2k + 1. With ``pooling="causal"`` it stands for rows 2k - 1 and 2k: row 2k is
      taken after the vertical filter, which has seen those above, so that nothing is kept for it. With
      ``pooling="ordinary"`` it covers rows 2k and 2k + 1, waits for the second, and the skip line around it is stored
      in `skip_bits` bits for each of half the channels.
    - The result is added to the image's own row (by a 1 x 1 convolution of its planes).

    Args:
        in_channels: planes of the image.
        out_channels: planes of the result.
        widths: channels at each scale; two or three.
        blocks: residual blocks at each scale; all but the coarsest scale have as many again on the way up.
        states: channels of the vertical filters at each scale; as `widths` if None. A recursive filter of order n keeps
            n rows of each, a convolution of k rows k - 1.
        vertical: ``"iir"``, or its twins of the same shape: ``"causal"``, a convolution that waits for none of its
            rows, or ``"symmetric"``, one that waits for half of them.
        order: of the recursive filters.
        gated: whether poles follow the image (`narrows.layers.gated_iir`); `order` is then 1.
        kernel: rows of the twins' convolutions.
        look_ahead: rows below the one being made that have been seen.
        rows_above: rows of the image above the one being made that the stem reads too.
        fold: columns that the stem folds into channels: the finest scale has one column for so many of the image.
        stem: channels of the stem's hidden layer; 0 for none.
        horizontal: columns of the horizontal convolutions.
        expand: hidden channels of a block over its width.
        pooling: ``"causal"`` or ``"ordinary"``.
        skip_bits: bits of each stored value of a skip line, with ordinary pooling.

    Raises:
        ValueError: an argument is out of its range.
    """

    def __init__(
        self,
        in_channels: int = 6,
        out_channels: int = 6,
        *,
        widths: tuple[int, ...] = (16, 32),
        blocks: tuple[int, ...] = (1, 3),
        states: tuple[int, ...] | None = None,
        vertical: str = "iir",
        order: int = 1,
        gated: bool = False,
        kernel: int = 5,
        look_ahead: int = 0,
        rows_above: int = 0,
        fold: int = 2,
        stem: int = 0,
        horizontal: int = 5,
        expand: int = 2,
        pooling: str = "causal",
        skip_bits: int = 6,
    ) -> None:
        super().__init__()
        states = tuple(widths) if states is None else tuple(states)
        if len(widths) not in (2, 3) or not len(widths) == len(blocks) == len(states):
            raise ValueError("there are two or three scales, each with a width, a number of blocks and of states")
        if vertical not in VERTICAL:
            raise ValueError(f"vertical is one of {', '.join(VERTICAL)}, not {vertical!r}")
        if pooling not in ("causal", "ordinary"):
            raise ValueError(f"pooling is causal or ordinary, not {pooling!r}")
        if min(in_channels, out_channels, fold) < 1 or min(look_ahead, rows_above, stem) < 0:
            raise ValueError(
                "channels and fold are at least 1; look-ahead, rows above and the stem's channels at least 0"
            )
        if gated and order != 1:
            raise ValueError("a gated filter has order 1")
        self.in_channels, self.out_channels = in_channels, out_channels
        self.look_ahead, self.rows_above = look_ahead, rows_above
        self.columns = fold * 2 ** (len(widths) - 1)
        reads = self._waits(vertical, kernel, blocks, pooling)
        self.delay = look_ahead + reads

        def vertical_filter(channels: int) -> nn.Module:
            if gated:
                if vertical == "iir":
                    return GatedIIR(channels)
                return GatedFIR(channels, kernel, causal=vertical == "causal")
            if vertical == "iir":
                return VerticalIIR(channels, order)
            return _cut_off(VerticalFIR(channels, kernel, causal=vertical == "causal"))

        def residual(scale: int) -> nn.Sequential:
            width = widths[scale]
            made = [
                _Block(width, states[scale], expand * width, horizontal, vertical_filter(states[scale]))
                for _ in range(blocks[scale])
            ]
            return nn.Sequential(*made)

        rows = rows_above + 1 + look_ahead
        window = nn.Conv2d(in_channels, stem or widths[0], (rows, fold + 4), stride=(1, fold), padding=(0, 2))
        self.stem = nn.Sequential(window, nn.ReLU(), nn.Conv2d(stem, widths[0], 1)) if stem else window
        coarser: _Scale | None = None
        for scale in reversed(range(len(widths))):
            after = residual(scale) if coarser is not None else None
            down = _Down(widths[scale], widths[scale + 1], pooling) if coarser is not None else None
            up = nn.ConvTranspose2d(widths[scale + 1], widths[scale], 2, stride=2) if coarser is not None else None
            skip = None
            if coarser is not None and pooling == "ordinary":
                half = max(1, widths[scale] // 2)
                skip = ChannelCompressor(widths[scale], Quantiser(half, skip_bits, -3.0, 3.0))
            coarser = _Scale(residual(scale), down, coarser, up, skip, after)
        self.scales = coarser
        self.head = nn.ConvTranspose2d(widths[0], out_channels, (1, fold), stride=(1, fold))
        self.direct = nn.Conv2d(in_channels, out_channels, 1)
        self._begin()

    @staticmethod
    def _waits(vertical: str, kernel: int, blocks: tuple[int, ...], pooling: str) -> int:
        """Rows of the image that a row waits for, look-ahead not counted."""
        scales = len(blocks)
        waits = 2 ** (scales - 1) - 1 if pooling == "ordinary" else 0
        if vertical == "symmetric":
            for scale, count in enumerate(blocks):
                waits += 2**scale * (kernel // 2) * count * (1 if scale == scales - 1 else 2)
        return waits

    @torch.no_grad()
    def _begin(self) -> None:
        """At the start the result is the image's planes and a little of the rest; the stem looks at near rows most."""
        window = self.stem[0] if isinstance(self.stem, nn.Sequential) else self.stem
        assert isinstance(window, nn.Conv2d)
        nearness = 0.5 ** (torch.arange(window.kernel_size[0]) - self.rows_above).abs()
        # As spread out as before, taken together.
        nearness *= (len(nearness) / nearness.square().sum()).sqrt()
        window.weight.mul_(nearness[:, None])
        self.head.weight.mul_(0.1)
        assert self.head.bias is not None and self.direct.bias is not None
        self.head.bias.zero_()
        self.direct.weight.zero_()
        for plane in range(min(self.in_channels, self.out_channels)):
            self.direct.weight[plane, plane] = 1.0
        self.direct.bias.fill_(0.5)

    def forward(self, image: Tensor) -> Tensor:
        height, width = image.shape[2:]
        above, below = self.look_ahead + self.rows_above, self.look_ahead
        # Stem, blocks and head are look_ahead rows ahead of the row that leaves; what is outside the image is mid-grey.
        rows = F.pad(image - 0.5, (0, -width % self.columns, above, below))
        assert self.scales is not None
        made: Tensor = self.head(self.scales(self.stem(rows)))
        direct: Tensor = self.direct(rows[:, :, above : above + height])
        return (direct + made[:, :, below:])[..., :width]


class _Scale(nn.Module):
    """Blocks; a coarser scale, if there is one, added to them; blocks again."""

    def __init__(
        self,
        before: nn.Module,
        down: nn.Module | None,
        coarser: nn.Module | None,
        up: nn.Module | None,
        skip: nn.Module | None,
        after: nn.Module | None,
    ) -> None:
        super().__init__()
        self.before, self.down, self.coarser, self.up = before, down, coarser, up
        self.skip, self.after = skip, after

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.before(x)
        if self.coarser is None:
            return y
        assert self.down is not None and self.up is not None and self.after is not None
        low: Tensor = self.up(self.coarser(self.down(y)))
        kept: Tensor = self.skip(y) if self.skip is not None else y
        result: Tensor = self.after(kept + low[:, :, : y.shape[2]])
        return result


class _Down(nn.Module):
    """Half the columns and half the rows: row 2k alone (causal), or rows 2k and 2k + 1 (ordinary)."""

    def __init__(self, channels_in: int, channels_out: int, pooling: str) -> None:
        super().__init__()
        self.causal = pooling == "causal"
        rows = 1 if self.causal else 2
        self.convolution = nn.Conv2d(channels_in, channels_out, (rows, 4), stride=(rows, 2), padding=(0, 1))

    def forward(self, x: Tensor) -> Tensor:
        taken = x[:, :, ::2] if self.causal else F.pad(x, (0, 0, 0, x.shape[2] % 2))
        y: Tensor = self.convolution(taken)
        return y


class _Block(nn.Module):
    """``x + out(relu(mix([a, vertical(feed(a))])))`` with ``a`` the horizontal convolution of x."""

    def __init__(self, width: int, states: int, hidden: int, horizontal: int, vertical: nn.Module) -> None:
        super().__init__()
        if horizontal < 1 or horizontal % 2 == 0:
            raise ValueError(f"the horizontal kernel is an odd number of columns, not {horizontal}")
        self.states, self.gated = states, isinstance(vertical, (GatedIIR, GatedFIR))
        across = (0, horizontal // 2)
        self.horizontal = nn.Conv2d(width, width, (1, horizontal), padding=across, groups=width)
        self.feed = nn.Conv2d(width, 2 * states if self.gated else states, 1)
        self.vertical = vertical
        self.mix = nn.Conv2d(width + states, hidden, 1)
        self.out = nn.Conv2d(hidden, width, 1)
        with torch.no_grad():
            self.out.weight.mul_(0.3)

    def forward(self, x: Tensor) -> Tensor:
        across = self.horizontal(x)
        fed = self.feed(across)
        if self.gated:
            down = self.vertical(fed[:, : self.states], fed[:, self.states :])
        else:
            down = self.vertical(fed)
        result: Tensor = x + self.out(F.relu(self.mix(torch.cat((across, down), 1))))
        return result


@torch.no_grad()
def _cut_off(layer: VerticalFIR) -> VerticalFIR:
    """Start the convolution as the recursive filter starts, cut off where the kernel ends, with a gain of 1."""
    channels, _, kernel, _ = layer.convolution.weight.shape
    reach = torch.logspace(math.log10(_REACH[0]), math.log10(_REACH[1]), channels)
    rows = torch.arange(kernel - 1, -1, -1) if layer.causal else (torch.arange(kernel) - kernel // 2).abs()
    weights = torch.exp(-rows / reach[:, None])
    layer.convolution.weight.copy_((weights / weights.sum(1, keepdim=True))[:, None, :, None])
    return layer


def imaging_core(in_channels: int = 6, out_channels: int = 6, **how: object) -> ImagingCore:
    """The imaging core with random weights, in training mode; delay 0 unless told otherwise. `how` as `ImagingCore`."""
    return ImagingCore(in_channels, out_channels, **how)  # type: ignore[arg-type]
