"""Recursive filters fitted to given impulse responses.

For each channel there are several responses of a few rows (one for each output and column of a convolution), and one
recursive part that all of them share: every response is made of what comes in and of the rows of state, that is of
``1, z^-1 / A(z)`` and, at order 2, ``z^-2 / A(z)``. For given poles the best coefficients are linear least squares (as
in Shanks' method), so that only the poles are searched: on a grid over the whole stable region, then on finer ones
around the best of each channel. Unlike Prony's method that minimises the error of the response itself, and can't leave
the stable region.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from narrows.layers.vertical_iir import VerticalIIR

__all__ = ["Fit", "fit", "rebased"]

_COARSE = {1: 401, 2: 41}
_FINE = {1: 21, 2: 9}
_ROUNDS = 5
_EDGE = 0.999
# Rows after which the slowest filter has died away (0.99 ** 1024 is 3e-5).
_TAIL = 1024


@dataclass(frozen=True)
class Fit:
    """Filters that stand for given responses.

    Attributes:
        parameters: of `VerticalIIR`, (C, order), float64.
        coefficients: of the input and the rows of state for each response, (C, order + 1, Q).
        missed, energy: the energy (sum of squares) of each channel's responses, and what of it is missed, (C,).
    """

    parameters: Tensor
    coefficients: Tensor
    missed: Tensor
    energy: Tensor

    @property
    def error(self) -> float:
        """Root of the energy that is missed over the energy, of all channels together."""
        return float((self.missed.sum() / self.energy.sum().clamp_min(1e-300)).sqrt())


def fit(responses: Tensor, order: int, lost: Tensor | None = None) -> Fit:
    """The best recursive filters of `order` for `responses`, (C, M, Q): M rows of Q responses for each channel.

    Args:
        lost: energy, (C,), of what no filter can reach, counted as missed.
    """
    wide = responses.detach().double()
    gram = wide @ wide.transpose(1, 2)
    beyond = torch.zeros_like(gram[:, 0, 0]) if lost is None else lost.double()
    energy = gram.diagonal(dim1=1, dim2=2).sum(1) + beyond
    axis = torch.linspace(-_EDGE, _EDGE, _COARSE[order], dtype=torch.float64)
    points = torch.cartesian_prod(*[axis] * order).view(-1, order)
    explained = torch.cat([_explained(chunk[None], gram, order) for chunk in points.split(512)], 1)
    best = points[explained.argmax(1)]
    width = 2 * _EDGE / (_COARSE[order] - 1)
    for _ in range(_ROUNDS):
        offsets = torch.linspace(-width, width, _FINE[order], dtype=torch.float64)
        around = torch.cartesian_prod(*[offsets] * order).view(-1, order)
        near = (best[:, None] + around).clamp(-_EDGE, _EDGE)
        best = near[torch.arange(len(near)), _explained(near, gram, order).argmax(1)]
        width = 2 * width / (_FINE[order] - 1)
    parameters = torch.atanh(best)
    layer = VerticalIIR(len(best), order, taps=1).double()
    with torch.no_grad():
        layer.poles_raw.copy_(parameters)
    coefficients, missed = rebased(layer.feedback().detach(), wide)
    return Fit(parameters, coefficients, missed + beyond, energy)


def rebased(feedback: Tensor, responses: Tensor) -> tuple[Tensor, Tensor]:
    """Least-squares coefficients (C, order + 1, Q) for filters with this feedback, (C, order); the energy missed."""
    basis = _basis(feedback.double(), responses.shape[1] + _TAIL)
    inverse = torch.linalg.pinv(basis @ basis.transpose(1, 2), rtol=1e-12, hermitian=True)
    early = basis[:, :, : responses.shape[1]] @ responses.double()
    coefficients = inverse @ early
    explained = (early * coefficients).sum((1, 2))
    return coefficients, (responses.double().square().sum((1, 2)) - explained).clamp_min(0)


def _explained(points: Tensor, gram: Tensor, order: int) -> Tensor:
    """The energy that filters with these parameters reach, (C, G), for points (C or 1, G, order) and gram (C, M, M)."""
    layer = VerticalIIR(points.shape[0] * points.shape[1], order)
    with torch.no_grad():
        layer = layer.double()
        layer.poles_raw.copy_(torch.atanh(points).view(-1, order))
        rows = gram.shape[1]
        basis = _basis(layer.feedback(), rows + _TAIL)
        inverse = torch.linalg.pinv(basis @ basis.transpose(1, 2), rtol=1e-12, hermitian=True)
        early = basis[:, :, :rows]
        # What a basis explains of all responses of a channel is linear in their products: trace(P gram).
        projection = (early.transpose(1, 2) @ inverse @ early).view(*points.shape[:2], rows * rows)
        return (projection * gram.flatten(1)[:, None]).sum(2) if len(points) > 1 else gram.flatten(1) @ projection[0].T


def _basis(feedback: Tensor, rows: int) -> Tensor:
    """What a single 1 in row 0 gives, (C, order + 1, rows): itself, and 1 / A one and, at order 2, two rows later."""
    order = feedback.shape[1]
    made = [torch.ones_like(feedback[:, 0])]
    for t in range(1, rows):
        made.append(sum((feedback[:, j] * made[t - 1 - j] for j in range(min(order, t))), torch.zeros_like(made[0])))
    response = torch.stack(made, 1)
    single = torch.zeros_like(response)
    single[:, 0] = 1
    later = [torch.nn.functional.pad(response[:, :-back], (back, 0)) for back in range(1, order + 1)]
    return torch.stack([single, *later], 1)
