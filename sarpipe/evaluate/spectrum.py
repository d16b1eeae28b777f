"""How many directions the vectors use."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


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
    singular = np.linalg.svd(vectors.astype(np.float64), compute_uv=False)
    share = singular / singular.sum()
    share = share[share > 0]
    return float(np.exp(-(share * np.log(share)).sum()))
