"""What a leaf is made of: its colour and its texture, drawn together.

In photographs colour and texture go together: sky is smooth and blue, foliage rough and green. The shares, tints and
roughnesses are round figures of this project's choice, fitted to no photograph.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["LUMA", "MATERIALS", "Materials", "draw_materials"]

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in luma (ITU-R BT.601), as every peer here turns colour into grey."""


@dataclass(frozen=True)
class Material:
    """One kind of surface.

    Attributes:
        share: of the leaves, on the mean of all images.
        luma: least and greatest.
        tint: red, green, blue relative to luma, at full saturation; None is any hue.
        saturation: least and greatest share of the tint.
        rough: spread of the texture relative to the luma, least and greatest.
    """

    share: float
    luma: tuple[float, float]
    tint: tuple[float, float, float] | None
    saturation: tuple[float, float]
    rough: tuple[float, float]


MATERIALS = {
    "sky": Material(0.10, (0.45, 0.98), (-0.35, 0.0, 0.45), (0.1, 1.0), (0.0, 0.03)),
    "foliage": Material(0.20, (0.06, 0.55), (-0.15, 0.25, -0.55), (0.2, 1.0), (0.05, 0.5)),
    "earth": Material(0.25, (0.08, 0.75), (0.35, 0.0, -0.5), (0.05, 0.9), (0.03, 0.4)),
    "skin": Material(0.10, (0.25, 0.9), (0.35, -0.07, -0.25), (0.4, 1.0), (0.0, 0.06)),
    "neutral": Material(0.22, (0.02, 1.0), (0.05, 0.0, -0.05), (0.0, 1.0), (0.0, 0.3)),
    "painted": Material(0.13, (0.08, 0.85), None, (0.2, 1.0), (0.0, 0.2)),
}


@dataclass(frozen=True)
class Materials:
    """Colours float32 (n, 3), in 0..1 save for clipping, and roughness float32 (n,) of n leaves."""

    colour: NDArray[np.float32]
    rough: NDArray[np.float32]


def draw_materials(image: NDArray[np.int64], random: np.random.Generator) -> Materials:
    """Draw colour and roughness of n leaves; `image` (n,) numbers the image that each is in.

    An image has shares of materials of its own, so that one is a meadow and another a room.
    """
    kinds = list(MATERIALS.values())
    count, images = len(image), int(image.max()) + 1
    shares = random.dirichlet([4 * material.share for material in kinds], images).cumsum(1)
    kind = (random.random((count, 1)) > shares[image, :-1]).sum(1)
    tints = np.array([material.tint or (0, 0, 0) for material in kinds], np.float32)[kind]
    anyhow = np.array([material.tint is None for material in kinds])[kind]
    # Hues on the circle that leaves luma alone, so that each is as far from grey as the next.
    angle = random.uniform(0, 2 * np.pi, count)
    red, blue = 0.9 * np.cos(angle), 0.9 * np.sin(angle)
    green = -(LUMA[0] * red + LUMA[2] * blue) / LUMA[1]
    tints = np.where(anyhow[:, None], np.stack([red, green, blue], 1), tints)

    def between(name: str) -> NDArray[np.float64]:
        low, high = np.array([getattr(material, name) for material in kinds])[kind].T
        return low + (high - low) * random.random(count)

    luma = between("luma")
    colour = luma[:, None] * (1 + tints * between("saturation")[:, None])
    colour += random.normal(0, 0.01, (count, 3))
    return Materials(colour.astype(np.float32), between("rough").astype(np.float32))
