"""The order of places along a Hilbert curve: neighbours on the ground become neighbours in the file."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_ORDER = 16
"""65,536 cells a side: 610 m at the equator."""


def hilbert_distance(longitude: NDArray[np.float64], latitude: NDArray[np.float64]) -> NDArray[np.int64]:
    """How far along the Hilbert curve over the whole globe each point lies (Hilbert 1891; Warren, *Hacker's Delight*).

    Args:
        longitude: ``[N]`` degrees, -180 to 180.
        latitude: ``[N]`` degrees, -90 to 90.

    Returns:
        ``int64 [N]``, 0 to 2**32 - 1.
    """
    side = 1 << _ORDER
    x = np.clip((longitude + 180) / 360 * side, 0, side - 1).astype(np.int64)
    y = np.clip((latitude + 90) / 180 * side, 0, side - 1).astype(np.int64)
    distance = np.zeros_like(x)
    for level in range(_ORDER - 1, -1, -1):
        right, upper = x >> level & 1, y >> level & 1
        distance += ((3 * right) ^ upper) << (2 * level)
        # Below, the curve is turned in the quadrant at the lower left and mirrored in the one at the lower right.
        mirrored = (upper == 0) & (right == 1)
        x, y = np.where(mirrored, side - 1 - x, x), np.where(mirrored, side - 1 - y, y)
        x, y = np.where(upper == 0, y, x), np.where(upper == 0, x, y)
    return distance
