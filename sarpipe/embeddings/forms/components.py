"""The principal components that the smallest forms stand on."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

LEARN_FROM = 10_240
"""Places that are learnt from at most, drawn at random: 40 for each of 256 centroids."""


class Components(NamedTuple):
    """Mean ``float32 [D]``, orthonormal axes ``float32 [K, D]`` by falling deviation, and what they give: the
    coordinates ``float64 [N, K]`` of the vectors that were learnt from.
    """

    mean: NDArray[np.float32]
    axes: NDArray[np.float32]
    found: NDArray[np.float64]


def principal(vectors: NDArray[np.float64], most: int) -> Components:
    """The first ``most`` principal components of ``[N, D]``, fewer where N - 1 or D is smaller; not whitened.

    The sign of an axis, which is free, is that which makes its largest number positive.
    """
    if len(vectors) > LEARN_FROM:
        vectors = vectors[np.sort(np.random.default_rng(0).permutation(len(vectors))[:LEARN_FROM])]
    mean = vectors.mean(axis=0).astype(np.float32)
    centred = vectors - mean
    kept = min(most, len(vectors) - 1, vectors.shape[1])
    # Of the two Gram matrices, the small one.
    if len(centred) <= centred.shape[1]:
        _, unit = np.linalg.eigh(centred @ centred.T)
        axes = (centred.T @ unit[:, ::-1][:, :kept]).T
        axes /= np.maximum(np.linalg.norm(axes, axis=1, keepdims=True), np.finfo(np.float64).tiny)
    else:
        _, unit = np.linalg.eigh(centred.T @ centred)
        axes = unit[:, ::-1][:, :kept].T
    largest = np.take_along_axis(axes, np.abs(axes).argmax(axis=1)[:, None], axis=1)
    signed = (axes * np.where(largest < 0, -1.0, 1.0)).astype(np.float32)
    return Components(mean, signed, coordinates(vectors, mean, signed))


def coordinates(
    vectors: NDArray[np.float64], mean: NDArray[np.float32], axes: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Where vectors ``[N, D]`` lie along the axes: ``[N, K]``."""
    found: NDArray[np.float64] = (vectors - mean) @ axes.T.astype(np.float64)
    return found


def restored(along: NDArray[np.floating], mean: NDArray[np.float32], axes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Vectors ``float32 [N, D]`` from coordinates ``[N, K]``."""
    return (mean + along.astype(np.float64) @ axes.astype(np.float64)).astype(np.float32)
