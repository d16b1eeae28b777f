"""How many directions the vectors use."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_LIDAR_SHARE = 1e-4
"""As the authors' constant, which is added as it is."""


def rankme(vectors: NDArray[np.floating]) -> float | None:
    """RankMe: the exponential of the entropy of the normalised singular values (Garrido et al., ICML 2023).

    Between 1 and min(N, D), so with few places it says more of their number than of the encoder. Its authors compare
    runs of one method with it, and not methods with each other.

    Args:
        vectors: ``[N, D]``, finite; neither centred nor scaled, as in the paper.

    Returns:
        None for fewer than two vectors, and where all are 0.
    """
    if len(vectors) < 2 or not vectors.any():
        return None
    return _effective(np.linalg.svd(vectors.astype(np.float64), compute_uv=False))


def lidar(views: Sequence[NDArray[np.floating]]) -> float | None:
    """LiDAR: the effective rank of linear discriminant analysis, each place a class and each view of it a member
    (Thilak et al., ICLR 2024). It counts the directions that tell places from each other, and not those in which the
    views of a place differ, which RankMe counts too.

    What is added to the scatter within places is a share of its mean, so that the vectors' scale does not matter.

    Args:
        views: At least two, each ``[N, D]``, finite, the same places in the same order.

    Returns:
        Between 1 and min(N - 1, D); None where the views are too few to span all dimensions (the scatter within places
        has rank N (V - 1) at most), or do not differ.
    """
    n, d = views[0].shape
    if n < 2 or n * (len(views) - 1) < d:
        return None
    values = np.stack(views).astype(np.float64)
    centres = values.mean(axis=0)
    apart = (values - centres).reshape(-1, d)
    within = apart.T @ apart / len(apart)
    if not within.any():
        return None
    scale, axes = np.linalg.eigh(within + _LIDAR_SHARE * np.trace(within) / d * np.eye(d))
    whitened = (centres - centres.mean(axis=0)) @ (axes / np.sqrt(scale))
    return _effective(np.linalg.svd(whitened, compute_uv=False) ** 2)


def _effective(weights: NDArray[np.float64]) -> float:
    """The exponential of the entropy of these weights, which are not all 0."""
    share = weights / weights.sum()
    share = share[share > 0]
    return float(np.exp(-(share * np.log(share)).sum()))
