"""Nearest-neighbour probe: a target is the mean of those of the most similar places, with nothing to choose."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sarpipe.evaluate.neighbours import folds
from sarpipe.evaluate.probe import FOLDS
from sarpipe.standard import Standard, unit

NEIGHBOURS = (5, 20)
KINDS = ("5", "20", "5 L2", "20 L2")
"""The probes: so many neighbours by the cosine, or by the Euclidean distance."""
_ROWS = 1024


def predict(
    vectors: NDArray[np.floating], targets: NDArray[np.float64], groups: NDArray[np.intp], seed: int
) -> dict[str, NDArray[np.float64]]:
    """Out-of-fold predictions ``[N, T]`` for each of `KINDS`, on the folds of `sarpipe.evaluate.probe.predict`.

    Similarity is that of vectors whose dimensions the training places have standardised, in float64.

    Args:
        vectors: Features ``[N, D]``.
        targets: ``[N, T]``, finite.
        groups: ``[N]``, at least two; a group is never on both sides of a split.
        seed: For the dealing of groups to folds.
    """
    fold = folds(groups, FOLDS, (seed,))
    predicted = {kind: np.empty_like(targets) for kind in KINDS}
    for number in range(fold.max() + 1):
        for kind, found in predict_fold(vectors, targets, fold == number).items():
            predicted[kind][fold == number] = found
    return predicted


def predict_fold(
    vectors: NDArray[np.floating], targets: NDArray[np.float64], test: NDArray[np.bool_]
) -> dict[str, NDArray[np.float64]]:
    """Predictions of the places of one fold, ``test [N]``, from the others; as `predict`."""
    train = np.flatnonzero(~test)
    standard = Standard.of(vectors[train])
    known, asked = standard(vectors[train]), standard(vectors[test])
    parts: dict[str, list[NDArray[np.float64]]] = {kind: [] for kind in KINDS}
    for start in range(0, len(asked), _ROWS):
        rows = asked[start : start + _ROWS]
        cosine = unit(rows) @ unit(known).T
        # Less the length of the query, which is the same for all of its candidates.
        closeness = 2 * rows @ known.T - np.square(known).sum(axis=1)
        for suffix, similarity in (("", cosine), (" L2", closeness)):
            # Stable: of equally similar places the first count, on every machine.
            nearest = np.argsort(-similarity, axis=1, kind="stable")[:, : max(NEIGHBOURS)]
            for k in NEIGHBOURS:
                parts[f"{k}{suffix}"].append(targets[train[nearest[:, :k]]].mean(axis=1))
    return {kind: np.concatenate(found) for kind, found in parts.items()}
