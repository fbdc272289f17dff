"""What a network answers on labelled chips, and the same chips seen from above the air."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from narrows.water.recipes.augmentation import add_atmosphere

__all__ = ["at_top_of_atmosphere", "predict"]


def predict(model: nn.Module, reflectance: NDArray[np.float32], *, batch: int = 8) -> NDArray[np.float32]:
    """Probabilities (n, 2, H, W), water and hidden, of reflectance (n, 6, H, W)."""
    model.eval()
    parts = []
    with torch.inference_mode():
        for start in range(0, len(reflectance), batch):
            x = torch.from_numpy(reflectance[start : start + batch]).contiguous(memory_format=torch.channels_last)
            parts.append(torch.cat(model(x), 1).numpy())
    return np.concatenate(parts)


def at_top_of_atmosphere(reflectance: NDArray[np.float32], blue: float = 0.08) -> NDArray[np.float32]:
    """The same chips with path light added, blue raised by `blue`: a stand-in for top-of-atmosphere input."""
    return add_atmosphere(torch.from_numpy(reflectance), torch.tensor(blue)).numpy()
