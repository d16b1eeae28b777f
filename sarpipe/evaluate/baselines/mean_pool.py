"""Each channel as a small picture, after the manner of the Embed2Scale challenge's baseline, which pools raw bands."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

CELLS = 8


def mean_pool(cubes: NDArray[np.float32]) -> NDArray[np.float32]:
    """The mean of the valid pixels in each cell of an 8 x 8 grid, of each channel.

    Args:
        cubes: ``[N, C, H, W]``, H and W multiples of 8; NaN where there is no data.

    Returns:
        ``float32 [N, 64 C]``, channel by channel, row by row; NaN for a cell without any data.
    """
    n, channels, height, width = cubes.shape
    cells = cubes.reshape(n, channels, CELLS, height // CELLS, CELLS, width // CELLS)
    known = np.isfinite(cells)
    count = known.sum(axis=(3, 5))
    total = np.where(known, cells, 0).sum(axis=(3, 5), dtype=np.float64)
    mean = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return mean.reshape(n, channels * CELLS**2).astype(np.float32)
