"""Same class, another block: are the nearest of a place of its kind?"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sarpipe.standard import Standard, unit

NEAREST = 10
SHARE = "fraction_"
"""What columns of the truth that are shares of classes begin with."""
_ROWS = 1024


def dominant(truth: pd.DataFrame | None, ids: list[str]) -> NDArray[np.intp] | None:
    """The class with the largest share of each place ``[N]``, -1 unknown; None where the truth has no shares."""
    if truth is None:
        return None
    shares = truth.set_index("id").filter(regex=f"^{SHARE}").reindex(ids).to_numpy(np.float64)
    if shares.shape[1] < 2:
        return None
    known = np.isfinite(shares).all(axis=1)
    return np.where(known, np.where(known[:, None], shares, 0).argmax(axis=1), -1)


def precision(
    vectors: NDArray[np.floating], classes: NDArray[np.intp], groups: NDArray[np.intp]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Precision at 10: the share of the ten nearest places of other blocks that are of a place's class.

    By cosine, dimensions standardised over all places. Places of the same block are no candidates, or geography would
    find the class.

    Args:
        vectors: ``[N, D]``.
        classes: ``[N]``.
        groups: Blocks ``[N]``.

    Returns:
        Precision ``[N]``, and what chance gives: the share of the class among the candidates ``[N]``. NaN where a place
        has fewer than ten candidates.
    """
    values = unit(Standard.of(vectors)(vectors))
    found, chance = np.full((2, len(vectors)), np.nan)
    for start in range(0, len(vectors), _ROWS):
        rows = np.arange(start, min(start + _ROWS, len(vectors)))
        elsewhere = groups[rows, None] != groups
        similarity = np.where(elsewhere, values[rows] @ values.T, -np.inf)
        nearest = np.argsort(-similarity, axis=1, kind="stable")[:, :NEAREST]
        alike = classes[rows, None] == classes
        enough = elsewhere.sum(axis=1) >= NEAREST
        hits, candidates = np.take_along_axis(alike, nearest, axis=1).mean(axis=1), elsewhere.sum(axis=1)
        found[rows] = np.where(enough, hits, np.nan)
        chance[rows] = np.where(enough, (alike & elsewhere).sum(axis=1) / np.maximum(candidates, 1), np.nan)
    return found, chance
