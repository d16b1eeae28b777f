"""What a probe's predictions are scored by: R² and F1 as torchmetrics computes them, which NeuCo-Bench uses."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_NOTHING = 1e-4
"""Sums of squares up to here are taken as 0."""


def r_squared(predicted: NDArray[np.floating], labels: NDArray[np.floating]) -> NDArray[np.float64]:
    """R² of each row of ``[K, N]``; 1 where nothing is left to explain, 0 where the labels of a row do not vary."""
    y, error = labels.astype(np.float64), (predicted.astype(np.float64) - labels) ** 2
    residual = error.sum(axis=1)
    total = ((y - y.mean(axis=1, keepdims=True)) ** 2).sum(axis=1)
    varies = total > _NOTHING
    score = np.where(varies, 1 - residual / np.where(varies, total, 1), 0)
    return np.where(residual > _NOTHING, score, 1)


def f1(logits: NDArray[np.floating], labels: NDArray[np.floating]) -> NDArray[np.float64]:
    """F1 of each row of logits ``[K, N]``; 0 where there are neither true nor predicted positives.

    The threshold is a logit of 0, but 0.5 in a row whose logits all lie in 0 to 1: the benchmark hands logits to
    torchmetrics, which takes these for probabilities.
    """
    as_probability = ((logits >= 0) & (logits <= 1)).all(axis=1, keepdims=True)
    return f1_of(logits > np.where(as_probability, 0.5, 0), labels)


def f1_of(positive: NDArray[np.bool_], labels: NDArray[np.floating]) -> NDArray[np.float64]:
    """F1 of each row of decisions ``[K, N]``; 0 where there are neither true nor predicted positives."""
    true = labels > 0.5
    hits = 2 * (positive & true).sum(axis=1)
    some = positive.sum(axis=1) + true.sum(axis=1)
    return np.where(some > 0, hits / np.maximum(some, 1), 0)
