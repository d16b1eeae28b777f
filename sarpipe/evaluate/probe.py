"""Linear probe: how well a ridge regression reads a target from the vectors, on places that it has not seen."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from sarpipe.evaluate.estimate import Estimate
from sarpipe.evaluate.neighbours import folds
from sarpipe.standard import Standard

FOLDS = 5
PENALTIES = np.logspace(-6, 4, 21)
"""From hardly any penalty to the mean of the training places, for features whose squares sum to 1 on average."""

_SMALL = 2000


def predict(
    vectors: NDArray[np.floating], targets: NDArray[np.float64], groups: NDArray[np.intp], seed: int
) -> NDArray[np.float64]:
    """Out-of-fold predictions ``[N, T]`` of ridge regressions, nested and blocked.

    Each fold is predicted by regressions on the others. Standardisation and, for each target, the penalty are learned
    on these others alone, the penalty by cross-validation within them, blocked as well. Folds depend on groups
    and seed and not on the vectors: all methods are probed on the same.

    Args:
        vectors: Features ``[N, D]``.
        targets: ``[N, T]``, finite.
        groups: ``[N]``, at least two; a group is never on both sides of a split.
        seed: For the dealing of groups to folds.
    """
    (predicted,) = read_all(vectors, [vectors], targets, groups, seed)
    return predicted


def read_all(
    vectors: NDArray[np.floating],
    others: Sequence[NDArray[np.floating]],
    targets: NDArray[np.float64],
    groups: NDArray[np.intp],
    seed: int,
) -> list[NDArray[np.float64]]:
    """As `predict`, but what the probes learn from ``vectors`` is read from other vectors ``[N, D]`` of each place."""
    fold = folds(groups, FOLDS, (seed,))
    predicted = [np.empty_like(targets) for _ in others]
    for number in range(fold.max() + 1):
        test = fold == number
        read = _read_fold(vectors, others, targets, groups, test, (seed, number))
        for found, part in zip(predicted, read, strict=True):
            found[test] = part
    return predicted


def predict_fold(
    vectors: NDArray[np.floating],
    targets: NDArray[np.float64],
    groups: NDArray[np.intp],
    test: NDArray[np.bool_],
    seed: tuple[int, ...],
) -> NDArray[np.float64]:
    """Predictions of the places of one fold, ``test [N]``, from the others; as `predict`."""
    (predicted,) = _read_fold(vectors, [vectors], targets, groups, test, seed)
    return predicted


@cache
def _libraries() -> ThreadpoolController:
    """The libraries of this process that have threads: to look for them takes as long as a small fold."""
    return ThreadpoolController()


def _read_fold(
    vectors: NDArray[np.floating],
    others: Sequence[NDArray[np.floating]],
    targets: NDArray[np.float64],
    groups: NDArray[np.intp],
    test: NDArray[np.bool_],
    seed: tuple[int, ...],
) -> list[NDArray[np.float64]]:
    # Matrices are small: more threads would wait for each other longer than they compute.
    with _libraries().limit(limits=1 if len(vectors) < _SMALL else None, user_api="blas"):
        penalty = _penalties(vectors[~test], targets[~test], groups[~test], seed)
        path = _ridge(vectors[~test], targets[~test], np.concatenate([other[test] for other in others]))
    chosen: NDArray[np.float64] = np.take_along_axis(path, penalty[None, None, :], axis=0)[0]
    return np.split(chosen, len(others))


def r_squared(
    targets: NDArray[np.float64], predicted: NDArray[np.float64], weights: NDArray[np.float64]
) -> list[Estimate]:
    """R² of each target, ``1 - squared error / squared deviation from the mean``; below 0 is worse than the mean.

    The mean is that of all places, also on a resample: few blocks vary less about their own mean, by a share of one
    over their number, and every R² would come out lower, of a worse method more so.

    The bootstrap resamples places with their predictions: the intervals hold the chance in the choice of test places,
    and not that of training the probe or the encoder. Resamples in which a target does not vary are left out for all.

    Args:
        targets: ``[N, T]``, none constant.
        predicted: ``[N, T]``.
        weights: Resamples ``[R, N]``.
    """
    # The first row is the sample itself.
    weights = np.concatenate([np.ones((1, len(targets))), weights])
    centred = targets - targets.mean(axis=0)
    total = weights.sum(axis=1, keepdims=True)
    variance = weights @ centred**2 / total
    error = weights @ (targets - predicted) ** 2 / total
    varies = (variance > 1e-9 * variance[0]).all(axis=1)
    scores = 1 - error[varies] / variance[varies]
    return [Estimate(float(score[0]), score[1:] if len(score) > 1 else score) for score in scores.T]


def mean(estimates: list[Estimate]) -> Estimate:
    """The mean of paired estimates."""
    values, samples = [e.value for e in estimates], [e.samples for e in estimates]
    return Estimate(float(np.mean(values)), np.mean(samples, axis=0))


def _penalties(
    vectors: NDArray[np.floating], targets: NDArray[np.float64], groups: NDArray[np.intp], seed: tuple[int, ...]
) -> NDArray[np.intp]:
    """The position in `PENALTIES` with the least squared error within these places, for each target ``[T]``."""
    if len(np.unique(groups)) < 2:
        # One group is left to learn from: to choose a penalty it may be split, no test place is in it.
        groups = np.arange(len(groups))
    fold = folds(groups, FOLDS, seed)
    error = np.zeros((len(PENALTIES), targets.shape[1]))
    for number in range(fold.max() + 1):
        test = fold == number
        path = _ridge(vectors[~test], targets[~test], vectors[test])
        error += np.square(path - targets[test]).sum(axis=1)
    best: NDArray[np.intp] = error.argmin(axis=0)
    return best


def _ridge(
    train: NDArray[np.floating], targets: NDArray[np.float64], test: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Predictions of the test places with every penalty: ``[P, n_test, T]`` (Hastie et al., 2009, section 3.4.1)."""
    standard = Standard.of(train)
    # Divided by the root of their number, features of any dimension meet the same penalty with the same total.
    width = np.sqrt(train.shape[1])
    x, x_test = standard(train) / width, standard(test) / width
    centre = targets.mean(axis=0)
    y = targets - centre
    # The eigenvectors of the smaller Gram matrix serve all penalties and targets at once.
    if len(x) <= x.shape[1]:
        gram, right, left = x @ x.T, y, x_test @ x.T
    else:
        gram, right, left = x.T @ x, x.T @ y, x_test
    eigenvalues, vectors = np.linalg.eigh(gram)
    shrunk = (vectors.T @ right) / (np.maximum(eigenvalues, 0)[:, None] + PENALTIES[:, None, None])
    path: NDArray[np.float64] = centre + (left @ vectors) @ shrunk
    return path
