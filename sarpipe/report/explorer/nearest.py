"""Nearest neighbours of every place among the embeddings: what a search for it finds."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sarpipe.search.direction import directions
from sarpipe.search.exact import exact
from sarpipe.standard import Standard

_BLOCK = 64


def nearest(vectors: NDArray[np.float32], count: int) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """The places most similar to each, most similar first: `sarpipe.search.exact.exact`, without the place itself.

    Args:
        vectors: ``[N, D]``, finite.
        count: How many; at most N - 1 are found.

    Returns:
        Their rows ``[N, K]`` and cosine similarities ``float64 [N, K]``.
    """
    found = directions(vectors, Standard.of(vectors))
    n = len(found)
    count = min(count, n - 1)
    rows, similarity = np.empty((n, count), np.intp), np.empty((n, count))
    for start in range(0, n if count else 0, _BLOCK):
        own = np.arange(start, min(start + _BLOCK, n))
        others = own[:, None] != np.arange(n)
        rows[own], similarity[own] = exact(found, found[own], count, others)
    return rows, similarity
