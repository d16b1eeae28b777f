"""Same place, other dates: is a place found again from two of its dates among all places at the two others?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sarpipe.evaluate.blocks import BLOCK_KM
from sarpipe.evaluate.estimate import Estimate
from sarpipe.evaluate.neighbours import CLUSTER_KM, near_pairs
from sarpipe.standard import Standard, unit

QUERY_DATES, GALLERY_DATES = (0, 2), (1, 3)

_BLOCK = 1024
_PAIRS = 4096
_TIE = 1e-12


def ranks(
    query: NDArray[np.floating],
    gallery: NDArray[np.floating],
    only: NDArray[np.bool_] | None = None,
    standard: Standard | None = None,
) -> NDArray[np.intp]:
    """The rank of place i of the gallery for query i, by cosine similarity; 1 is found at once.

    Every dimension is first standardised over queries and gallery together. Without this, the cosine of band
    statistics would be that of their largest unit (grey levels against dB), and the cosine of an encoder that of the
    mean which all its vectors share. The rule knows no labels and is the same for every method. All in float64, since
    near-duplicates are closer than float32 resolves. Ties count against: what is equally similar is ranked before.

    Args:
        query: ``[N, D]``.
        gallery: ``[N, D]``, in the same order.
        only: Whose ranks are asked for, ``[N]``; None: all.
        standard: How to standardise them instead.
    """
    standard = standard or Standard.of(np.concatenate([query, gallery]))
    query, gallery = unit(standard(query)), unit(standard(gallery))
    asked = np.arange(len(query)) if only is None else np.flatnonzero(only)
    found = np.empty(len(asked), np.intp)
    for start in range(0, len(asked), _BLOCK):
        rows = asked[start : start + _BLOCK]
        similarity = query[rows] @ gallery.T
        own = similarity[np.arange(len(rows)), rows]
        # Equal vectors may differ in the last bit of the product, hence the margin; the place itself is among these.
        found[start : start + _BLOCK] = (similarity >= own[:, None] - _TIE).sum(axis=1)
    return found


def ranks_among_neighbours(
    query: NDArray[np.floating],
    gallery: NDArray[np.floating],
    latitude: NDArray[np.float64],
    longitude: NDArray[np.float64],
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """As `ranks`, but each place among those 5 to 50 km from it alone, which share its climate and its orbits.

    Args:
        query: ``[N, D]``.
        gallery: ``[N, D]``, in the same order.
        latitude: ``[N]`` degrees, NaN unknown: such a place is in no pool.
        longitude: Likewise.

    Returns:
        Ranks ``[N]``, and how many neighbours each has ``[N]``; a place without any has rank 1, and is no query.
    """
    pairs = near_pairs(latitude, longitude, BLOCK_KM)
    too_near = near_pairs(latitude, longitude, CLUSTER_KM)
    n = len(query)
    codes = pairs.min(axis=1) * n + pairs.max(axis=1)
    pairs = pairs[~np.isin(codes, too_near.min(axis=1) * n + too_near.max(axis=1))]
    first, second = np.concatenate([pairs, pairs[:, ::-1]]).T
    standard = Standard.of(np.concatenate([query, gallery]))
    query, gallery = unit(standard(query)), unit(standard(gallery))
    own = (query * gallery).sum(axis=1)
    similarity = np.empty(len(first))
    for start in range(0, len(first), _PAIRS):
        part = slice(start, start + _PAIRS)
        similarity[part] = (query[first[part]] * gallery[second[part]]).sum(axis=1)
    before = np.bincount(first, similarity >= own[first] - _TIE, n).astype(np.intp)
    return before + 1, np.bincount(first, minlength=n)


def measures(found: NDArray[np.intp] | NDArray[np.float64], weights: NDArray[np.float64]) -> dict[str, Estimate]:
    """Recall at 1, 5 and 10, and mean reciprocal rank.

    Args:
        found: Ranks ``[N]``.
        weights: Resamples ``[R, N]``.
    """
    scores = {f"recall_at_{k}": (found <= k).astype(np.float64) for k in (1, 5, 10)} | {"mrr": 1 / found}
    total = weights.sum(axis=1)
    return {name: Estimate(float(score.mean()), weights @ score / total) for name, score in scores.items()}
