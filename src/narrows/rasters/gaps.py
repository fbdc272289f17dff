"""The gaps of Landsat 7 ETM+ since its scan line corrector failed (31 May 2003), filled so that a network can work."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["GAP_REACH", "fill_gaps"]

# The gaps are up to 14 pixels wide across the scan lines, which lie within some 13 degrees of the image's rows.
GAP_REACH = 18


def fill_gaps(
    reflectance: NDArray[np.float32], observed: NDArray[np.bool_], start: int, stop: int
) -> NDArray[np.bool_]:
    """Fill rows [start, stop) of `reflectance` (bands, n, width) in place; returns where, (stop - start, width).

    The rule: a pixel that isn't observed, with observed pixels of its column both above and below it within `GAP_REACH`
    rows, gets the linear interpolation between the nearest two. Give that many rows around [start, stop) where the
    image has them. A pixel outside the scene's footprint has observed ones on one side at most and stays as it is.
    """
    height = observed.shape[0]
    rows, columns = np.nonzero(~observed[start:stop])
    filled = np.zeros((stop - start, observed.shape[1]), dtype=bool)
    if not rows.size:
        return filled
    index = np.arange(height, dtype=np.int32)[:, None]
    far = np.int32(4 * GAP_REACH + height)
    above = np.maximum.accumulate(np.where(observed, index, -far), axis=0)
    below = np.minimum.accumulate(np.where(observed, index, far)[::-1], axis=0)[::-1]
    at = rows + start
    upper, lower = above[at, columns], below[at, columns]
    inside = (at - upper <= GAP_REACH) & (lower - at <= GAP_REACH)
    at, columns, upper, lower = at[inside], columns[inside], upper[inside], lower[inside]
    weight = ((at - upper) / (lower - upper)).astype(np.float32)
    reflectance[:, at, columns] = (
        reflectance[:, upper, columns] * (1 - weight) + reflectance[:, lower, columns] * weight
    )
    filled[at - start, columns] = True
    return filled
