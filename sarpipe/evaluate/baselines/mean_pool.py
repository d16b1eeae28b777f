"""Each channel as a small picture, after the manner of the Embed2Scale challenge's baseline, which pools raw bands."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sarpipe.channels import EMBED_DIM
from sarpipe.evaluate.baselines.components import Components
from sarpipe.evaluate.encoded import Encode, known_mean
from sarpipe.standard import Standard

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


def whitened_mean_pool(cubes: NDArray[np.float32]) -> Encode:
    """Learn the principal components of `mean_pool`, without labels, on whose axes all measures see it whitened.

    Cells are first brought to mean 0 and deviation 1; what has no data is 0, the mean.

    Args:
        cubes: ``[N, C, H, W]`` to learn from, N at least 1; NaN where there is no data.

    Returns:
        Cubes to ``float32 [n, K]``, K = min(64 C, N - 1) or what the cells span, at most 1024.
    """
    pooled = mean_pool(cubes)
    mean = known_mean(pooled)
    standard = Standard.of(np.where(np.isfinite(pooled), pooled, mean))

    def scaled(cells: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.nan_to_num(standard(cells)).astype(np.float32)

    components = Components.of(scaled(pooled), EMBED_DIM)
    return lambda images: components(scaled(mean_pool(images)))
