"""Make a trained network's probabilities true: scale and shift its logits, and fold both into its last layers."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from narrows.networks.water_net import WaterNet
from narrows.water.recipes.augmentation import Batch

__all__ = ["UNSURE", "fit_sharpness"]

_CHIPS = 16
"""Chips that go through the network at a time."""
UNSURE = 4.0
"""The logit of a probability of 0.982."""


def fit_sharpness(model: WaterNet, clear: Batch, cloudy: Batch, *, unsure: float = UNSURE) -> dict[str, list[float]]:
    """Fit scale and shift of both outputs' logits, and fold them into the last layers.

    Platt scaling (1999) by least cross-entropy: of water on the known pixels of `clear`, of hidden on those of
    `cloudy`. It changes no order of pixels, but where 0.5 lies. An output that is unsure of nothing stays as it is.

    Args:
        unsure: pixels with logits within this are fitted to. A few of the others that are wrong, such as labels of
            another date, would decide alone.

    Returns:
        Scale and shift of "water" and of "hidden".
    """
    found = {}
    for k, (name, batch) in enumerate({"water": clear, "hidden": cloudy}.items()):
        with torch.inference_mode():
            logits = torch.cat([model.logits(x)[:, k] for x in batch.reflectance.split(_CHIPS)])
        known = (batch.weight[:, k] > 0) & (logits.abs() < unsure)
        scale, shift = _least(logits[known].double(), batch.target[:, k][known].double())
        found[name] = [round(scale, 4), round(shift, 4)]
        places = slice(4 * k, 4 * k + 4)
        with torch.no_grad():
            model.head.weight[places] *= scale
            model.head_of_squares.weight[places] *= scale
            assert model.head.bias is not None
            model.head.bias[places] = model.head.bias[places] * scale + shift
    return found


def _least(logits: torch.Tensor, target: torch.Tensor) -> tuple[float, float]:
    parameters = nn.Parameter(torch.tensor([1.0, 0.0], dtype=torch.float64))
    if not len(logits):
        return 1.0, 0.0
    optimiser = torch.optim.LBFGS([parameters], max_iter=50, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        loss = F.binary_cross_entropy_with_logits(logits * parameters[0] + parameters[1], target)
        loss.backward()
        return loss

    optimiser.step(closure)
    scale, shift = parameters.detach().tolist()
    return scale, shift
