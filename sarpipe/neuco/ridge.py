"""The probe without an early stop: ridge regression, its penalty chosen on the places it learns from alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from sarpipe.neuco import metric
from sarpipe.neuco.labels import Kind
from sarpipe.neuco.protocol import splits
from sarpipe.standard import Standard

PENALTIES = np.logspace(-2, 7, 19)


def ridge(
    vectors: NDArray[np.float32], labels: NDArray[np.float64], kind: Kind, on_fold: Callable[[], None]
) -> NDArray[np.float64]:
    """R² or F1 on the test fold of each of the protocol's splits, ``float64 [40]``.

    Dimensions are standardised and the penalty is chosen, by leaving out one place at a time, on the training fold:
    no test place has a say. A classification is a regression on 0 and 1, decided at 0.5.

    Args:
        vectors: ``[N, D]``.
        labels: ``[N]``, 0 to 1.
        kind: Of the task.
        on_fold: Called after each.
    """
    split = splits(len(labels))
    scores = []
    for train, test in zip(split.train, split.test, strict=True):
        standard = Standard.of(vectors[train])
        predicted = fit(standard(vectors[train]), labels[train], standard(vectors[test]))[None]
        truth = labels[test][None]
        score = metric.r_squared(predicted, truth) if kind == "regr" else metric.f1_of(predicted > 0.5, truth)
        scores.append(score[0])
        on_fold()
    return np.array(scores)


def fit(x: NDArray[np.float64], y: NDArray[np.float64], test: NDArray[np.float64]) -> NDArray[np.float64]:
    """Predict test places ``[n_test]`` by the ridge regression whose penalty has the least squared error on the left
    out, one place at a time: in closed form (Golub, Heath and Wahba, 1979).

    Args:
        x: ``[n, D]``, each dimension with mean 0.
        y: ``[n]``.
        test: ``[n_test, D]``.
    """
    centre = y.mean()
    wide = x.shape[0] <= x.shape[1]
    # The eigenvectors of the smaller Gram matrix serve all penalties.
    eigenvalues, vectors = np.linalg.eigh(x @ x.T if wide else x.T @ x)
    kept = eigenvalues > 1e-10 * eigenvalues[-1]
    eigenvalues, vectors = eigenvalues[kept], vectors[:, kept]
    root = np.sqrt(eigenvalues)
    left = vectors if wide else x @ vectors / root
    along = left.T @ (y - centre)
    shrink = eigenvalues / (eigenvalues + PENALTIES[:, None])
    error = y - centre - (shrink * along) @ left.T
    leverage = shrink @ (left**2).T + 1 / len(y)
    best = ((error / (1 - leverage)) ** 2).sum(axis=1).argmin()
    coefficients = shrink[best] * along / root
    right = x.T @ (vectors @ (coefficients / root)) if wide else vectors @ coefficients
    predicted: NDArray[np.float64] = centre + test @ right
    return predicted
