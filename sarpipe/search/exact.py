"""Exact search: every place is compared."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

_BLOCK = 16_384
"""Rows that are read at a time: 64 MB."""
_QUERIES = 64
"""Queries at a time: 64 MB of similarities to 250,000 places."""


class Rows(Protocol):
    """Directions ``float32 [N, D]``: an array, or rows that are read when they are asked for."""

    @property
    def shape(self) -> tuple[int, ...]:
        """``(N, D)``."""

    def __getitem__(self, which: Any, /) -> NDArray[np.float32]:
        """The rows of a slice, or at these positions."""


def exact(
    gallery: Rows, queries: NDArray[np.float32], k: int, allowed: NDArray[np.bool_] | None = None
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """The k nearest directions to each query, the most similar first; what is equally similar in the order of rows.

    A float32 product says which rows may be among the k; these are compared again in float64, as near-duplicates are
    closer than float32 resolves. No row that belongs to the k is missed.

    Args:
        gallery: Directions ``float32 [N, D]``, of length 1 or 0.
        queries: Likewise ``[Q, D]``.
        k: How many; all that are allowed, if they are fewer.
        allowed: Which rows may be found, ``bool [N]`` or ``[Q, N]``; None: all.

    Returns:
        Rows ``[Q, k]``, and their cosine similarities ``[Q, k]``.
    """
    n, dimensions = gallery.shape
    masks = spread(allowed, len(queries), n)
    k = min(k, int(masks.sum(axis=1).min(initial=n)))
    rows, similarities = np.empty((len(queries), k), np.intp), np.empty((len(queries), k))
    # Two products of vectors of length 1 or less are each wrong by at most D roundings.
    margin = 2 * dimensions * np.finfo(np.float32).eps
    for start in range(0, len(queries) if k else 0, _QUERIES):
        part = slice(start, start + _QUERIES)
        rough = np.concatenate([queries[part] @ gallery[at : at + _BLOCK].T for at in range(0, n, _BLOCK)], axis=1)
        rough[~masks[part]] = -np.inf
        for i, similarity in enumerate(rough, start):
            least = np.partition(similarity, n - k)[n - k] - margin
            rows[i], similarities[i] = best(gallery, queries[i], np.flatnonzero(similarity >= least), k)
    return rows, similarities


def best(
    gallery: Rows, query: NDArray[np.float32], candidates: NDArray[np.intp], k: int
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """The k most similar of the rows that are named, in ascending order, to one query ``[D]``, in float64."""
    wide = query.astype(np.float64)
    # Row by row and not as a product of matrices, whose last bit differs with a row's position: equal rows are equal.
    parts = [(gallery[candidates[at : at + _BLOCK]] * wide).sum(axis=1) for at in range(0, len(candidates), _BLOCK)]
    similarity = np.concatenate(parts)
    order = np.argsort(-similarity, kind="stable")[:k]
    return candidates[order], np.clip(similarity[order], -1, 1)


def spread(allowed: NDArray[np.bool_] | None, queries: int, n: int) -> NDArray[np.bool_]:
    """Which rows each query may find, ``[Q, N]``."""
    return np.broadcast_to(np.True_ if allowed is None else allowed, (queries, n))
