"""Trained weights that come with the package; docs/models/water.md says how they were made."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from narrows.errors import InputError

if TYPE_CHECKING:
    from torch import nn

__all__ = ["available", "load", "names_without_swir", "path", "taught_without_swir"]


def available() -> list[str]:
    """Names that `load` takes."""
    return sorted(file.stem for file in Path(__file__).parent.glob("*.safetensors"))


def path(name: str = "default") -> Path:
    """The safetensors file of these weights.

    Raises:
        InputError: where there are none of this name.
    """
    if name not in available():
        raise InputError(f"there are no weights called {name}; there are {', '.join(available())}")
    return Path(__file__).parent / f"{name}.safetensors"


def load(name: str = "default") -> nn.Module:
    """The water network with trained weights, in eval mode, float32.

    It takes reflectance (N, 6, H, W) and gives ``(water, hidden)``, probabilities (N, 1, H, W) each; see
    `narrows.networks.rowwise_water.RowwiseWater`. Water begins at 0.5: the threshold chosen in training is folded into
    the last layer's bias.

    Raises:
        InputError: where there are no weights of this name, or the file is not whole.
    """
    from narrows.networks.rowwise_water import rowwise_water
    from narrows.training.loading import load_weights

    model = rowwise_water()
    load_weights(model, path(name))
    return model.eval()


def taught_without_swir(model: nn.Module) -> bool:
    """Whether a network trained by this package can do without shortwave infrared, given as 1 in both bands: every
    `WaterNet` loses it now and then in training (`recipes.augmentation.vary`)."""
    from narrows.networks.water_net import WaterNet

    return isinstance(model, WaterNet)


def names_without_swir() -> list[str]:
    """Those of `available` that can do without shortwave infrared."""
    return [name for name in available() if taught_without_swir(load(name))]
