"""Nearest neighbours among the embeddings, by the measure that the retrieval is scored with."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sarpipe.sphere import EARTH_KM, on_sphere
from sarpipe.standard import Standard

_BLOCK = 256
_CANDIDATES = 4
"""So many times as many are looked at exactly: float32 does not resolve which of near-duplicates is nearer."""


def nearest(vectors: NDArray[np.float32], count: int) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """The places most similar to each, most similar first, by the cosine of the standardised vectors.

    As in `sarpipe.evaluate.retrieval.ranks`, every dimension is first standardised over all places. A vector that
    is all zero then is similar to none (0). Ties go to the first row.

    Args:
        vectors: ``[N, D]``, finite.
        count: How many; at most N - 1 are found.

    Returns:
        Their rows ``[N, K]`` and cosine similarities ``float64 [N, K]``.
    """
    standard = Standard.of(vectors)(vectors)
    length = np.linalg.norm(standard, axis=1, keepdims=True)
    unit = standard / np.where(length > 0, length, 1)
    coarse = unit.astype(np.float32)
    count = min(count, len(unit) - 1)
    wide = min(_CANDIDATES * count, len(unit) - 1)
    rows = np.empty((len(unit), count), np.intp)
    similarity = np.empty((len(unit), count))
    for start in range(0, len(unit) if count else 0, _BLOCK):
        own = np.arange(start, min(start + _BLOCK, len(unit)))
        product = coarse[own] @ coarse.T
        product[np.arange(len(own)), own] = -np.inf
        found = np.sort(np.argpartition(product, -wide, axis=1)[:, -wide:], axis=1)
        exact = np.einsum("nd,nkd->nk", unit[own], unit[found])
        order = np.argsort(-exact.round(12), axis=1, kind="stable")[:, :count]
        rows[own] = np.take_along_axis(found, order, axis=1)
        similarity[own] = np.take_along_axis(exact, order, axis=1)
    return rows, similarity


def distances_km(
    latitude: NDArray[np.float64], longitude: NDArray[np.float64], rows: NDArray[np.intp]
) -> NDArray[np.float64]:
    """How far it is over the ground from each place (``[N]`` degrees) to others (``[N, K]``); NaN where not known."""
    points = on_sphere(latitude, longitude)
    chord = np.linalg.norm(points[:, None] - points[rows], axis=2)
    distance: NDArray[np.float64] = 2 * EARTH_KM * np.arcsin(np.minimum(chord / 2, 1))
    return distance
