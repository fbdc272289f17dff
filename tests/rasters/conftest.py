"""Real little files, written with rasterio."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.builders.geotiff import write_raster

Write = Callable[..., Path]


@pytest.fixture
def write() -> Write:
    """`write(path, bands, **profile)`: see `write_raster`."""
    return write_raster


@pytest.fixture
def numbers() -> NDArray[np.uint16]:
    """Six bands of plausible Landsat level-2 numbers, 61 x 47."""
    return np.random.default_rng(7).integers(7300, 25000, (6, 61, 47)).astype(np.uint16)
