"""Scores of a water map on labelled chips."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from narrows.water.evaluation.confusion import Confusion
from narrows.water.indices import dswe, mndwi
from narrows.water.recipes.augmentation import add_atmosphere
from narrows.water.recipes.chips import Chips

__all__ = ["Score", "at_top_of_atmosphere", "best_threshold", "predict", "score", "score_chips"]


class Score(NamedTuple):
    """Of the class water over all scored pixels together; 0 where undefined."""

    precision: float
    recall: float
    f1: float
    iou: float
    pixels: int


def score(water: NDArray[np.bool_], truth: NDArray[np.bool_], scored: NDArray[np.bool_]) -> Score:
    """Compare two masks of one shape where `scored` is true."""
    found = Confusion.of(water, truth, scored)
    return Score(found.precision or 0.0, found.recall or 0.0, found.f1 or 0.0, found.iou or 0.0, found.pixels)


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


def best_threshold(model: nn.Module, chips: Chips) -> tuple[float, dict[str, float]]:
    """The threshold of highest mean IoU on consensus pixels, as given and with path light added.

    Returns:
        The threshold and the mean IoU at each of 0.2, 0.25, ... 0.8.
    """
    truth = chips.label > 0
    maps = [predict(model, x)[:, 0] for x in (chips.reflectance, at_top_of_atmosphere(chips.reflectance))]
    found = {
        f"{t:.2f}": float(np.mean([score(p >= t, truth, chips.known).iou for p in maps]))
        for t in np.arange(0.2, 0.81, 0.05)
    }
    return float(max(found, key=lambda t: found[t])), found


def score_chips(model: nn.Module, chips: Chips, threshold: float) -> dict[str, dict[str, list[float]]]:
    """Scores of the network, MNDWI > 0 and DSWE on the same pixels.

    Returns:
        For each kind of pixel (consensus; raw labels; consensus of each tier; consensus with path light added), for
        each method, precision, recall, F1, IoU and the number of pixels.
    """
    truth, everything = chips.label > 0, np.ones(chips.label.shape, bool)
    lit = at_top_of_atmosphere(chips.reflectance)
    clear_maps, lit_maps = (
        {"network": predict(model, x)[:, 0] >= threshold, "mndwi": mndwi(x) > 0, "dswe": dswe(x)}
        for x in (chips.reflectance, lit)
    )
    kinds = {"consensus": (clear_maps, chips.known), "raw labels": (clear_maps, everything)}
    for tier in sorted(set(chips.tier.tolist())):
        kinds[f"consensus, tier {tier}"] = (clear_maps, chips.known & (chips.tier == tier)[:, None, None])
    kinds["consensus, path light added"] = (lit_maps, chips.known)
    return {
        kind: {name: [round(v, 4) for v in score(water, truth, scored)] for name, water in maps.items()}
        for kind, (maps, scored) in kinds.items()
    }
