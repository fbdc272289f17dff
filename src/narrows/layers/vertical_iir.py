"""A layer that filters each column recursively: of the rows above it keeps its order in rows, of those below none."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from narrows.layers.nonlinearities import nonlinearity
from narrows.layers.recursive import computed_in, filter_rows, vertical_iir

__all__ = ["VerticalIIR"]

# Beyond this, rounding in float32 could carry a double pole to the unit circle.
_LARGEST_RADIUS = 0.999
_RADIUS = {1: 0.99, 2: 0.9}
# Reach, in rows, of the first and the last channel's filter at initialisation.
_REACH = (0.5, 8.0)


class VerticalIIR(nn.Module):
    """A recursive filter down the columns, for each channel its own: (N, C, H, W) to the same.

    ``y[t] = f(b[0] x[t] + ... + b[n] x[t - n] + a[1] y[t - 1] + ... + a[n] y[t - n])``, from rest, with n the order
    and f the identity or a nonlinearity inside the loop. Stable for every value of the parameters:

    - linear, order 1: ``a = R tanh(p)``; order 2: with ``s = (1 + u) tanh(p[0])`` and ``u = tanh(p[1])``,
      ``a = (R s, -R^2 u)``: s and u are the sum and the product of two numbers in the unit disc (Jury's triangle), and
      the poles, real or a complex pair, are these times R;
    - ReLU, order 1: ``a = R sigmoid(p)``, not negative, so that the recursion can run in blocks of rows;
    - any other: ``|a[1]| + |a[2]| <= R``, which no f with |f(z)| <= |z| + |f(0)| can make diverge.

    At the start the filters have a gain of 1 for what is constant (the sum of their impulse response), and poles that
    reach from half a row to 8 rows, spread over the channels; at order 2 pairs at 22.5 degrees.

    Args:
        channels: C.
        order: 1 or 2, the rows of state for each channel.
        activation: f: ``"linear"``, ``"relu"`` or another name of `narrows.layers.nonlinearities`.
        delay: rows of look-ahead: row t of the result is what the filter holds once it has seen row t + delay. Below
            the image it sees zeros.
        upward: the recursion begins at the last row. Such a filter needs the whole image before its first row.
        max_radius: R, in (0, 0.999]; 0.99 at order 1 and 0.9 at order 2 if None. There, rounding in float32 stays
            below 1e-5 of the largest value also with all poles at the edge; beyond, `rounding_bound` tells.
        taps: coefficients b, 1 to order + 1; all if None. They cost no further row of state.

    Raises:
        ValueError: an argument is out of its range.
    """

    def __init__(
        self,
        channels: int,
        order: int = 1,
        *,
        activation: str = "linear",
        delay: int = 0,
        upward: bool = False,
        max_radius: float | None = None,
        taps: int | None = None,
    ) -> None:
        super().__init__()
        if channels < 1:
            raise ValueError(f"a filter has at least one channel, not {channels}")
        if order not in _RADIUS:
            raise ValueError(f"the order is 1 or 2, not {order}")
        radius = _RADIUS[order] if max_radius is None else float(max_radius)
        if not 0 < radius <= _LARGEST_RADIUS:
            raise ValueError(f"max_radius lies above 0 and up to {_LARGEST_RADIUS}, not {radius}")
        taps = order + 1 if taps is None else taps
        if not 1 <= taps <= order + 1:
            raise ValueError(f"a filter of order {order} has 1 to {order + 1} taps, not {taps}")
        if delay < 0 or (delay and upward):
            raise ValueError("the delay is a number of rows, and an upward filter has none")
        if activation != "linear":
            nonlinearity(activation)
        self.channels, self.order, self.activation = channels, order, activation
        self.delay, self.upward, self.max_radius = delay, upward, radius
        self.poles_raw = nn.Parameter(torch.zeros(channels, order))
        self.numerator = nn.Parameter(torch.zeros(channels, taps))
        self.reset_parameters()

    @property
    def _kind(self) -> str:
        if self.activation == "linear":
            return "linear"
        return "positive" if self.activation == "relu" and self.order == 1 else "contracting"

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Poles spread over the channels, and a gain of 1 for what is constant."""
        reach = torch.logspace(math.log10(_REACH[0]), math.log10(_REACH[1]), self.channels, dtype=torch.float64)
        radius = (-1 / reach).exp().clamp(max=0.98 * self.max_radius)
        angle = math.pi / 8 if self.order == 2 and self.activation == "linear" else 0.0
        poles = torch.polar(radius, torch.full_like(radius, angle))
        self.set_poles(torch.stack([poles, poles.conj()], 1) if angle else poles[:, None])
        self.numerator.zero_()
        self.numerator[:, 0] = 1 - self.feedback().sum(1)

    @torch.no_grad()
    def set_poles(self, poles: Tensor) -> None:
        """Set the poles of each channel's filter.

        Args:
            poles: (C, k), k up to the order, real or complex; the others are 0. Two are real or a complex pair.

        Raises:
            ValueError: there are more than the order, one lies beyond `max_radius`, two are no pair, or these
                filters can't have them (a negative one with a ReLU in the loop).
        """
        if poles.dim() != 2 or poles.shape[0] != self.channels or not 1 <= poles.shape[1] <= self.order:
            raise ValueError(f"poles of {self.channels} filters of order {self.order} are not {tuple(poles.shape)}")
        wide = F.pad(poles.to(torch.complex128), (0, self.order - poles.shape[1]))
        if not bool((wide.abs() <= self.max_radius * (1 + 1e-12)).all()):
            raise ValueError(f"a pole lies beyond {self.max_radius}")
        total, product = wide.sum(1), wide.prod(1) if self.order == 2 else torch.zeros_like(wide[:, 0])
        if float(total.imag.abs().max()) > 1e-9 or float(product.imag.abs().max()) > 1e-9:
            raise ValueError("poles are real, or two of them a complex pair")
        feedback = torch.stack([total.real, -product.real][: self.order], 1)
        self.poles_raw.copy_(self._raw(feedback))

    def _raw(self, feedback: Tensor) -> Tensor:
        """The parameters that give these coefficients, (C, n) in float64, or the nearest inside the range."""
        radius, inside = self.max_radius, 1 - 1e-12
        if self._kind == "positive":
            if bool((feedback < 0).any()):
                raise ValueError("with a ReLU in the loop no pole is negative")
            return torch.logit((feedback / radius).clamp(1e-12, inside))
        if self.order == 1:
            return torch.atanh((feedback / radius).clamp(-inside, inside))
        if self._kind == "contracting":
            mixed = torch.stack([feedback.sum(1), feedback[:, 0] - feedback[:, 1]], 1) / radius
            if float(mixed.abs().max()) > 1:
                raise ValueError(f"with a nonlinearity in the loop |a1| + |a2| is at most {radius}")
            return torch.atanh(mixed.clamp(-inside, inside))
        product = (-feedback[:, 1] / radius**2).clamp(-inside, inside)
        total = (feedback[:, 0] / radius / (1 + product)).clamp(-inside, inside)
        return torch.atanh(torch.stack([total, product], 1))

    def feedback(self) -> Tensor:
        """a, (C, n): a[:, 0] multiplies the row before. In float32 where the parameters are narrower."""
        raw = self.poles_raw.to(computed_in(self.poles_raw.dtype))
        if self._kind == "positive":
            return self.max_radius * torch.sigmoid(raw)
        bent = self.max_radius * torch.tanh(raw)
        if self.order == 1:
            return bent
        if self._kind == "contracting":
            return torch.stack([bent.sum(1), bent[:, 0] - bent[:, 1]], 1) / 2
        product = torch.tanh(raw[:, 1])
        return torch.stack([bent[:, 0] * (1 + product), -(self.max_radius**2) * product], 1)

    @torch.no_grad()
    def poles(self) -> Tensor:
        """The poles of each channel's filter, (C, n), complex128."""
        a = self.feedback().to(torch.complex128)
        if self.order == 1:
            return a
        root = torch.sqrt(a[:, 0] ** 2 / 4 + a[:, 1])
        return torch.stack([a[:, 0] / 2 + root, a[:, 0] / 2 - root], 1)

    @torch.no_grad()
    def impulse_response(self, rows: int) -> Tensor:
        """What each filter makes of a single 1 in row 0, (C, rows), without its delay; for linear filters."""
        impulse = torch.zeros(1, self.channels, rows, 1, dtype=torch.float64, device=self.numerator.device)
        impulse[:, :, 0] = 1
        y, _ = filter_rows(impulse, self.numerator, self.feedback(), self.activation)
        return y[0, :, :, 0]

    def forward(self, x: Tensor) -> Tensor:
        if self.delay:
            x = F.pad(x, (0, 0, 0, self.delay))
        y: Tensor = vertical_iir(x, self.numerator, self.feedback(), self.activation, self.upward)
        return y[:, :, self.delay :] if self.delay else y

    @torch.no_grad()
    def step(self, rows: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Filter the next rows of an image that arrives from the top; `delay` is left to the caller.

        Args:
            rows: (N, C, n, W), n of any height from 1.
            state: what the step before returned; None at the first.

        Returns:
            The filtered rows, and the state: (N, C, order, W), in float32 or float64.

        Raises:
            ValueError: the filter is an upward one.
        """
        if self.upward:
            raise ValueError("an upward filter begins at the last row, and can't run as rows arrive")
        return filter_rows(rows, self.numerator, self.feedback(), self.activation, state)

    @torch.no_grad()
    def rounding_bound(self, dtype: torch.dtype = torch.float32, rows: int = 4096) -> Tensor:
        """How far rounding in `dtype` can move a linear filter's result, for inputs of at most 1; (C,), float64.

        Each row is a sum of the taps and the feedback, and rounds by at most the unit roundoff for each of its
        operations; what was rounded off earlier comes back through the recursion. To first order that is
        ``(2 n + 2) u (sum |b| + sum |a| sum |h|) sum |g|``, with h the impulse response, g that of the feedback alone,
        and 4,096 rows of them.
        """
        a = self.feedback().double()
        impulse = torch.zeros(1, self.channels, rows, 1, dtype=torch.float64, device=a.device)
        impulse[:, :, 0] = 1
        loop, _ = filter_rows(impulse, torch.ones_like(a[:, :1]), a, "linear")
        gain = self.impulse_response(rows).abs().sum(1)
        local = self.numerator.double().abs().sum(1) + a.abs().sum(1) * gain
        unit = torch.finfo(computed_in(dtype)).eps / 2
        return (2 * self.order + 2) * unit * local * loop[0, :, :, 0].abs().sum(1)

    def extra_repr(self) -> str:
        parts = [f"{self.channels}, order={self.order}, activation={self.activation!r}"]
        parts += [f"delay={self.delay}"] if self.delay else []
        return ", ".join(parts + (["upward=True"] if self.upward else []))
