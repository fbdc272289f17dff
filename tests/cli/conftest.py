from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from click.testing import CliRunner, Result

from narrows.cli import narrows

BANDS = ("blue", "green", "red", "nir", "swir1", "swir2")
WATER = np.array([0.06, 0.07, 0.05, 0.03, 0.01, 0.01])
LAND = np.array([0.05, 0.08, 0.07, 0.30, 0.22, 0.12])


def write_scene(path: Path, water: np.ndarray, *, missing: np.ndarray | None = None, **more: Any) -> Path:
    """A six-band GeoTIFF, uint16 x 0.0001, with `water` (h, w) bool; `missing` pixels are 0, its no-data value."""
    reflectance = np.where(water[None], WATER[:, None, None], LAND[:, None, None])
    bands = np.round(reflectance * 10_000).astype(np.uint16)
    if missing is not None:
        bands[:, missing] = 0
    profile = {
        "driver": "GTiff", "height": water.shape[0], "width": water.shape[1], "count": 6, "dtype": "uint16",
        "crs": "EPSG:32630", "transform": Affine(30, 0, 300000, 0, -30, 6000000), "nodata": 0,
    }  # fmt: skip
    with rasterio.open(path, "w", **(profile | more)) as out:
        out.write(bands[: out.count])
        for number, name in enumerate(BANDS[: out.count], start=1):
            out.set_band_description(number, name)
        out.scales = (0.0001,) * out.count
        out.offsets = (0.0,) * out.count
    return path


def pond(height: int = 60, width: int = 80) -> np.ndarray:
    """A round pond of a few hundred pixels and a puddle of four."""
    y, x = np.mgrid[:height, :width]
    water = (y - height / 2) ** 2 + (x - width / 3) ** 2 < (min(height, width) / 4) ** 2
    water[3:5, width - 6 : width - 4] = True
    return water


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    return write_scene(tmp_path / "pond.tif", pond())


@pytest.fixture
def index_network(tmp_path: Path) -> str:
    """MODEL of a network that is a linear water index (AWEInsh, facts of the field): logits."""
    path = tmp_path / "index.py"
    path.write_text(
        textwrap.dedent(
            """
            import torch
            from torch import nn

            def awei():
                model = nn.Sequential(nn.Conv2d(6, 1, 1, bias=False))
                weights = torch.tensor([0.0, 4.0, 0.0, -0.25, -4.0, -2.75])
                model[0].weight.data = 50 * weights.reshape(1, 6, 1, 1)
                return model

            def dark():
                model = nn.Conv2d(6, 1, 1, bias=False)
                model.weight.data = 50 * torch.tensor([0.0, 0.0, 0.0, -2.0, 0.1, 0.1]).reshape(1, 6, 1, 1)
                return model

            def pooled():
                return nn.Sequential(nn.Conv2d(6, 1, 1), nn.InstanceNorm2d(1))

            def shrinking():
                return nn.Conv2d(6, 1, 3)

            def two_channels():
                return nn.Conv2d(6, 2, 1)
            """
        )
    )
    return f"{path}:awei"


@pytest.fixture
def narrows_water(index_network: str) -> Any:
    """Calls `narrows water` with the index network."""

    def call(*arguments: Any) -> Result:
        given = [str(argument) for argument in arguments]
        if "--model" not in given:
            given += ["--model", index_network, "--gives", "logits"]
        return CliRunner().invoke(narrows, ["water", *given])

    return call
