"""Products' own cloud masks, as 0 and 1."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from narrows.errors import InputError
from narrows.rasters.product import CloudKind

__all__ = ["hidden"]

# Landsat Collection 2 QA_PIXEL: bit 1 dilated cloud, 2 cirrus, 3 cloud, 4 cloud shadow.
_QA_PIXEL_BITS = 0b11110
# HLS v2 Fmask: bit 1 cloud, 2 adjacent to cloud or shadow, 3 cloud shadow (bit 0, cirrus, is reserved). 255 is fill.
_FMASK_BITS = 0b1110
_FMASK_FILL = 255
# Sentinel-2 scene classification: 3 cloud shadow, 8 and 9 cloud of medium and high probability, 10 thin cirrus.
_SCL_CLASSES = (3, 8, 9, 10)


def hidden(mask: NDArray[Any], kind: CloudKind) -> NDArray[np.uint8]:
    """1 where `mask` (n, m) says cloud, its margin or its shadow, 0 elsewhere and where it says nothing."""
    if mask.dtype.kind not in "ui":
        raise InputError(f"the cloud mask holds {mask.dtype.name} numbers, not bits or classes")
    if kind == "qa_pixel":
        # Fill (bit 0) carries no other meaning.
        return ((mask & _QA_PIXEL_BITS) != 0).astype(np.uint8) * ((mask & 1) == 0)
    if kind == "fmask":
        return (((mask & _FMASK_BITS) != 0) & (mask != _FMASK_FILL)).astype(np.uint8)
    return np.isin(mask, _SCL_CLASSES).astype(np.uint8)
