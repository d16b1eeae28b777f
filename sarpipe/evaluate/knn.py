"""Nearest-neighbour probe: a target is the mean of those of the most similar places, with nothing to choose."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sarpipe.evaluate.neighbours import folds
from sarpipe.evaluate.probe import FOLDS
from sarpipe.standard import Standard

NEIGHBOURS = (5, 20)
_ROWS = 1024


def predict(
    vectors: NDArray[np.floating], targets: NDArray[np.float64], groups: NDArray[np.intp], seed: int
) -> dict[int, NDArray[np.float64]]:
    """Out-of-fold predictions ``[N, T]`` for each of `NEIGHBOURS`, on the folds of `sarpipe.evaluate.probe.predict`.

    Similarity is the cosine of vectors whose dimensions the training places have standardised, in float64.

    Args:
        vectors: Features ``[N, D]``.
        targets: ``[N, T]``, finite.
        groups: ``[N]``, at least two; a group is never on both sides of a split.
        seed: For the dealing of groups to folds.
    """
    fold = folds(groups, FOLDS, (seed,))
    predicted = {k: np.empty_like(targets) for k in NEIGHBOURS}
    for number in range(fold.max() + 1):
        train, test = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        standard = Standard.of(vectors[train])
        known = unit(standard(vectors[train]))
        for start in range(0, len(test), _ROWS):
            rows = test[start : start + _ROWS]
            similarity = unit(standard(vectors[rows])) @ known.T
            # Stable: of equally similar places the first count, on every machine.
            nearest = np.argsort(-similarity, axis=1, kind="stable")[:, : max(NEIGHBOURS)]
            for k in NEIGHBOURS:
                predicted[k][rows] = targets[train[nearest[:, :k]]].mean(axis=1)
    return predicted


def unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Vectors ``[N, D]`` of length 1; what is 0 stays 0."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(length > 0, length, 1)
