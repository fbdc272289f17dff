"""Trained weights that come with the package; docs/models/water.md says how they were made."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from narrows.errors import InputError

if TYPE_CHECKING:
    from torch import nn

__all__ = ["available", "load", "path"]


def available() -> list[str]:
    """Names that `load` takes."""
    return sorted(file.stem for file in Path(__file__).parent.glob("*.safetensors"))


def path(name: str = "water") -> Path:
    """The safetensors file of these weights.

    Raises:
        InputError: where there are none of this name.
    """
    if name not in available():
        raise InputError(f"there are no weights called {name}; there are {', '.join(available())}")
    return Path(__file__).parent / f"{name}.safetensors"


def load(name: str = "water") -> nn.Module:
    """A water network with trained weights, "water" or "water-small", in eval mode, float32.

    It takes reflectance (N, 6, H, W) and gives ``(water, hidden)``, probabilities (N, 1, H, W) each; see
    `narrows.networks.water_net.WaterNet`.

    Raises:
        InputError: where there are no weights of this name, or the file is not whole.
    """
    from narrows.water.model_files import read_model_file

    return read_model_file(path(name)).module
