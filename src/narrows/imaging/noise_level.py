"""How noisy an image is, estimated from the image alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["NoiseLevel"]

_BINS = 4096
_WIDEST = 0.5


class NoiseLevel:
    """The spread of white noise, by the median of the finest diagonal Haar details, rows given from the top.

    Donoho and Johnstone, "Ideal spatial adaptation by wavelet shrinkage", Biometrika 1994: most of a natural image's
    details are noise, so their median magnitude over 0.6745 is its spread. Fine texture makes it too high, clipping too
    low. The details are counted in a histogram, so that an image of any height can be given.
    """

    def __init__(self) -> None:
        self._counts = np.zeros(_BINS, np.int64)
        self._left: NDArray[np.float32] | None = None

    def add(self, rows: NDArray[np.float32]) -> None:
        """Take rows (channels, n, width), values 0 to 1, that follow those given before."""
        if self._left is not None:
            rows = np.concatenate([self._left, rows], 1)
        whole = rows.shape[1] // 2 * 2
        self._left = rows[:, whole:].copy() if whole < rows.shape[1] else None
        width = rows.shape[2] // 2 * 2
        pairs = rows[:, :whole, :width]
        across = pairs[:, :, ::2] - pairs[:, :, 1::2]
        detail = np.abs(across[:, ::2] - across[:, 1::2]) / 2
        places = np.minimum(detail * np.float32(_BINS / _WIDEST), _BINS - 1).astype(np.int64)
        self._counts += np.bincount(places.ravel(), minlength=_BINS)

    @property
    def sigma(self) -> float:
        """The spread, of values 0 to 1; 0 where the image is a row or a column."""
        total = self._counts.sum()
        if not total:
            return 0.0
        below = np.cumsum(self._counts)
        at = int(np.searchsorted(below, total / 2))
        inside = (total / 2 - (below[at] - self._counts[at])) / self._counts[at]
        # An image without noise has its details in the lowest bin: they are 0, not half a bin.
        median = 0.0 if at == 0 else (at + inside) * _WIDEST / _BINS
        return float(median / 0.6744897501960817)
