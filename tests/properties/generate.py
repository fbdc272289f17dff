"""Random networks: chains with residual sums, skips over scales, several inputs and outputs."""

from __future__ import annotations

import random

import torch
from torch import nn

_LAYERS = (
    "conv",
    "strided",
    "depthwise",
    "dilated",
    "norm",
    "pool",
    "average",
    "up",
    "transposed",
    "pad",
    "crop",
    "act",
)


class Generated(nn.Module):
    """Layers in a row; some results are added or joined to earlier ones of their size, some are outputs."""

    def __init__(self, rng: random.Random, exact: bool):
        super().__init__()
        self.layers = nn.ModuleList()
        self.joins: list[str] = []
        self.exact = exact
        self.second_input = not exact and rng.random() < 0.3
        channels = 8 if exact else rng.choice([2, 3, 6])
        self.channels_in = channels
        for _ in range(rng.randint(2, 8)):
            kind = rng.choice(_LAYERS)
            layer, channels = self._layer(rng, kind, channels)
            self.layers.append(layer)
            self.joins.append(rng.choice(["", "", "add", "cat", "output"]))
            if self.joins[-1] == "cat" and channels > 8:
                self.joins[-1] = "add"
            self.layers[-1].channels_out = channels
        self.as_dict = rng.random() < 0.3

    def _layer(self, rng: random.Random, kind: str, channels: int) -> tuple[nn.Module, int]:
        out = rng.choice([8, 16] if self.exact else [2, 4, 8])
        kernel = (rng.randint(1, 5), rng.randint(1, 5))
        padding = tuple(rng.randint(0, 4) for _ in kernel)
        if kind == "strided":
            return nn.Conv2d(channels, out, kernel, rng.randint(1, 3), padding), out
        if kind == "depthwise" and not self.exact:
            return nn.Conv2d(channels, channels, 3, padding=1, groups=channels), channels
        if kind == "dilated":
            return nn.Conv2d(channels, out, 3, padding=rng.randint(0, 4), dilation=rng.randint(1, 4)), out
        if kind == "norm" and not self.exact:
            norm = nn.BatchNorm2d(channels)
            norm.running_mean.normal_()
            norm.running_var.uniform_(0.5, 2)
            return norm, channels
        if kind == "pool":
            return nn.MaxPool2d(rng.randint(1, 3), rng.randint(1, 3), ceil_mode=rng.random() < 0.5), channels
        if kind == "average":
            return nn.AvgPool2d(3, rng.randint(1, 2), padding=1, count_include_pad=rng.random() < 0.5), channels
        if kind == "up":
            mode = rng.choice(["nearest", "bilinear"])
            return nn.Upsample(scale_factor=rng.choice([2, 1.5]), mode=mode), channels
        if kind == "transposed" and not self.exact:
            return nn.ConvTranspose2d(channels, out, rng.randint(2, 4), 2, rng.randint(0, 1)), out
        if kind == "pad":
            sizes = [rng.randint(0, 2) for _ in range(4)]
            kinds = [nn.ZeroPad2d] if self.exact else [nn.ZeroPad2d, nn.ReplicationPad2d]
            return rng.choice(kinds)(sizes), channels
        if kind == "crop":
            return _Crop(rng.randint(0, 2), rng.randint(1, 2)), channels
        if kind == "act":
            return nn.ReLU() if self.exact else rng.choice([nn.ReLU(inplace=True), nn.SiLU(), nn.Sigmoid()]), channels
        return nn.Conv2d(
            channels,
            out,
            kernel,
            1,
            padding,
            padding_mode=rng.choice(["zeros"] if self.exact else ["zeros", "replicate"]),
        ), out

    def forward(self, x: torch.Tensor, other: torch.Tensor | None = None):
        kept, outputs = [], []
        if other is not None:
            x = x + nn.functional.interpolate(other, size=x.shape[-2:], mode="bilinear")
        for layer, join in zip(self.layers, self.joins, strict=True):
            x = layer(x)
            partner = next((k for k in kept if k.shape == x.shape), None)
            if partner is not None and join in ("add", "cat"):
                x = x + partner
            if join == "output":
                outputs.append(x * 1.0)
            kept.append(x)
        outputs.append(x * 1.0 if not self.exact else x)
        if self.as_dict:
            return {f"scale{i}": value for i, value in enumerate(outputs)}
        return outputs[0] if len(outputs) == 1 else tuple(outputs)


class _Crop(nn.Module):
    def __init__(self, start: int, step: int):
        super().__init__()
        self.start, self.step = start, step

    def forward(self, x):
        start = min(self.start, x.shape[2] - 1)
        return x[:, :, start :: self.step]


def generate(seed: int, exact: bool = False) -> tuple[nn.Module, random.Random]:
    """A network in eval mode (exact: of convolution, pooling, resize and ReLU only), and the rest of the dice."""
    rng = random.Random(seed)
    torch.manual_seed(seed)
    with torch.no_grad():
        return Generated(rng, exact).eval(), rng
