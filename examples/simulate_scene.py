"""Write a simulated six-band scene as a GeoTIFF like those of Landsat Collection 2 (surface reflectance, uint16).

    python examples/simulate_scene.py scene.tif --size 2048x2048 --seed 7

Nothing in it is fitted to a place: relief, rivers, lakes and covers are drawn from the seed. ``--truth FILE`` also
writes which pixels are water. The scene is made and written by blocks of rows: a whole Landsat scene takes about 1 GB.
"""

from __future__ import annotations

import argparse
import tempfile
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from rasterio.windows import Window

from narrows.rasters import BANDS
from narrows.water.simulation import simulate_blocks

SCALE, OFFSET, FILL = 2.75e-5, -0.2, 0
BLOCK = 256


def write_scene(path: Path, height: int, width: int, seed: int, truth: Path | None = None) -> None:
    """A scene of (6, height, width) and, if asked for, its true water mask (uint8, 1 water)."""
    grid = {
        "driver": "GTiff",
        "height": height,
        "width": width,
        "crs": "EPSG:32633",
        "transform": Affine(30.0, 0.0, 399_960.0, 0.0, -30.0, 4_900_020.0),
        "compress": "deflate",
        "tiled": True,
        "blockxsize": BLOCK,
        "blockysize": BLOCK,
    }
    with ExitStack() as files:
        scene = files.enter_context(
            rasterio.open(path, "w", count=6, dtype="uint16", nodata=FILL, predictor=2, interleave="band", **grid)
        )
        scene.descriptions = BANDS
        scene.scales, scene.offsets = (SCALE,) * 6, (OFFSET,) * 6
        mask = files.enter_context(rasterio.open(truth, "w", count=1, dtype="uint8", **grid)) if truth else None
        top = 0
        for reflectance, water in simulate_blocks(height, width, seed, rows=BLOCK):
            rows = reflectance.shape[1]
            window = Window(0, top, width, rows)
            numbers = np.clip(np.rint((reflectance - OFFSET) / SCALE), 1, 65_535)
            scene.write(numbers.astype(np.uint16), window=window)
            if mask is not None:
                mask.write(water, 1, window=window)
            top += rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path, nargs="?", help="the GeoTIFF; a temporary one if left out")
    parser.add_argument("--size", default="512x512", metavar="HxW")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--truth", type=Path, metavar="FILE")
    chosen = parser.parse_args()
    height, _, width = chosen.size.partition("x")
    with tempfile.TemporaryDirectory() as folder:
        output = chosen.output or Path(folder) / "scene.tif"
        output.parent.mkdir(parents=True, exist_ok=True)
        write_scene(output, int(height), int(width), chosen.seed, chosen.truth)
        size = output.stat().st_size / 1e6
        print(
            f"{output}: {height} x {width} pixels of 30 m, six bands, {size:.1f} MB, simulated from seed {chosen.seed}"
        )


if __name__ == "__main__":
    main()
