"""HLS granules: a GeoTIFF for each band, and Fmask."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from narrows.rasters import SENSORS

__all__ = ["GRANULES", "make_granule"]

GRANULES = {"hls-l30": "HLS.L30.T17SQT.2020001T155959.v2.0", "hls-s30": "HLS.S30.T17SQT.2020003T160651.v2.0"}


def make_granule(
    folder: Path,
    write: Callable[..., Path],
    numbers: NDArray[Any],
    kind: str,
    fmask: NDArray[np.uint8] | None = None,
    **profile: Any,
) -> Path:
    """`numbers` (6, rows, columns) are written divided by four, which makes reflectances of them."""
    for at, code in enumerate(SENSORS[kind].bands.values()):
        write(folder / f"{GRANULES[kind]}.{code}.tif", (numbers[at] // 4).astype(np.int16), nodata=-9999, **profile)
    if fmask is not None:
        write(folder / f"{GRANULES[kind]}.Fmask.tif", fmask, nodata=255)
    return folder
