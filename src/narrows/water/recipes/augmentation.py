"""Make chips look like other sensors, other skies and other seasons."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

__all__ = ["Batch", "add_atmosphere", "add_clouds", "join", "smooth_noise", "vary"]

# How strongly molecules and thin haze brighten each band at the top of the atmosphere, relative to blue.
_PATH = torch.tensor([1.0, 0.62, 0.38, 0.16, 0.04, 0.02]).view(1, 6, 1, 1)
_CLOUD = torch.tensor([0.62, 0.60, 0.60, 0.62, 0.46, 0.36]).view(1, 6, 1, 1)
# Light left in a shadow: the sky still lights blue, hardly the shortwave infrared.
_SHADE = torch.tensor([0.55, 0.45, 0.38, 0.30, 0.22, 0.20]).view(1, 6, 1, 1)


@dataclass(frozen=True)
class Batch:
    """Float32: reflectance (N, 6, H, W); target and weight (N, 2, H, W) of water and hidden, weight 0 if unknown."""

    reflectance: Tensor
    target: Tensor
    weight: Tensor


def join(batches: Sequence[Batch]) -> Batch:
    """Batches one after the other."""
    return Batch(
        torch.cat([b.reflectance for b in batches]),
        torch.cat([b.target for b in batches]),
        torch.cat([b.weight for b in batches]),
    )


def _uniform(n: int, low: float, high: float, g: Generator, *, channels: int = 1) -> Tensor:
    return torch.rand((n, channels, 1, 1), generator=g) * (high - low) + low


def _some(n: int, share: float, g: Generator) -> Tensor:
    return (torch.rand((n, 1, 1, 1), generator=g) < share).float()


def smooth_noise(n: int, height: int, width: int, g: Generator, *, coarsest: int = 64) -> Tensor:
    """Fractal noise of about unit spread, float32 (n, 1, height, width)."""
    total, step, amplitude = torch.zeros((n, 1, height, width)), coarsest, 1.0
    while step >= 2:
        lattice = torch.randn((n, 1, height // step + 3, width // step + 3), generator=g)
        size = (lattice.shape[2] * step, lattice.shape[3] * step)
        octave = F.interpolate(lattice, size, mode="bilinear")
        total += amplitude * octave[..., step : step + height, step : step + width]
        step, amplitude = step // 2, amplitude * 0.6
    return total / total.std().clamp_min(1e-6)


def _turn(x: Tensor, turn: int) -> Tensor:
    if turn & 4:
        x = x.transpose(-1, -2)
    return torch.rot90(x, turn & 3, (-2, -1))


def _geometry(batch: Batch, g: Generator) -> Batch:
    """A turn or flip for each chip; for a third of them a crop enlarged, as finer pixels would show it."""
    parts = []
    height, width = batch.reflectance.shape[-2:]
    for k in range(len(batch.reflectance)):
        turn = int(torch.randint(8, (), generator=g))
        x, t, w = (_turn(v[k : k + 1], turn) for v in (batch.reflectance, batch.target, batch.weight))
        if torch.rand((), generator=g) < 0.33:
            side = int(torch.randint(max(height // 3, 1), height + 1, (), generator=g))
            top, left = (int(torch.randint(height - side + 1, (), generator=g)) for _ in range(2))
            x, t, w = (v[..., top : top + side, left : left + side] for v in (x, t, w))
            x = F.interpolate(x, (height, width), mode="bilinear")
            t, w = (F.interpolate(v, (height, width)) for v in (t, w))
        parts.append((x, t, w))
    return Batch(*(torch.cat(p) for p in zip(*parts, strict=True)))


def add_atmosphere(x: Tensor, blue: Tensor) -> Tensor:
    """Reflectance as the top of the atmosphere shows it, with blue raised by `blue` ((N, 1, 1, 1) or a scalar)."""
    path = _PATH * blue
    return path + x * (1 - 0.9 * path)


def add_clouds(batch: Batch, g: Generator, *, share: float = 0.35) -> Batch:
    """Lay clouds and their shadows over a share of the chips.

    Hidden becomes 1 under cloud and in deep shadow, unknown where either is thin. Water under thick cloud is taught as
    not water, since nothing of it shows; in shadow and under thin cloud the label stays.
    """
    x, n = batch.reflectance, len(batch.reflectance)
    height, width = x.shape[-2:]
    margin = 40
    noise = smooth_noise(n, height + 2 * margin, width + 2 * margin, g)
    level = _uniform(n, -0.2, 1.8, g)
    field = torch.clamp((noise - level) * _uniform(n, 1.2, 6.0, g), 0, 1)
    field = field * _uniform(n, 0.35, 1.0, g) ** 0.5 * _some(n, share, g)
    opacity = field[..., margin:-margin, margin:-margin]
    shadow = torch.empty_like(opacity)
    for k in range(n):
        angle = float(torch.rand((), generator=g)) * 2 * math.pi
        far = 6 + 32 * float(torch.rand((), generator=g))
        top, left = margin + round(far * math.sin(angle)), margin + round(far * math.cos(angle))
        shadow[k] = field[k, :, top : top + height, left : left + width]
    shadow = shadow * (1 - opacity)
    x = x * (1 - shadow * (1 - _SHADE * _uniform(n, 0.7, 1.3, g)))
    texture = 1 + 0.12 * smooth_noise(n, height, width, g, coarsest=16)
    cloud = _CLOUD * _uniform(n, 0.7, 1.45, g) * torch.exp(0.06 * torch.randn((n, 6, 1, 1), generator=g)) * texture
    x = x + opacity * (cloud - x)

    water, hidden = batch.target[:, :1], batch.target[:, 1:]
    covered = torch.maximum(opacity, shadow)
    hidden = torch.where((opacity > 0.45) | (shadow > 0.55), 1.0, hidden)
    known = torch.where((covered > 0.12) & (hidden < 1), 0.0, batch.weight[:, 1:])
    thick = opacity > 0.6
    water_weight = torch.where((opacity > 0.35) & ~thick, 0.0, batch.weight[:, :1])
    water_weight = torch.where(thick, 0.5, water_weight)
    water = torch.where(thick, 0.0, water)
    return Batch(x, torch.cat((water, hidden), 1), torch.cat((water_weight, known), 1))


def _radiometry(x: Tensor, g: Generator, strength: float = 1.0) -> Tensor:
    """Other calibrations and band passes, path light, noise, coarse quantisation."""
    n = len(x)
    x = x * torch.exp(0.06 * strength * torch.randn((n, 6, 1, 1), generator=g))
    x = x * torch.exp(0.12 * strength * torch.randn((n, 1, 1, 1), generator=g))
    mixing = torch.eye(6) + 0.03 * strength * torch.randn((n, 6, 6), generator=g)
    x = torch.einsum("noc,nchw->nohw", mixing, x)
    x = add_atmosphere(x, _uniform(n, 0.0, 0.13, g) * _some(n, 0.5 * strength, g))
    x = x + 0.004 * strength * torch.randn((n, 6, 1, 1), generator=g)
    x = x + torch.randn(x.shape, generator=g) * _uniform(n, 0.0, 0.008, g) * _some(n, 0.5 * strength, g)
    step = 1 / 250
    coarse = _some(n, 0.15, g)
    return x + coarse * (torch.round(x / step) * step - x)


def _no_data(batch: Batch, g: Generator) -> Batch:
    """Blank a side to 0 in a tenth of the chips, as at the slanted border of a scene; nothing is taught there."""
    n, (height, width) = len(batch.reflectance), batch.reflectance.shape[-2:]
    down = torch.linspace(-1, 1, height).view(1, 1, -1, 1)
    across = torch.linspace(-1, 1, width).view(1, 1, 1, -1)
    angle = _uniform(n, 0, 2 * math.pi, g)
    inside = (down * torch.sin(angle) + across * torch.cos(angle) < _uniform(n, 0.0, 1.0, g)).float()
    inside = torch.maximum(inside, 1 - _some(n, 0.1, g))
    return Batch(batch.reflectance * inside, batch.target, batch.weight * inside)


def vary(batch: Batch, generator: Generator, *, strength: float = 1.0) -> Batch:
    """One random variant of each chip without new clouds: turned, of another calibration, with a blank side.

    A few lose their shortwave infrared, given as 1 in both bands, as `networks.water_net` asks of sensors without.

    Args:
        strength: of the change of calibration; what was simulated for a sensor needs less.
    """
    batch = _geometry(batch, generator)
    x = _radiometry(batch.reflectance, generator, strength)
    lost = _some(len(x), 0.06, generator) * torch.tensor([0.0, 0, 0, 0, 1, 1]).view(1, 6, 1, 1)
    return _no_data(Batch(x * (1 - lost) + lost, batch.target, batch.weight), generator)
