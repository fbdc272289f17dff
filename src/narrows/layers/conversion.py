"""From a network with vertical convolutions to one with recursive filters, which keep and wait for fewer lines."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from narrows.layers.fitting import Fit, fit
from narrows.layers.vertical_iir import VerticalIIR

__all__ = ["Conversion", "LayerFit", "RecursiveConv2d", "fine_tune", "fir_to_iir", "reason_against"]


class RecursiveConv2d(nn.Module):
    """Stands for a Conv2d: a recursive filter for each input channel, and a convolution within the row.

    (N, C, H, W) to what the convolution makes of it, of the same size. Its output row r is made when input row
    ``r * stride + delay`` has come; that is a row need as any other, so that skip connections around it are aligned,
    and wait, without further work.

    The kernel ``w[o, i, k, l]`` becomes ``sum over j of mix[o, i, j, l] * basis[i, j]``: the basis of channel i is the
    row itself and the `order` rows of state, and all outputs share it. A depthwise convolution of one column becomes
    one `VerticalIIR` with all its taps.
    """

    def __init__(self, convolution: nn.Conv2d, found: Fit, order: int, delay: int) -> None:
        super().__init__()
        top, bottom = _padding(convolution)
        self.order, self.delay = order, delay
        self.kernel, self.stride = convolution.kernel_size[0], convolution.stride[0]
        self.padding = top + bottom
        groups, columns = convolution.groups, convolution.kernel_size[1]
        channels, outputs = convolution.in_channels, convolution.out_channels
        weight = convolution.weight
        self.alone = (
            groups == channels == outputs and columns == 1 and convolution.stride[1] == 1 and not _across(convolution)
        )
        self.vertical = VerticalIIR(channels, order)
        self.mix: nn.Conv2d | None = None
        self.bias: nn.Parameter | None = None
        with torch.no_grad():
            self.vertical.poles_raw.copy_(found.parameters)
            feedback = self.vertical.double().feedback()
            if self.alone:
                c = found.coefficients[:, :, 0]
                self.vertical.numerator.copy_(c)
                self.vertical.numerator[:, 1:] -= c[:, :1] * feedback
                if convolution.bias is not None:
                    self.bias = nn.Parameter(convolution.bias.detach().clone())
            else:
                self.vertical.numerator.zero_()
                self.vertical.numerator[:, 1] = 1
                self.mix = nn.Conv2d(
                    channels * (order + 1),
                    outputs,
                    (1, columns),
                    (1, convolution.stride[1]),
                    convolution.padding if isinstance(convolution.padding, str) else (0, convolution.padding[1]),
                    (1, convolution.dilation[1]),
                    groups,
                    convolution.bias is not None,
                )
                inside = channels // groups
                mixed = found.coefficients.view(groups, inside, order + 1, outputs // groups, columns)
                self.mix.weight.copy_(mixed.permute(0, 3, 1, 2, 4).reshape(outputs, inside * (order + 1), 1, columns))
                if convolution.bias is not None and self.mix.bias is not None:
                    self.mix.bias.copy_(convolution.bias)
        self.to(weight.device, weight.dtype)
        self.vertical.numerator.requires_grad_(self.alone)

    def forward(self, x: Tensor) -> Tensor:
        height = x.shape[2]
        rows = (height + self.padding - self.kernel) // self.stride + 1
        if rows < 1:
            raise ValueError(f"an image of {height} rows is too low for a kernel of {self.kernel}")
        last = (rows - 1) * self.stride + self.delay
        if last + 1 != height:
            x = F.pad(x, (0, 0, 0, last + 1 - height))
        y: Tensor = self.vertical(x)
        if self.mix is None:
            y = self._emitted(y)
            return y if self.bias is None else y + self.bias[:, None, None]
        basis = [x, y]
        if self.order == 2:
            basis.append(F.pad(y, (0, 0, 1, -1)))
        made: Tensor = self.mix(torch.stack([self._emitted(part) for part in basis], 2).flatten(1, 2))
        return made

    def _emitted(self, y: Tensor) -> Tensor:
        return y[:, :, self.delay :: self.stride] if self.delay or self.stride > 1 else y

    def extra_repr(self) -> str:
        return f"kernel={self.kernel}, order={self.order}, delay={self.delay}, stride={self.stride}"


@dataclass(frozen=True)
class LayerFit:
    """What became of one convolution.

    Attributes:
        name: its path in the network.
        kernel: its rows.
        lines: rows it kept for each input channel (kernel - 1), and rows of state kept now.
        waits: rows below that it waited for, and that are waited for now (the delay).
        error: of the kernels, relative: root of the missed energy over the energy.
        by_delay: that error for each delay from 0 to the kernel's own.
    """

    name: str
    kernel: int
    lines: tuple[int, int]
    waits: tuple[int, int]
    error: float
    by_delay: tuple[float, ...]


@dataclass(frozen=True)
class Conversion:
    """A converted network.

    Attributes:
        module: the network with recursive filters; the given one is unchanged.
        layers: what became of each convolution with vertical extent.
        left: path and reason of each that was left as it is.
        tuned: relative error of the network's output before and after fine-tuning, where there was any.
    """

    module: nn.Module
    layers: tuple[LayerFit, ...]
    left: tuple[tuple[str, str], ...]
    tuned: tuple[float, float] | None = field(default=None)

    def __str__(self) -> str:
        most = max((len(layer.by_delay) for layer in self.layers), default=1)
        name = max([5, *(len(layer.name) for layer in self.layers)])
        head = "".join(f"{f'delay {delay}':>10}" for delay in range(most))
        lines = [f"{'layer':<{name}} {'kernel':>6} {'lines':>8} {'waits':>8}   error of the kernels at{head}"]
        for layer in self.layers:
            kept, waits = (f"{old} > {new}" for old, new in (layer.lines, layer.waits))
            errors = "".join(
                f"{f'{error:.3f}' + ('*' if delay == layer.waits[1] else ' '):>10}"
                for delay, error in enumerate(layer.by_delay)
            )
            lines.append(f"{layer.name:<{name}} {layer.kernel:>6} {kept:>8} {waits:>8}   {'':<23}{errors}")
        lines += [f"left as it is: {path} ({reason})" for path, reason in self.left]
        if self.tuned:
            lines.append(f"relative error of the output: {self.tuned[0]:.4f}, fine-tuned {self.tuned[1]:.4f}")
        return "\n".join(lines)


def fir_to_iir(
    module: nn.Module,
    delay: int | Mapping[str, int] | None = None,
    order: int = 1,
    *,
    images: Iterable[Tensor] | None = None,
    steps: int = 200,
    learning_rate: float = 1e-3,
) -> Conversion:
    """Replace the vertical part of a trained network's convolutions by recursive filters.

    Every `torch.nn.Conv2d` of two rows and more, whether full, grouped or depthwise, gets for each input channel one
    recursive filter that all its outputs share, fitted to its kernels by least squares (`narrows.layers.fitting`), and
    keeps its horizontal extent as a convolution within the row. A kernel of k rows keeps k - 1 lines of its input; the
    filter keeps `order`. Left as they are, with the reason in the result: convolutions dilated along the rows, padded
    with anything but zeros or with as many rows as the kernel has, transposed or not of two dimensions, and subclasses
    of Conv2d. Convolutions that are called as functions are not seen.

    Least squares weighs all frequencies alike. Where a network's images are smooth, or its layers amplify errors,
    fine-tune with `images`: the poles and the convolutions within the row are then trained towards the outputs of the
    given network, and the best state met is kept.

    Args:
        module: in training or eval mode; a copy is converted.
        delay: rows below that each layer may wait for; k // 2 (for a symmetric kernel, all that it waits for now) if
            None; or for each layer by its path, those not named waiting for none. Of the delays allowed each layer
            takes that of the least error.
        order: 1 or 2 rows of state for each input channel.
        images: (N, C, H, W) each, for fine-tuning; taken in turns.
        steps: of fine-tuning with Adam.
        learning_rate: of the same.

    Returns:
        The network and, for each layer, the error for each delay; printed, it is a table.

    Raises:
        ValueError: nothing could be converted, or an argument is out of its range.
    """
    given = {} if delay is None else dict(delay) if isinstance(delay, Mapping) else {"": delay}
    for rows in given.values():
        if rows < 0:
            raise ValueError(f"the delay is a number of rows, not {rows}")
    if order not in (1, 2):
        raise ValueError(f"the order is 1 or 2, not {order}")
    converted = copy.deepcopy(module)
    made: dict[int, nn.Module] = {}
    layers: list[LayerFit] = []
    left: list[tuple[str, str]] = []
    for path, child in list(converted.named_modules()):
        if not isinstance(child, nn.modules.conv._ConvNd) or len(child.kernel_size) < 2 or child.kernel_size[-2] < 2:
            continue
        reason = reason_against(child)
        if reason is not None:
            left.append((path, reason))
            continue
        assert isinstance(child, nn.Conv2d)
        own = max(child.kernel_size[0] - 1 - _padding(child)[0], 0)
        fits = [_fit_at(child, order, waits) for waits in range(own + 1)]
        most = own if delay is None else given.pop(path, 0) if isinstance(delay, Mapping) else delay
        allowed = range(min(most, own) + 1)
        best = min(allowed, key=lambda waits: fits[waits].error)
        made[id(child)] = RecursiveConv2d(child, fits[best], order, best)
        errors = tuple(found.error for found in fits)
        rows = child.kernel_size[0]
        layers.append(LayerFit(path or "(itself)", rows, (rows - 1, order), (own, best), errors[best], errors))
    if isinstance(delay, Mapping) and given:
        raise ValueError(f"there is no convolution to convert called {', '.join(map(repr, given))}")
    if not layers:
        reasons = "; ".join(f"{path}: {reason}" for path, reason in left) or "no Conv2d has two rows or more"
        raise ValueError(f"there is nothing to convert: {reasons}")
    if id(converted) in made:
        converted = made[id(converted)]
    for parent in list(converted.modules()):
        for name, child in list(parent._modules.items()):
            if id(child) in made:
                setattr(parent, name, made[id(child)])
    converted.train(module.training)
    tuned = None
    if images is not None:
        tuned = fine_tune(converted, module, images, steps, learning_rate)
    return Conversion(converted, tuple(layers), tuple(left), tuned)


def fine_tune(
    converted: nn.Module, original: nn.Module, images: Iterable[Tensor], steps: int = 200, learning_rate: float = 1e-3
) -> tuple[float, float]:
    """Train the recursive layers of `converted` towards the outputs of `original`, both in eval mode meanwhile.

    Only poles and convolutions of `RecursiveConv2d` change. For networks that return one tensor.

    Returns:
        Root mean square of the difference over that of the output, on all images, before and after.

    Raises:
        ValueError: there are no images, or the network doesn't return one tensor.
    """
    given = list(images)
    if not given:
        raise ValueError("fine-tuning needs at least one image")
    modes = original.training, converted.training
    original.eval()
    converted.eval()
    try:
        with torch.no_grad():
            wanted = [original(image) for image in given]
        if not all(isinstance(output, Tensor) for output in wanted):
            raise ValueError("fine-tuning is for networks that return one tensor")
        layers = [layer for layer in converted.modules() if isinstance(layer, RecursiveConv2d)]
        own = [p for layer in layers for p in layer.parameters() if p.requires_grad]
        scale = sum(float(output.square().sum()) for output in wanted)
        before = _apart(converted, given, wanted, scale)
        best, kept = before, [p.detach().clone() for p in own]
        optimiser = torch.optim.Adam(own, learning_rate)
        for step in range(steps):
            place = step % len(given)
            optimiser.zero_grad()
            with torch.enable_grad():
                loss = (converted(given[place]) - wanted[place]).square().mean()
                grads = torch.autograd.grad(loss, own)
            for p, grad in zip(own, grads, strict=True):
                p.grad = grad
            optimiser.step()
            if place == len(given) - 1 or step == steps - 1:
                now = _apart(converted, given, wanted, scale)
                if now < best:
                    best, kept = now, [p.detach().clone() for p in own]
        with torch.no_grad():
            for p, value in zip(own, kept, strict=True):
                p.copy_(value)
                p.grad = None
    finally:
        original.train(modes[0])
        converted.train(modes[1])
    return before, best


def _apart(network: nn.Module, images: list[Tensor], wanted: list[Tensor], scale: float) -> float:
    with torch.no_grad():
        missed = sum(float((network(x) - y).square().sum()) for x, y in zip(images, wanted, strict=True))
    return (missed / max(scale, 1e-300)) ** 0.5


def reason_against(convolution: nn.Module) -> str | None:
    """Why no recursive filter can stand for a convolution; None where one can."""
    if type(convolution) is not nn.Conv2d:
        return f"a {type(convolution).__name__}, not a plain Conv2d"
    if convolution.dilation[0] > 1:
        return "dilated along the rows"
    if convolution.padding_mode != "zeros":
        return f"padded with mode {convolution.padding_mode!r}"
    if _padding(convolution)[0] >= convolution.kernel_size[0]:
        return "padded with as many rows as its kernel has"
    return None


def _padding(convolution: nn.Conv2d) -> tuple[int, int]:
    """Rows of zeros above and below."""
    if isinstance(convolution.padding, str):
        total = convolution.kernel_size[0] - 1 if convolution.padding == "same" else 0
        return total // 2, total - total // 2
    return convolution.padding[0], convolution.padding[0]


def _across(convolution: nn.Conv2d) -> int:
    """Columns of zeros on each side."""
    return 0 if isinstance(convolution.padding, str) else convolution.padding[1]


def _fit_at(convolution: nn.Conv2d, order: int, delay: int) -> Fit:
    """Output row r is made at row t = r s + delay, and needs x[r s - top + k] with weight k: the filter's response at
    m = delay + top - k. Weights of rows that come later are lost."""
    weight = convolution.weight.detach().double().cpu()
    groups, (_, inside, kernel, columns) = convolution.groups, weight.shape
    top = _padding(convolution)[0]
    reached = delay + top + 1
    by_input = (
        weight.view(groups, -1, inside, kernel, columns).permute(0, 2, 3, 1, 4).reshape(groups * inside, kernel, -1)
    )
    responses = by_input.new_zeros(len(by_input), max(reached, 1), by_input.shape[2])
    lost = by_input.new_zeros(len(by_input))
    for k in range(kernel):
        if delay + top - k >= 0:
            responses[:, delay + top - k] = by_input[:, k]
        else:
            lost += by_input[:, k].square().sum(1)
    return fit(responses, order, lost)
