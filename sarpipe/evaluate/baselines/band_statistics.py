"""The baseline that any embedding must beat: plain statistics of each channel (Corley et al., arXiv 2305.13456)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
"""From the least to the largest."""


def band_statistics(cubes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean, standard deviation and `QUANTILES` of each channel over its valid pixels.

    Args:
        cubes: ``[N, C, H, W]``; NaN where there is no data.

    Returns:
        ``float32 [N, 9 C]``: all means, all deviations, then the quantiles (linear between pixels); NaN for a channel
        without any data.
    """
    pixels = cubes.reshape(*cubes.shape[:2], -1)
    # NaN sorts to the end, so the first `count` are the valid pixels in order.
    ordered = np.sort(np.where(np.isfinite(pixels), pixels, np.nan), axis=-1)
    count = np.isfinite(ordered).sum(axis=-1)
    mean = _mean(ordered, count)
    std = np.sqrt(_mean(np.square(ordered - mean[..., None]), count))
    values = np.concatenate([mean, std, *(_quantile(ordered, count, share) for share in QUANTILES)], axis=1)
    return values.astype(np.float32)


def _mean(ordered: NDArray[np.floating], count: NDArray[np.intp]) -> NDArray[np.float64]:
    total = np.nansum(ordered, axis=-1, dtype=np.float64)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _quantile(ordered: NDArray[np.floating], count: NDArray[np.intp], share: float) -> NDArray[np.float64]:
    position = share * np.maximum(count - 1, 0)
    below = np.floor(position).astype(np.intp)
    above = np.minimum(below + 1, np.maximum(count - 1, 0))
    low, high = (np.take_along_axis(ordered, i[..., None], axis=-1)[..., 0].astype(np.float64) for i in (below, above))
    return low + (position - below) * (high - low)
