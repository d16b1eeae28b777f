"""Search in two steps: bits say which places may be near, and these are compared exactly."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sarpipe.search.exact import Rows, best, spread

CANDIDATES = 100
"""So many for each place that is asked for are compared exactly; docs/concepts.md has the recall of this."""
FEWEST_CANDIDATES = 1000
"""And at least so many, which costs a few milliseconds."""
_WORD = 64


def sign_bits(directions: NDArray[np.float32]) -> NDArray[np.uint64]:
    """The signs of directions ``[N, D]``, 64 dimensions a word: ``uint64 [ceil(D / 64), N]``.

    By words and not by places, so that a word of all places is compared in one pass. As directions are centred, a sign
    says on which side of the mean a place is.
    """
    n, dimensions = directions.shape
    padded = np.zeros((n, -(-dimensions // _WORD) * _WORD), np.bool_)
    np.greater(directions, 0, out=padded[:, :dimensions])
    return np.ascontiguousarray(np.packbits(padded, axis=1).view(np.uint64).T)


def binary(
    gallery: Rows,
    bits: NDArray[np.uint64],
    queries: NDArray[np.float32],
    k: int,
    allowed: NDArray[np.bool_] | None = None,
    *,
    candidates: int | None = None,
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """As `sarpipe.search.exact`, among the places whose signs differ least from those of the query.

    What it returns are cosine similarities, exact ones; a place may be missed whose signs differ more.

    Args:
        gallery: Directions ``float32 [N, D]``; only rows of candidates are read.
        bits: Their `sign_bits`.
        queries: Directions ``[Q, D]``.
        k: How many; all that are allowed, if they are fewer.
        allowed: Which rows may be found, ``bool [N]`` or ``[Q, N]``; None: all.
        candidates: How many are compared exactly; None: 100 k, and at least 1000.

    Returns:
        Rows ``[Q, k]``, and their cosine similarities ``[Q, k]``.
    """
    n = gallery.shape[0]
    masks = spread(allowed, len(queries), n)
    k = min(k, int(masks.sum(axis=1).min(initial=n)))
    count = max(CANDIDATES * k, FEWEST_CANDIDATES) if candidates is None else max(candidates, k)
    rows, similarities = np.empty((len(queries), k), np.intp), np.empty((len(queries), k))
    for i, (query, mask) in enumerate(zip(queries, masks, strict=True) if k else ()):
        distance = hamming(bits, sign_bits(query[None])[:, 0])
        distance[~mask] = np.iinfo(distance.dtype).max
        # Stable, so by radix: the order is that of rows where distances are equal, and takes 2 ms.
        chosen = np.argsort(distance, kind="stable")[: min(count, int(mask.sum()))]
        rows[i], similarities[i] = best(gallery, query, np.sort(chosen), k)
    return rows, similarities


def hamming(bits: NDArray[np.uint64], query: NDArray[np.uint64]) -> NDArray[np.uint16]:
    """In how many bits each place ``[W, N]`` differs from the query ``[W]``: ``[N]``."""
    distance = np.zeros(bits.shape[1], np.uint16)
    for words, word in zip(bits, query, strict=True):
        distance += np.bitwise_count(words ^ word)
    return distance
