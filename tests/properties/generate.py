"""Random networks, grown on a random image, so that every step fits the sizes that it meets.

A network is a list of steps, each a line of PyTorch on earlier values: its listing is what it runs. `KINDS` holds the
steps there are; networks are chains of them, encoders with decoders, branches and pyramids.

A step function (rounding, comparison, argmax, places of maxima) also says by how much it decided. `Network.settled`
tells which values of the outputs do not depend on a decision closer than a tolerance.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from narrows.layers.vertical_iir import VerticalIIR
from tests.properties import margins

__all__ = ["KINDS", "Case", "Network", "generate"]

# PyTorch convolves larger values than this with oneDNN.
ONE_DNN = 20_480
_WEIGHTS = (nn.Module, torch.Tensor)
HEIGHTS = (1, 2, 3, 5, 9, 13, 16, 31, 64)
WIDTHS = (1, 2, 5, 8, 17)
# What leaves this range after a step would lose more than a few digits to cancellation, or overflow.
LEAST, MOST = 0.02, 50.0


class Step(nn.Module):
    """One line: an expression of x, y, z (the sources), w (their weights), torch, F and margins.

    Args:
        expression: what the step computes.
        decides: for a step function, the quantity q that it decides on, in the terms of `expression`.
        margin: an expression of q, too, that is broadcast to the result: how far q is from another decision.
        discrete: whether the result is nothing but decisions, and so exact where these are settled.
        weights: modules and tensors.
    """

    def __init__(
        self, expression: str, decides: str = "", margin: str = "", discrete: bool = False, **weights: Any
    ) -> None:
        super().__init__()
        self.expression, self.decides, self.margin, self.discrete = expression, decides, margin, discrete
        for name, weight in weights.items():
            if isinstance(weight, torch.Tensor):
                self.register_buffer(name, weight)
            else:
                setattr(self, name, weight)

    def forward(self, *sources: torch.Tensor) -> Any:
        return self._evaluate(self.expression, sources)

    def _evaluate(self, expression: str, sources: tuple[torch.Tensor, ...], **more: Any) -> Any:
        names = dict(zip("xyz", sources, strict=False))
        return eval(expression, {"torch": torch, "F": F, "margins": margins, "w": self, **names, **more})

    def margins(self, sources: tuple[torch.Tensor, ...]) -> torch.Tensor:
        """How far each decision is from another, relative to the largest |q|; NaN where that depends on a doubt."""
        q = self._evaluate(self.decides, sources)
        margin: torch.Tensor = self._evaluate(self.margin, sources, q=q)
        return margin / q.nan_to_num(0.0).abs().max().clamp_min(1e-30)

    def line(self, sources: list[str]) -> str:
        """The expression on the values' own names, and what the weights are."""
        names = dict(zip("xyz", sources, strict=False))
        text = re.sub(r"\b[xyz]\b", lambda found: names.get(found[0], found[0]), self.expression)
        weights = [f"w.{name} = {' '.join(str(module).split())}" for name, module in self.named_children()]
        weights += [f"w.{name}: {tuple(tensor.shape)}" for name, tensor in self.named_buffers(recurse=False)]
        return f"{text}    # {', '.join(weights)}" if weights else text


@dataclass(frozen=True)
class Settled:
    """Which values of each output hang on no close decision; how many decisions are close, and of how many."""

    masks: list[torch.Tensor]
    doubtful: int
    decided: int


class Network(nn.Module):
    """Steps on earlier values; some values are the outputs, alone, in a tuple or in a dict.

    `takes` is the number of inputs; `one_row` tells whether some image in it has one row only;
    `kinds` are the kinds of its steps.
    """

    def __init__(self, takes: int) -> None:
        super().__init__()
        self.takes = takes
        self.steps = nn.ModuleList()
        self.sources: list[tuple[int, ...]] = []
        self.counts: list[int] = []
        self.outputs: list[int] = []
        self.kind = "tuple"
        self.one_row = False
        self.kinds: set[str] = set()

    def forward(self, *inputs: torch.Tensor) -> Any:
        values = list(inputs)
        for step, sources in zip(self._steps, self.sources, strict=True):
            result = step(*(values[i] for i in sources))
            values.extend(result if isinstance(result, tuple) else (result,))
        picked = [values[i] for i in self.outputs]
        if self.kind == "dict":
            return {f"scale{place}": value for place, value in enumerate(picked)}
        return picked[0] if len(picked) == 1 else tuple(picked)

    @property
    def _steps(self) -> list[Step]:
        return list(self.steps)  # type: ignore[arg-type]

    @property
    def discrete(self) -> list[bool]:
        """Of each output, whether it holds nothing but decisions."""
        made = [False] * self.takes
        for step, count in zip(self._steps, self.counts, strict=True):
            made += [step.discrete] * count
        return [made[i] for i in self.outputs]

    def settled(self, inputs: list[torch.Tensor], tolerance: float) -> Settled:
        """What doesn't depend on a decision closer than `tolerance`.

        Decisions in doubt become NaN in the full frame, and it spreads to whatever depends on them.
        """
        values, doubtful, decided = list(inputs), 0, 0
        with torch.no_grad():
            for step, sources in zip(self._steps, self.sources, strict=True):
                given = tuple(values[i] for i in sources)
                result = step(*given)
                if step.margin:
                    margin = step.margins(given)
                    doubtful, decided = doubtful + int((margin <= tolerance).sum()), decided + margin.numel()
                    doubts = ~(margin > tolerance)
                    if doubts.any():
                        result = result if result.is_floating_point() else result.double()
                        result = result.masked_fill(doubts, torch.nan)
                values.extend(result if isinstance(result, tuple) else (result,))
        return Settled([~torch.isnan(values[i]) for i in self.outputs], doubtful, decided)

    def listing(self, inputs: list[torch.Tensor]) -> str:
        """The network as lines of PyTorch."""
        lines = [f"v{i} = input{tuple(x.shape)} {x.dtype} {x.stride()}" for i, x in enumerate(inputs)]
        place = len(inputs)
        for step, sources, count in zip(self._steps, self.sources, self.counts, strict=True):
            names = ", ".join(f"v{place + i}" for i in range(count))
            lines.append(f"{names} = {step.line([f'v{i}' for i in sources])}")
            place += count
        return "\n".join([*lines, f"return {self.kind} of {', '.join(f'v{i}' for i in self.outputs)}"])


class Builder:
    """A network under way, with the values that it has in the full frame."""

    def __init__(self, rng: random.Random, inputs: list[torch.Tensor], exact: bool):
        self.rng, self.exact = rng, exact
        self.values = list(inputs)
        self.network = Network(len(inputs))
        self.ends: set[int] = set()
        self.dtype = inputs[0].dtype
        self.decides = self.dtype is not torch.bfloat16
        self.largest = 2_000_000 if exact else 40_000

    def add(self, expression: str, *sources: int, end: bool = False, **more: Any) -> int | None:
        """The first of the new values; None where PyTorch refuses the step at this size or its result is no good."""
        if self.exact and more and self.values[sources[0]].numel() <= ONE_DNN:
            return None
        more = {name: v for name, v in more.items() if not isinstance(v, _WEIGHTS) or f"w.{name}" in expression}
        step = Step(expression, **more).to(self.dtype).eval()
        try:
            result = step(*(self.values[i] for i in sources))
        except (RuntimeError, ValueError, IndexError, TypeError, ZeroDivisionError):
            return None
        results = result if isinstance(result, tuple) else (result,)
        if not all(self._good(item) for item in results):
            return None
        first = len(self.values)
        self.values.extend(results)
        self.network.steps.append(step)
        self.network.sources.append(sources)
        self.network.counts.append(len(results))
        if end:
            self.ends.update(range(first, len(self.values)))
        return first

    def _good(self, value: torch.Tensor) -> bool:
        if not 0 < value.numel() <= self.largest or value.shape[1] > 64:
            return False
        if not value.is_floating_point():
            return True
        most = float(value.abs().max())
        return LEAST <= most <= MOST and bool(torch.isfinite(value).all())

    def shape(self, value: int) -> tuple[int, int, int]:
        """Channels, rows, columns."""
        return tuple(self.values[value].shape[1:])  # type: ignore[return-value]

    def weight(self, *shape: int) -> torch.Tensor:
        """Normal numbers that keep the size of what they are multiplied with: the last dimensions are summed over."""
        return torch.randn(shape, dtype=torch.float64) / max(1, torch.Size(shape[1:]).numel()) ** 0.5

    def channels(self, groups: int = 1) -> int:
        return self.rng.choice([8, 16]) if self.exact else groups * self.rng.choice([1, 2, 3, 4, 6]) + groups

    def sizes(self, low: int, high: int) -> tuple[int, int]:
        return self.rng.randint(low, high), self.rng.randint(low, high)

    def chance(self, share: float) -> bool:
        return self.rng.random() < share

    def convolution(self, x: int, out: int | None = None, kernel: Any = None, **more: Any) -> nn.Conv2d:
        made = nn.Conv2d(self.shape(x)[0], out or self.channels(), kernel or self.sizes(1, 5), **more)
        with torch.no_grad():
            made.weight.copy_(self.weight(*made.weight.shape))
        return made

    def batch_norm(self, channels: int) -> nn.BatchNorm2d:
        norm = nn.BatchNorm2d(channels, affine=self.chance(0.7))
        with torch.no_grad():
            nn.init.normal_(norm.get_buffer("running_mean"))
            nn.init.uniform_(norm.get_buffer("running_var"), 0.5, 2)
        return norm

    def grow(self, x: int, steps: int, kinds: list[str] | None = None) -> int:
        """`x` after some random steps."""
        for _ in range(steps):
            kind = self.rng.choice(kinds or (EXACT if self.exact else list(KINDS)))
            grown = KINDS[kind](self, x)
            if grown is not None:
                self.network.kinds.add(kind)
                x = grown if grown not in self.ends else x
        return x

    def fit(self, x: int, height: int, width: int) -> int | None:
        """`x` at another size: cropped and padded, or resampled."""
        _, h, w = self.shape(x)
        if (h, w) == (height, width):
            return x
        if self.chance(0.3):
            mode = self.rng.choice(["nearest", "bilinear"])
            return self.add(f"F.interpolate(x, size=({height}, {width}), mode='{mode}')", x)
        top, left = self.rng.randint(0, abs(height - h)), self.rng.randint(0, abs(width - w))
        top, left = (top if height > h else -top), (left if width > w else -left)
        sides = (left, width - w - left, top, height - h - top)
        mode = self.rng.choice(["constant", "replicate"] if min(sides) >= 0 and not self.exact else ["constant"])
        return self.add(f"F.pad(x, {sides}, mode='{mode}')", x)

    def join(self, x: int, y: int) -> int | None:
        """`y` at the size of `x`, both joined."""
        channels, height, width = self.shape(x)
        fitted = self.fit(y, height, width)
        if fitted is None:
            return None
        how = ["torch.cat([x, y], 1)", "torch.cat([y, x, y], 1)"]
        if self.shape(fitted)[0] in (1, channels) and not self.exact:
            how += ["x + y", "x * torch.sigmoid(y)", "torch.maximum(x, y)", "x - 0.5 * y", "torch.lerp(x, y, 0.3)"]
            how += ["torch.addcmul(x, x, y, value=0.1)", "torch.hypot(x, y)"]
        if self.shape(fitted)[0] == channels and not self.exact:
            how += ["torch.stack([x, y], 2).mean(2)", "torch.stack([x, y], 1).flatten(1, 2)"]
        if self.exact and self.shape(fitted)[0] == channels:
            how += ["x + y"]
        return self.add(self.rng.choice(how), x, fitted)


Kind = Callable[[Builder, int], "int | None"]
KINDS: dict[str, Kind] = {}
EXACT = ["convolution", "convolution_block", "max_pool", "average_pool", "interpolate", "pad", "crop", "relu", "join"]


def kind(function: Kind) -> Kind:
    KINDS[function.__name__] = function
    return function


@kind
def convolution(b: Builder, x: int) -> int | None:
    channels = b.shape(x)[0]
    groups = b.rng.choice([n for n in range(1, channels + 1) if channels % n == 0] if not b.exact else [1])
    modes = ["zeros"] if b.exact or b.chance(0.5) else ["replicate", "reflect"]
    more: dict[str, Any] = {"dilation": b.sizes(1, 3)} if b.chance(0.3) else {"stride": b.sizes(1, 3)}
    made = b.convolution(
        x,
        b.channels(groups),
        padding=b.sizes(0, 4),
        groups=groups,
        bias=b.chance(0.7),
        padding_mode=b.rng.choice(modes),
        **more,
    )
    return b.add("w.convolution(x)", x, convolution=made)


@kind
def convolution_block(b: Builder, x: int) -> int | None:
    """Convolution, batch norm, activation; some with explicit asymmetric padding."""
    made = b.convolution(x, kernel=b.sizes(1, 4), padding=b.sizes(0, 2), bias=b.chance(0.5))
    if b.exact:
        return b.add("F.relu(w.convolution(x))", x, convolution=made)
    inner = b.rng.choice(["x", f"F.pad(x, ({b.rng.randint(0, 2)}, 1, {b.rng.randint(0, 2)}, {b.rng.randint(0, 3)}))"])
    act = b.rng.choice(["F.relu({})", "F.relu({}, inplace=True)", "F.silu({})", "F.hardtanh({})", "{}"])
    expression = act.format(f"w.norm(w.convolution({inner}))")
    return b.add(expression, x, convolution=made, norm=b.batch_norm(made.out_channels))


@kind
def depthwise(b: Builder, x: int) -> int | None:
    channels = b.shape(x)[0]
    made = b.convolution(x, channels, b.sizes(1, 7), padding="same", groups=channels)
    return b.add("x + w.convolution(x)", x, convolution=made)


@kind
def transposed(b: Builder, x: int) -> int | None:
    stride = b.sizes(1, 3)
    made = nn.ConvTranspose2d(
        b.shape(x)[0],
        b.channels(),
        b.sizes(1, 4),
        stride,
        padding=b.sizes(0, 2),
        output_padding=(b.rng.randint(0, stride[0] - 1), b.rng.randint(0, stride[1] - 1)),
        dilation=b.rng.choice([1, 1, 2]),
        bias=b.chance(0.7),
    )
    with torch.no_grad():
        made.weight.copy_(b.weight(*made.weight.shape) * 2)
    return b.add("w.transposed(x)", x, transposed=made)


@kind
def normalised(b: Builder, x: int) -> int | None:
    return b.add("w.norm(x)", x, norm=b.batch_norm(b.shape(x)[0]))


@kind
def max_pool(b: Builder, x: int) -> int | None:
    kernel = b.sizes(1, 4)
    settings = f"{kernel}, {b.sizes(1, 3)}, {tuple(b.rng.randint(0, n // 2) for n in kernel)}"
    return b.add(f"F.max_pool2d(x, {settings}, {b.rng.choice([1, 1, 2])}, ceil_mode={b.chance(0.5)})", x)


@kind
def average_pool(b: Builder, x: int) -> int | None:
    kernel = b.sizes(1, 4)
    settings = f"{kernel}, {b.sizes(1, 3)}, {tuple(b.rng.randint(0, n // 2) for n in kernel)}, {b.chance(0.5)}"
    divisor = b.rng.choice([None, None, 3])
    return b.add(f"F.avg_pool2d(x, {settings}, {b.chance(0.5)}, {divisor})", x)


@kind
def other_pool(b: Builder, x: int) -> int | None:
    """A power mean, or means of windows of which there are as many as asked for."""
    _, height, width = b.shape(x)
    if b.chance(0.5):
        return b.add(f"F.lp_pool2d(x.abs() + 0.1, 2, {b.sizes(1, 3)}, ceil_mode={b.chance(0.5)})", x)
    if height < 2:
        return None
    wanted = (b.rng.randint(2, height), b.rng.randint(1, width))
    return b.add(f"F.adaptive_{b.rng.choice(['avg', 'max'])}_pool2d(x, {wanted})", x)


@kind
def interpolate(b: Builder, x: int) -> int | None:
    _, height, width = b.shape(x)
    if b.exact:
        factor, mode = b.rng.choice([2, 1.5]), b.rng.choice(["nearest", "bilinear"])
        return b.add(f"F.interpolate(x, scale_factor={factor}, mode='{mode}')", x)
    mode = b.rng.choice(["nearest", "nearest-exact", "bilinear", "bicubic", "area"])
    if b.chance(0.5):
        size = (b.rng.randint(2, 2 * height + 2), b.rng.randint(2, 2 * width + 2))
        settings = f"size={size}"
    else:
        factors = [0.4, 0.5, 0.7, 1.3, 1.5, 2, 2.2, 3]
        settings = (
            f"scale_factor={b.rng.choice([(b.rng.choice(factors), b.rng.choice(factors)), b.rng.choice(factors)])}"
        )
        settings += b.rng.choice(["", "", ", recompute_scale_factor=True"])
    if mode in ("bilinear", "bicubic"):
        corners = ["", ", align_corners=True", ", align_corners=False"]
        # Antialiased resizing to a single row or column is refused.
        smooth = [", antialias=True"] if min(height, width) >= 5 else []
        settings += b.rng.choice(corners + smooth)
    return b.add(f"F.interpolate(x, mode='{mode}', {settings})", x)


@kind
def pad(b: Builder, x: int) -> int | None:
    if b.exact:
        return b.add(f"F.pad(x, {(*b.sizes(0, 2), *b.sizes(0, 2))})", x)
    mode = b.rng.choice(["constant", "reflect", "replicate", "circular", "crop"])
    if mode == "crop":
        return b.add(f"F.pad(x, {(*b.sizes(-2, 2), *b.sizes(-3, 3))})", x)
    if mode == "circular":
        return b.add(f"F.pad(x, {(*b.sizes(0, 2), 0, 0)}, mode='circular')", x)
    sides = (*b.sizes(0, 3), *b.sizes(0, 4))
    return b.add(f"F.pad(x, {sides}, mode='{mode}'{', value=0.3' if mode == 'constant' else ''})", x)


@kind
def crop(b: Builder, x: int) -> int | None:
    rows = f"{b.rng.randint(0, 3)}:{b.rng.choice(['', '-1', '-2', '40'])}:{b.rng.randint(1, 3)}"
    columns = f"{b.rng.randint(0, 1)}::{b.rng.randint(1, 2)}" if not b.exact else ":"
    return b.add(f"x[:, :, {rows}, {columns}]", x)


@kind
def relu(b: Builder, x: int) -> int | None:
    return b.add("F.relu(x)", x)


@kind
def activation(b: Builder, x: int) -> int | None:
    names = (
        "F.relu6(x) F.gelu(x) F.gelu(x,approximate='tanh') F.silu(x) F.hardswish(x) F.hardsigmoid(x) F.mish(x) "
        "F.leaky_relu(x,0.2) F.elu(x) F.selu(x) F.celu(x) F.softplus(x) F.softsign(x) F.tanhshrink(x) F.logsigmoid(x) "
        "torch.tanh(x) torch.sigmoid(x) torch.sin(x) torch.atan(x) torch.erf(x) torch.exp(-x.abs()) "
        "torch.log1p(x.abs()) "
        "torch.sqrt(x.abs()+0.1) x.clamp(-1,0.7) x.abs() x.square()*0.2 1/(1+x*x) x.pow(3)*0.05 torch.rsqrt(x*x+1)"
    )
    return b.add(b.rng.choice(names.split()), x)


@kind
def parametric_activation(b: Builder, x: int) -> int | None:
    return b.add("F.prelu(x, w.slope)", x, slope=torch.rand(b.shape(x)[0], dtype=torch.float64))


@kind
def gate(b: Builder, x: int) -> int | None:
    channels = b.shape(x)[0]
    made = b.convolution(x, b.rng.choice([1, channels]), b.rng.choice([1, 3]), padding="same")
    return b.add(
        b.rng.choice(["x * torch.sigmoid(w.g(x))", "x * F.hardsigmoid(w.g(x))", "x * w.g(x).tanh()"]), x, g=made
    )


@kind
def gated_halves(b: Builder, x: int) -> int | None:
    if b.shape(x)[0] % 2:
        return None
    return b.add("F.glu(x, 1)", x)


@kind
def softmax(b: Builder, x: int) -> int | None:
    dim = b.rng.choice([1, 1, 3])
    return b.add(b.rng.choice([f"x.softmax({dim})", f"F.log_softmax(x, {dim}) * 0.3", f"x * x.softmax({dim})"]), x)


@kind
def channel_norm(b: Builder, x: int) -> int | None:
    channels = b.shape(x)[0]
    norm = nn.LayerNorm(channels, eps=0.01)
    how = [
        "w.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)",
        "F.normalize(x, dim=1, eps=0.1) * 2",
        "x / (x.square().mean(1, keepdim=True) + 0.1).sqrt()",
        "F.local_response_norm(x, 3)",
    ]
    return b.add(b.rng.choice(how), x, norm=norm)


@kind
def row_norm(b: Builder, x: int) -> int | None:
    """Layer norm within a row, for each channel."""
    return b.add(f"F.layer_norm(x, ({b.shape(x)[2]},), eps=0.01)", x)


@kind
def convnext(b: Builder, x: int) -> int | None:
    channels = b.shape(x)[0]
    return b.add(
        "x + (w.narrow(F.gelu(w.wide(w.norm(w.deep(x).permute(0, 2, 3, 1))))) * w.scale).permute(0, 3, 1, 2)",
        x,
        deep=b.convolution(x, channels, 7, padding=3, groups=channels),
        norm=nn.LayerNorm(channels, eps=0.01),
        wide=nn.Linear(channels, 2 * channels),
        narrow=nn.Linear(2 * channels, channels),
        scale=torch.rand(channels, dtype=torch.float64),
    )


@kind
def squeezed(b: Builder, x: int) -> int | None:
    """A bottleneck and back, as MobileNet writes it."""
    channels = b.shape(x)[0]
    wide = 2 * channels
    return b.add(
        "x + w.out(F.relu6(w.deep(F.relu6(w.wide(x)))))",
        x,
        wide=b.convolution(x, wide, 1),
        deep=nn.Conv2d(wide, wide, 3, padding=1, groups=wide),
        out=nn.Conv2d(wide, channels, 1),
    )


@kind
def attention_in_rows(b: Builder, x: int) -> int | None:
    channels = b.shape(x)[0]
    rows = "x.permute(0, 2, 3, 1)"
    how = [
        f"F.scaled_dot_product_attention(w.q({rows}), w.k({rows}), w.v({rows})).permute(0, 3, 1, 2)",
        f"((w.q({rows}) @ w.k({rows}).transpose(-2, -1) * 0.4).softmax(-1) @ w.v({rows})).permute(0, 3, 1, 2)",
        "x + torch.einsum('nhij,nchj->nchi', torch.einsum('nchi,nchj->nhij', x, x).mul(0.1).softmax(-1), x)",
    ]
    q, k, v = (nn.Linear(channels, channels) for _ in range(3))
    return b.add(b.rng.choice(how), x, q=q, k=k, v=v)


@kind
def multihead(b: Builder, x: int) -> int | None:
    channels, height, width = b.shape(x)
    heads = b.rng.choice([n for n in (1, 2, 3) if channels % n == 0])
    batch = b.values[x].shape[0]
    return b.add(
        f"(lambda t: w.attention(t, t, t, need_weights=False)[0].view({batch}, {height}, {width}, {channels})"
        f".permute(0, 3, 1, 2))(x.permute(0, 2, 3, 1).reshape({batch * height}, {width}, {channels}))",
        x,
        attention=nn.MultiheadAttention(channels, heads, batch_first=True),
    )


@kind
def attention_in_windows(b: Builder, x: int) -> int | None:
    """Windows of a few rows and columns, the image padded to whole windows and cropped again."""
    channels, height, width = b.shape(x)
    down, across = b.sizes(1, 4)
    high, wide, batch = -(-height // down), -(-width // across), b.values[x].shape[0]
    if high == 1:
        return None  # whether the rows are the windows or within the one window can't be told from a reshape: refused
    tokens = (
        f"F.pad(x, (0, {wide * across - width}, 0, {high * down - height}))"
        f".view({batch}, {channels}, {high}, {down}, {wide}, {across}).permute(0, 2, 4, 3, 5, 1)"
        f".reshape({b.rng.choice([-1, batch * high * wide])}, {down * across}, {channels})"
    )
    attended = b.rng.choice(
        [
            "F.scaled_dot_product_attention(*w.qkv(t).chunk(3, -1))",
            "(lambda q, k, v: ((q @ k.transpose(1, 2)) * 0.4 + w.bias).softmax(-1) @ v)(*w.qkv(t).chunk(3, -1))",
        ]
    )
    back = f".view({batch}, {high}, {wide}, {down}, {across}, {channels}).permute(0, 5, 1, 3, 2, 4)"
    return b.add(
        f"x + (lambda t: {attended})({tokens}){back}.reshape({batch}, {channels}, {high * down}, {wide * across})"
        f"[:, :, :{height}, :{width}]",
        x,
        qkv=nn.Linear(channels, 3 * channels),
        bias=b.weight(down * across, down * across),
    )


@kind
def pixel_shuffle(b: Builder, x: int) -> int | None:
    factor = b.rng.choice([2, 2, 3])
    made = b.convolution(x, b.rng.choice([1, 2]) * factor**2, 1)
    return b.add(f"F.pixel_shuffle(w.wide(x), {factor})", x, wide=made)


@kind
def pixel_unshuffle(b: Builder, x: int) -> int | None:
    channels, height, width = b.shape(x)
    factor = b.rng.choice([2, 2, 3])
    if channels > 6:
        return None
    return b.add(f"F.pixel_unshuffle(F.pad(x, (0, {-width % factor}, 0, {-height % factor})), {factor})", x)


@kind
def channel_shuffle(b: Builder, x: int) -> int | None:
    channels, height, width = b.shape(x)
    groups = b.rng.choice([n for n in range(1, channels + 1) if channels % n == 0])
    batch = b.values[x].shape[0]
    how = [
        f"F.channel_shuffle(x, {groups})",
        f"x.view({batch}, {groups}, {channels // groups}, {height}, {width}).transpose(1, 2).flatten(1, 2)",
        f"x.unflatten(1, ({groups}, {channels // groups})).transpose(1, 2)"
        f".reshape({batch}, {channels}, {height}, {width})",
    ]
    return b.add(b.rng.choice(how), x)


@kind
def mixed_channels(b: Builder, x: int) -> int | None:
    channels, out = b.shape(x)[0], b.channels()
    batch, _, height, width = b.values[x].shape
    how = [
        "torch.einsum('nchw,dc->ndhw', x, w.mix)",
        "torch.einsum('nc...,dc->nd...', x, w.mix)",
        "F.linear(x.permute(0, 2, 3, 1), w.mix).permute(0, 3, 1, 2)",
        "(x.permute(0, 2, 3, 1) @ w.mix.t()).permute(0, 3, 1, 2)",
        f"(w.mix @ x.transpose(1, 2)).transpose(1, 2).reshape({batch}, {out}, {height}, {width})",
        f"(x.permute(0, 2, 3, 1).reshape(-1, {channels}) @ w.mix.t())"
        f".view({batch}, {height}, {width}, {out}).permute(0, 3, 1, 2)",
        "torch.tensordot(x, w.mix, dims=([1], [1])).permute(0, 3, 1, 2)",
    ]
    return b.add(b.rng.choice(how), x, mix=b.weight(out, channels))


@kind
def mixed_columns(b: Builder, x: int) -> int | None:
    width = b.shape(x)[2]
    how = ["F.linear(x, w.mix)", "x @ w.mix.t()", "torch.einsum('nchw,vw->nchv', x, w.mix)"]
    return b.add(b.rng.choice(how), x, mix=b.weight(b.rng.randint(1, 12), width))


@kind
def reduced(b: Builder, x: int) -> int | None:
    """A statistic over channels or within a row, put back to every value."""
    dim = b.rng.choice(["1", "3", "(1, 3)"])
    names = ["mean", "sum", "amax", "amin", "logsumexp"]
    one = f"x.{b.rng.choice(names)}({dim}, keepdim=True)"
    how = [f"x - 0.1 * {one}", f"torch.cat([x, {one}.expand(-1, 1, -1, {b.shape(x)[2]})], 1)", f"x + 0.1 * {one}"]
    if dim == "1":
        how += [
            one,
            "torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)",
            "x.max(1, keepdim=True)[0] - x",
        ]
        how += ["x - 0.5 * (x.var(1, keepdim=True, correction=0) + 0.1).sqrt()", "x.median(1, keepdim=True)[0] + x"]
        # What is not a number spreads from any of the sorted values to all, so that doubts do.
        how += ["x.sort(1)[0] + 0 * x.sum(1, keepdim=True)"]
        how += [f"x.topk({min(2, b.shape(x)[0])}, 1)[0] + 0 * x.sum(1, keepdim=True)"]
        how += ["x - x.norm(dim=1, keepdim=True) * 0.3"]
    if dim == "3":
        how += [
            "x - 0.5 * x.max(3, keepdim=True)[0]",
            "x.sort(3)[0] + 0 * x.sum(3, keepdim=True)",
            "x.amin(3, keepdim=True) + x",
        ]
    return b.add(b.rng.choice(how), x)


@kind
def running(b: Builder, x: int) -> int | None:
    """Sums and largest values so far, down the rows or along them."""
    _, height, width = b.shape(x)
    how = [
        f"x.cumsum(2) / {height}",
        f"x.cumsum(2) / torch.arange(1, {height + 1}, dtype=x.dtype)[:, None]",
        f"x.cumsum(3) / {width}",
        "x.cummax(2)[0]",
        "x.cummin(3)[0]",
        "x.cumsum(1) * 0.3",
        "x.logcumsumexp(2)",
        "torch.sigmoid(x).cumprod(2) + x",
    ]
    return b.add(b.rng.choice(how), x)


@kind
def recursive_filter(b: Builder, x: int) -> int | None:
    """Down the columns, some with look-ahead, some with a nonlinearity inside the loop."""
    channels = b.shape(x)[0]
    order = b.rng.choice([1, 2])
    activation = b.rng.choice(["linear", "linear", "relu", "tanh", "leaky_relu"])
    made = VerticalIIR(channels, order, activation=activation, delay=b.rng.choice([0, 0, 1, 3]))
    with torch.no_grad():
        made.poles_raw.add_(torch.randn(channels, order) * 0.5)
        made.numerator.add_(torch.randn_like(made.numerator) * 0.3)
    return b.add(b.rng.choice(["w.filter(x)", "x + w.filter(x)"]), x, filter=made)


@kind
def positions(b: Builder, x: int) -> int | None:
    channels, height, width = b.shape(x)
    batch = b.values[x].shape[0]
    rows = f"torch.linspace(-1, 1, {height}, dtype=x.dtype)[:, None]"
    columns = f"torch.linspace(-1, 1, {width}, dtype=x.dtype)"
    how = [
        "x + w.table",
        "x + w.rows",
        "x * (1 + 0.3 * w.rows) + w.table",
        f"x + torch.arange({height}, dtype=x.dtype)[:, None] / {height}",
        f"torch.cat([x, ({rows} + 0 * {columns}).expand({batch}, 1, {height}, {width})], 1)",
        f"torch.cat([x, *(t.expand({batch}, 1, -1, -1)"
        f" for t in torch.meshgrid({rows}[:, 0], {columns}, indexing='ij'))], 1)",
        f"x + (torch.sin(torch.arange({height}, dtype=x.dtype)[:, None] * w.f) @ w.mix).t()[:, :, None]",
        f"torch.where(torch.arange({height})[:, None] % 2 == 0, x, 0.5 * x)",
    ]
    return b.add(
        b.rng.choice(how),
        x,
        table=b.weight(1, channels, height, width) * (channels * height * width) ** 0.5,
        rows=torch.randn(1, channels, height, 1, dtype=torch.float64),
        f=torch.rand(3, dtype=torch.float64),
        mix=b.weight(3, channels),
    )


@kind
def moved(b: Builder, x: int) -> int | None:
    """Columns and channels in another order."""
    order = list(range(b.shape(x)[0]))
    b.rng.shuffle(order)
    how = ["x.roll(2, 3)", "x.roll(1, 1)", "x.flip(3)", "x.flip(1)", f"x[:, {order}]", "x.repeat(1, 2, 1, 1)"]
    how += ["x.repeat_interleave(2, 1)", "x.transpose(1, 3).contiguous().transpose(1, 3)", "x[:, ::2]"]
    return b.add(b.rng.choice(how), x)


@kind
def windows_as_channels(b: Builder, x: int) -> int | None:
    channels, height, width = b.shape(x)
    if channels > 4:
        return None
    down, across = b.rng.randint(1, 3), b.rng.randint(1, 2)
    left = width - across + 1
    how = [
        f"F.unfold(x, ({down}, {across}), padding=1).view({b.values[x].shape[0]}, {channels * down * across}, "
        f"{height + 3 - down}, {width + 3 - across})",
        f"x.unfold(3, {across}, 1).unfold(2, {down}, 1).amax((-1, -2))[..., :{left}]",
    ]
    return b.add(b.rng.choice(how), x)


@kind
def unpooled(b: Builder, x: int) -> int | None:
    """Maxima worked on and put back to where they were; a table breaks ties."""
    channels, height, width = b.shape(x)
    kernel = b.rng.choice([(2, 2), (2, 1), (1, 2), (3, 2)])
    if not b.decides or height < kernel[0] or width < kernel[1]:
        return None
    given = "x + w.table"
    size = f"({height}, {width})"
    return b.add(
        f"(lambda p: F.max_unpool2d(torch.tanh(p[0]) + 0.2, p[1], {kernel}, output_size={size}))"
        f"(F.max_pool2d({given}, {kernel}, return_indices=True))",
        x,
        decides=given,
        margin=f"margins.of_maxima(q, {kernel})",
        table=torch.randn(1, 1, height, width, dtype=torch.float64) * 0.3,
    )


@kind
def threshold(b: Builder, x: int) -> int | None:
    if not b.decides:
        return None
    how = [
        ("(x > 0.137).to(x.dtype)", "x", "(q - 0.137).abs()", True),
        ("torch.sign(x - 0.171) * 1", "x - 0.171", "q.abs()", True),
        ("torch.where(x > 0.217, x, -0.5 * x)", "x", "(q - 0.217).abs()", False),
        ("x.masked_fill(x < -0.319, 0.4)", "x", "(q + 0.319).abs()", False),
        ("torch.heaviside(x + 0.083, x.new_ones(())) + 0.1 * x", "x + 0.083", "q.abs()", False),
        ("F.hardshrink(x, 0.413)", "x.abs()", "(q - 0.413).abs()", False),
        ("F.threshold(x, 0.119, -0.7)", "x", "(q - 0.119).abs()", False),
    ]
    expression, decides, margin, discrete = b.rng.choice(how)
    return b.add(expression, x, decides=decides, margin=margin, discrete=discrete)


@kind
def rounded(b: Builder, x: int) -> int | None:
    if not b.decides:
        return None
    name = b.rng.choice(["round", "floor", "ceil", "trunc"])
    near = "(q - q.round()).abs()"
    margin = f"0.5 - {near}" if name == "round" else near
    scale = b.rng.choice(["", " / 4"])
    return b.add(f"torch.{name}(x * 3.7 + 0.213){scale}", x, decides="x * 3.7 + 0.213", margin=margin, discrete=True)


@kind
def places(b: Builder, x: int) -> int | None:
    """Where along the channels the largest is, as numbers that go on or as an output; biases break ties."""
    channels = b.shape(x)[0]
    if not b.decides or channels < 2:
        return None
    given, bias = "x + w.bias", torch.randn(1, channels, 1, 1, dtype=torch.float64)
    top = "q.topk(2, 1)[0].diff(dim=1).abs()"
    how = [
        (f"({given}).argmax(1, keepdim=True).to(x.dtype) * 0.5 + 0.5", top, True, False),
        (f"({given}).argmax(1)", f"({top})[:, 0]", True, True),
        (f"({given}).max(1, keepdim=True)[1]", top, True, True),
        (f"torch.gather(x, 1, ({given}).argmax(1, keepdim=True)) - 0.3", top, False, False),
        (f"F.one_hot(({given}).argmax(1), {channels}).permute(0, 3, 1, 2).to(x.dtype)", top, True, False),
    ]
    expression, margin, discrete, end = b.rng.choice(how)
    return b.add(expression, x, decides=given, margin=margin, discrete=discrete, end=end, bias=bias)


@kind
def without_channels(b: Builder, x: int) -> int | None:
    """An output of another rank or order of dimensions."""
    how = ["x.mean(1)", "x.permute(0, 2, 3, 1)", "x[:, 0]", "x.unsqueeze(1)", "x.amax(3)", "x.flatten(0, 1)"]
    return b.add(b.rng.choice(how), x, end=True)


@kind
def join(b: Builder, x: int) -> int | None:
    """With an earlier value, whatever its size."""
    others = [i for i, value in enumerate(b.values) if value.dim() == 4 and i != x and i not in b.ends]
    return b.join(x, b.rng.choice(others[-6:])) if others else None


@kind
def split(b: Builder, x: int) -> int | None:
    """Parts of the channels, each with a layer of its own, joined again in another order."""
    channels = b.shape(x)[0]
    if channels < 2:
        return None
    if b.chance(0.5):
        parts = b.rng.randint(2, min(channels, 4))
        expression = b.rng.choice(
            [f"x.chunk({parts}, 1)", f"x.tensor_split({parts}, 1)", f"x.split({-(-channels // parts)}, 1)"]
        )
    else:
        first = b.rng.randint(1, channels - 1)
        expression = f"x.split([{first}, {channels - first}], 1)"
    start = b.add(expression, x)
    if start is None:
        return None
    ends = [b.grow(i, b.rng.randint(0, 1)) for i in range(start, len(b.values))]
    b.rng.shuffle(ends)
    joined = ends[0]
    for end in ends[1:]:
        following = b.join(joined, end)
        joined = following if following is not None else joined
    return joined


def _upsampled(b: Builder, x: int, height: int, width: int) -> int | None:
    out = b.channels()
    how = b.rng.choice(["transposed", "interpolate", "size", "shuffle"])
    if how == "transposed" and not b.exact:
        kernel = b.rng.choice([2, 3, 4])
        made = nn.ConvTranspose2d(b.shape(x)[0], out, kernel, 2, padding=b.rng.choice([0, 1]) if kernel > 2 else 0)
        return b.add("F.relu(w.up(x))", x, up=made)
    mode = b.rng.choice(["nearest", "bilinear"])
    if how == "size":
        return b.add(f"F.interpolate(x, size=({height}, {width}), mode='{mode}')", x)
    if how == "shuffle" and not b.exact:
        return b.add("F.pixel_shuffle(w.wide(x), 2)", x, wide=b.convolution(x, 4 * out, 1))
    return b.add(f"F.interpolate(x, scale_factor=2, mode='{mode}')", x)


def _downsampled(b: Builder, x: int) -> int | None:
    how = b.rng.choice(
        ["F.max_pool2d(x, 2, ceil_mode=True)", "F.avg_pool2d(x, 2)", "w.down(x)", "F.max_pool2d(x, 3, 2, 1)"]
    )
    return b.add(how, x, down=b.convolution(x, b.channels(), b.rng.choice([2, 3, 5]), stride=2, padding=1))


def encoder_decoder(b: Builder, x: int) -> int:
    """Two or three scales down and up again, joined to what stood at each; sizes fitted by cropping or padding."""
    skips = []
    for _ in range(b.rng.randint(2, 3)):
        x = b.grow(x, 1, ["convolution_block"])
        below = _downsampled(b, x)
        if below is None:
            break
        skips.append(x)
        x = below
    x = b.grow(x, b.rng.randint(0, 1))
    for skip in reversed(skips):
        if b.shape(skip)[0] <= 6 and b.chance(0.3):
            skip = b.grow(skip, 1)
        up = _upsampled(b, x, *b.shape(skip)[1:])
        joined = b.join(skip, up if up is not None else x)
        x = b.grow(joined if joined is not None else skip, 1, ["convolution_block", "convolution_block", "convolution"])
    return x


def branches(b: Builder, x: int) -> int:
    """Layers beside each other on one value, joined."""
    ends = [b.grow(x, b.rng.randint(1, 2)) for _ in range(b.rng.randint(2, 3))]
    joined = ends[0]
    for end in ends[1:]:
        following = b.join(joined, end)
        joined = following if following is not None else joined
    return joined


def pyramid(b: Builder, x: int) -> int:
    """Outputs at several scales, the coarse ones carried up to the fine ones."""
    levels = [x]
    for _ in range(b.rng.randint(1, 2)):
        below = _downsampled(b, b.grow(levels[-1], 1))
        if below is None:
            break
        levels.append(below)
    x = levels[-1]
    for level in reversed(levels[:-1]):
        b.grow(x, 1, ["convolution", "channel_norm", "without_channels"] if not b.exact else EXACT)
        joined = b.join(level, x)
        x = joined if joined is not None else level
    return x


@dataclass(frozen=True)
class Case:
    """A network, the images it was grown on, and the rest of the dice."""

    network: Network
    inputs: list[torch.Tensor]
    rng: random.Random
    seed: int

    @property
    def listing(self) -> str:
        """The network as lines of PyTorch, under its seed."""
        return f"seed {self.seed}\n{self.network.listing(self.inputs)}"


def _images(rng: random.Random, dtype: torch.dtype, size: tuple[int, int], single: bool) -> list[torch.Tensor]:
    """One image or several, of other scales and channels, some with channels last."""
    batch = 1 if single else rng.choice([1, 1, 2, 3])
    scales = [1.0, *([] if single else rng.choice([[], [], [], [0.5], [1.0], [2.0], [0.5, 0.25]]))]
    images = []
    for scale in scales:
        height, width = (max(1, int(-(-n * scale // 1))) for n in size)
        x = torch.randn(batch, rng.choice([1, 2, 3, 6]), height, width, dtype=torch.float64).to(dtype)
        images.append(x.contiguous(memory_format=torch.channels_last) if rng.random() < 0.5 else x)
    return images


def generate(
    seed: int, dtype: torch.dtype, *, size: tuple[int, int] | None = None, exact: bool = False, must: str | None = None
) -> Case:
    """A network in eval mode.

    Args:
        seed: of every random choice.
        dtype: of images and weights.
        size: rows and columns of the one image; else both are drawn, and how many images there are.
        exact: of convolution, pooling, resize, ReLU and joins only, on a large image.
        must: a kind of step that the network should have, where it can.
    """
    rng = random.Random(seed)
    torch.manual_seed(seed)
    if exact:
        x = torch.randn(1, 8, rng.randint(130, 160), rng.randint(130, 160), dtype=torch.float64).to(dtype)
        inputs = [x.contiguous(memory_format=torch.channels_last)]
    else:
        inputs = _images(rng, dtype, size or (rng.choice(HEIGHTS), rng.choice(WIDTHS)), size is not None)
    with torch.no_grad():
        b = Builder(rng, inputs, exact)
        if size is not None:
            b.largest = 400_000
        while not b.network.steps:
            _grow(b, must)
    network = b.network
    used = {i for sources in network.sources for i in sources}
    leaves = [i for i in range(len(b.values)) if i not in used and i >= len(inputs)]
    earlier = [i for i in used if i >= len(inputs)]
    network.outputs = leaves[-4:] + (rng.sample(earlier, 1) if earlier and rng.random() < 0.2 else [])
    network.one_row = any(value.dim() == 4 and value.shape[2] == 1 for value in b.values)
    network.kind = rng.choice(["tuple", "dict"])
    return Case(network.eval(), inputs, rng, seed)


def _grow(b: Builder, must: str | None) -> None:
    x = 0
    for other in range(1, len(b.values)):
        joined = b.join(x, b.grow(other, b.rng.randint(0, 1)))
        x = joined if joined is not None else x
    x = b.grow(x, b.rng.randint(0, 2))
    if must is not None:
        x = b.grow(x, 1, [must])
    structure = b.rng.choice([None, encoder_decoder, branches, pyramid])
    if structure is not None:
        x = structure(b, x)
    b.grow(x, b.rng.randint(2, 7) if structure is None else b.rng.randint(0, 2))
