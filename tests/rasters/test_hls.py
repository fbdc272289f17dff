"""HLS folders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.builders.hls import GRANULES, make_granule

from narrows.errors import InputError
from narrows.rasters import SENSORS, open_scene


@pytest.mark.parametrize("kind", ["hls-l30", "hls-s30"])
@pytest.mark.parametrize("stated", [{}, {"scales": [0.0001], "offsets": [0.0]}])
def test_reflectance_and_fill(tmp_path: Path, write, numbers, kind: str, stated: dict[str, list[float]]) -> None:
    values = (numbers // 4).astype(np.int16)
    folder = make_granule(tmp_path / "h", write, numbers, kind, **stated)
    with open_scene(folder) as scene:
        assert scene.sensor.name == kind
        assert scene.name == GRANULES[kind]
        np.testing.assert_allclose(scene.read(0, 61).reflectance, values * 1e-4, atol=1e-6)
        assert scene.read_clouds(0, 5) is None
    code = SENSORS[kind].bands["red"]
    values[2, 8, 9] = -9999
    write(folder / f"{GRANULES[kind]}.{code}.tif", values[2], nodata=-9999, **stated)
    with open_scene(folder) as scene:
        assert list(zip(*np.nonzero(~scene.read(0, 61).observed), strict=True)) == [(8, 9)]


def test_fmask_bits(tmp_path: Path, write, numbers) -> None:
    fmask = np.zeros((61, 47), dtype=np.uint8)
    for bit in range(8):
        fmask[bit] = 1 << bit
    fmask[9] = 255
    with open_scene(make_granule(tmp_path / "h", write, numbers, "hls-s30", fmask)) as scene:
        clouds = scene.read_clouds(0, 61)
    assert clouds is not None
    assert sorted(set(np.nonzero(clouds)[0])) == [1, 2, 3]


def test_what_is_missing_is_named(tmp_path: Path, write, numbers) -> None:
    folder = make_granule(tmp_path / "h", write, numbers, "hls-s30")
    (folder / f"{GRANULES['hls-s30']}.B8A.tif").unlink()
    with pytest.raises(InputError, match=r"the nir band is missing: there is no HLS\.S30.*\.B8A\.tif"):
        open_scene(folder)
    make_granule(folder, write, numbers, "hls-l30")
    with pytest.raises(InputError, match="holds 2 HLS granules"):
        open_scene(folder)
