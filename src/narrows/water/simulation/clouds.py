"""Clouds: where they are, how thick, and where their shadows fall."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from narrows.errors import InputError
from narrows.water.simulation.noise import FractalNoise, cell_values
from narrows.water.simulation.sunlight import Sun

__all__ = ["SHAPES", "CloudLayer", "cloud_depth", "draw_clouds", "shadow_offset"]

Array = NDArray[np.float32]

SHAPES = {"train": ("heaps", "sheet", "veil", "lone"), "test": ("cells", "streets", "bank")}
"""The shapes of each split: fractal heaps, a broken sheet, a thin high veil, one small cloud; honeycomb cells, rows
along the wind, a bank with one ragged edge."""


@dataclass(frozen=True)
class CloudLayer:
    """A layer of cloud.

    Attributes:
        shape: one of `SHAPES`. cover: share of the sky, 0 to 1.
        depth: largest optical depth. soft: how gradually it is reached from the edge, in spreads of the field.
        size: of the largest parts, in pixels. height: above ground, in metres.
        ice: crystals, not drops. radius: of either, in metres.
    """

    shape: str
    cover: float
    depth: float = 25.0
    soft: float = 0.6
    size: int = 64
    height: float = 1500.0
    ice: bool = False
    radius: float = 1e-5


def draw_clouds(draw: np.random.Generator, split: str, *, pixel: float = 30.0) -> tuple[CloudLayer, ...]:
    """Draw none, one or two layers, from one small cloud to broken overcast."""
    layers = []
    for _ in range(int(draw.choice((0, 1, 2), p=(0.3, 0.55, 0.15)))):
        shape = str(draw.choice(SHAPES[split]))
        veil = shape == "veil" or (split == "test" and draw.uniform() < 0.25)
        across = draw.uniform(600, 5000) if veil else np.exp(draw.uniform(np.log(200), np.log(5000)))
        size = int(2 ** np.clip(np.round(np.log2(across / pixel)), 2, 8))
        layers.append(
            CloudLayer(
                shape,
                cover=draw.uniform(0.3, 1.0) if veil else float(draw.uniform(0.02, 1) ** 1.5 * 0.95),
                depth=float(
                    np.exp(draw.uniform(np.log(0.1), np.log(2.5)) if veil else draw.uniform(np.log(2), np.log(50)))
                ),
                soft=float(draw.uniform(1.5, 4) if veil else np.exp(draw.uniform(np.log(0.06), np.log(2)))),
                size=size,
                height=draw.uniform(7000, 11000) if veil else float(np.exp(draw.uniform(np.log(500), np.log(4000)))),
                ice=veil,
                radius=draw.uniform(2e-5, 5e-5) if veil else draw.uniform(6e-6, 1.8e-5),
            )
        )
    return tuple(layers)


def shadow_offset(layer: CloudLayer, sun: Sun, pixel: float) -> tuple[int, int]:
    """Rows and columns from a point on the ground, seen from above, to the cloud that shades it: towards the sun."""
    far = layer.height * np.tan(np.radians(sun.zenith)) / pixel
    row, column = sun.towards
    return round(far * row), round(far * column)


def cloud_depth(layer: CloudLayer, seed: int, height: int, width: int, offset: tuple[int, int]) -> tuple[Array, Array]:
    """Optical depth over each pixel, and towards the sun from it (straight up through the cloud that shades it).

    `layer.cover` is the share of cloudy pixels in the smallest window that holds both.

    Raises:
        InputError: for a shape that isn't known.
    """
    down, across = offset
    top, left = min(0, down), min(0, across)
    rows, columns = height + abs(down), width + abs(across)
    # Far shadows need two windows, not all that lies between them.
    if rows * columns > 4 * height * width:
        over = _field(layer, seed, 0, height, 0, width)
        level = float(np.quantile(over, 1 - layer.cover))
        return _depth(layer, over, level), _depth(layer, _field(layer, seed, down, down + height, across, width), level)
    field = _field(layer, seed, top, top + rows, left, columns)
    depth = _depth(layer, field, float(np.quantile(field, 1 - layer.cover)))
    here = depth[-top : -top + height, -left : -left + width]
    return here, depth[down - top : down - top + height, across - left : across - left + width]


def _depth(layer: CloudLayer, field: Array, level: float) -> Array:
    # Thickness grows on from the edge inwards: no plateau.
    inside = np.maximum(field - np.float32(level), 0) / np.float32(layer.soft)
    return np.float32(layer.depth) * np.minimum(inside**1.5 / (1 + 0.4 * inside), 2)


def _field(layer: CloudLayer, seed: int, start: int, stop: int, left: int, width: int) -> Array:
    def noise(key: int, coarsest: int, gain: float) -> Array:
        return FractalNoise(seed, key, max(coarsest, 4), 2, gain).rows(start, stop, width, left=left)

    y, x = np.mgrid[start:stop, left : left + width].astype(np.float32)
    match layer.shape:
        case "heaps":
            return noise(81, layer.size, 0.65)
        case "sheet":
            return noise(82, 2 * layer.size, 0.7) + 0.25 * noise(83, 8, 0.6)
        case "veil":
            angle = cell_values(seed, np.array([82]), np.array([0]))[0] * np.float32(np.pi)
            u = (x * np.cos(angle) + y * np.sin(angle)) / layer.size
            v = (y * np.cos(angle) - x * np.sin(angle)) / layer.size
            fibres = np.sin(9 * v + 1.5 * noise(84, layer.size, 0.6)) + np.sin(
                23 * v + 2 * u + noise(85, layer.size, 0.6)
            )
            return noise(86, 2 * layer.size, 0.5) + 0.35 * fibres
        case "lone":
            place = cell_values(seed, np.arange(83, 85), np.zeros(2, np.int64)) * np.float32(128)
            far = np.hypot(y - place[0], x - place[1]) / np.float32(layer.size / 4)
            return 0.5 * noise(87, max(layer.size // 4, 8), 0.7) - far
        case "cells":
            return _cells(seed, y, x, layer.size / 2) + 0.3 * noise(88, layer.size // 2, 0.7)
        case "streets":
            angle = cell_values(seed, np.array([89]), np.array([0]))[0] * np.float32(np.pi)
            v = (y * np.cos(angle) - x * np.sin(angle)) / np.float32(layer.size / 6)
            return np.sin(v + noise(90, 64, 0.5)) + 0.8 * noise(91, 16, 0.75)
        case "bank":
            angle = cell_values(seed, np.array([92]), np.array([0]))[0] * np.float32(2 * np.pi)
            return ((x - 64) * np.cos(angle) + (y - 64) * np.sin(angle)) / 40 + 0.7 * noise(93, 32, 0.7)
    raise InputError(f"clouds of shape {layer.shape!r} aren't known")


def _cells(seed: int, y: Array, x: Array, size: float) -> Array:
    """Worley noise: minus the distance to the nearest of points scattered one to a square, in squares."""
    u, v = y / np.float32(size), x / np.float32(size)
    i, j = np.floor(u).astype(np.int64), np.floor(v).astype(np.int64)
    nearest = np.full(y.shape, 9, np.float32)
    for down in (-1, 0, 1):
        for across in (-1, 0, 1):
            a, b = i + down, j + across
            far = np.hypot(u - a - cell_values(seed + 5, a, b), v - b - cell_values(seed + 6, a, b))
            np.minimum(nearest, far, out=nearest)
    return -3 * nearest
