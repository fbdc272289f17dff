"""Map the water of a scene in Python: xarray in, xarray out. The scene is simulated, so the truth is known."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import rasterio
import rioxarray
import xarray
from simulate_scene import write_scene

from narrows.water import map_water


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_scene(folder / "scene.tif", 384, 512, seed=7, truth=folder / "truth.tif")

        # A path gives files; see `narrows water --help` for all of them.
        result = map_water(folder / "scene.tif", folder / "water.tif", quicklook=folder / "water.png", memory="2GB")
        print(result.statistics.line())

        # xarray gives xarray.
        scene = rioxarray.open_rasterio(folder / "scene.tif", mask_and_scale=True)
        assert isinstance(scene, xarray.DataArray)
        water = map_water(scene)
        assert isinstance(water, xarray.DataArray)

        with rasterio.open(folder / "truth.tif") as truth:
            agreement = float(np.mean((water.values.squeeze() == 1) == (truth.read(1) == 1)))
        print(f"{agreement:.1%} of the pixels agree with the simulated truth")


if __name__ == "__main__":
    main()
