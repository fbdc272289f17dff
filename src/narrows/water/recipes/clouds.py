"""Score the default network's two outputs under clouds, simulated and real.

    python -m narrows.water.recipes.clouds --chips hls306_6band.npz --cloudy sentinel2_l1c.npz

Prints the figures of the model card as JSON.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, nn

from narrows.water import weights
from narrows.water.indices import dswe, mndwi
from narrows.water.recipes.augmentation import Batch, add_clouds
from narrows.water.recipes.chips import Chips, read_chips, read_split
from narrows.water.recipes.scoring import Score, predict, score

__all__ = ["score_real_chip", "score_simulated_clouds"]

SHADOW, WATER, LAND, CLOUD = 0, 1, 3, 4


def score_simulated_clouds(model: nn.Module, chips: Chips, *, seed: int = 40) -> dict[str, Score]:
    """Scores of "hidden" and "water" on `chips` with a simulated cloud over each, where the truth is known."""
    water = torch.from_numpy(chips.label).float()
    known, clear = (torch.from_numpy(x).float() for x in (chips.known, ~chips.unclear))
    batch = Batch(
        torch.from_numpy(chips.reflectance),
        torch.stack((water, torch.zeros_like(water)), 1),
        torch.stack((known, clear), 1),
    )
    batch = add_clouds(batch, Generator().manual_seed(seed), share=1.0)
    found = predict(model, batch.reflectance.numpy()) >= 0.5
    truth, scored = batch.target.numpy() > 0, batch.weight.numpy() > 0
    return {name: score(found[:, k], truth[:, k], scored[:, k]) for k, name in enumerate(("water", "hidden"))}


def score_real_chip(
    model: nn.Module, reflectance: NDArray[np.float32], classes: NDArray[np.uint8]
) -> tuple[dict[str, Score], dict[str, float]]:
    """Scores on one chip, reflectance (6, H, W), with hand-drawn classes (H, W): 0 shadow, 1 water, 3 land, 4 cloud.

    Returns:
        Scores of hidden, of water and of water by the indices; and shares of cloud and shadow found, of land called
        hidden and of shadow called water.
    """
    water, hidden = predict(model, reflectance[None])[0] >= 0.5
    everywhere = np.ones(classes.shape, bool)
    wet, below = classes == WATER, (classes == CLOUD) | (classes == SHADOW)
    scores = {
        "hidden": score(hidden, below, everywhere),
        "water": score(water, wet, everywhere),
        "water, MNDWI > 0": score(mndwi(reflectance) > 0, wet, everywhere),
        "water, DSWE": score(dswe(reflectance), wet, everywhere),
    }
    shares = {
        "cloud found": float(hidden[classes == CLOUD].mean()),
        "shadow found": float(hidden[classes == SHADOW].mean()),
        "land called hidden": float(hidden[classes == LAND].mean()),
        "shadow called water": float(water[classes == SHADOW].mean()),
        "shadow called water, MNDWI > 0": float((mndwi(reflectance) > 0)[classes == SHADOW].mean()),
    }
    return scores, shares


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Score the default water network under clouds.")
    parser.add_argument("--chips", type=Path, required=True, help="hls306_6band.npz")
    parser.add_argument("--cloudy", type=Path, required=True, help="sentinel2_l1c.npz, arrays img and msk")
    options = parser.parse_args(arguments)
    model = weights.load()
    held_out = read_chips(options.chips).at_places(read_split()["test"])
    with np.load(options.cloudy) as data:
        reflectance, classes = np.ascontiguousarray(data["img"].transpose(2, 0, 1)), data["msk"][..., 0]
    scores, shares = score_real_chip(model, reflectance, classes)
    clear = predict(model, held_out.reflectance)[:, 1] >= 0.5
    report = {
        "simulated clouds": {k: v._asdict() for k, v in score_simulated_clouds(model, held_out).items()},
        "real chip": {k: v._asdict() for k, v in scores.items()} | shares,
        "clear held-out pixels called hidden": float(clear[~held_out.unclear].mean()),
    }
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
