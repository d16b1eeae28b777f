"""Every dimension to mean 0 and deviation 1, those that do not vary to 0."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_NOISE = 1e-6
"""A deviation below this share of the largest value is rounding of float32; scaled up it would look like content."""

_BLOCK = 8192
"""Rows that are float64 at a time: of 250,000 x 1024 all would be 2 GB, several times."""


@dataclass(frozen=True)
class Standard:
    """Means and scales ``float64 [D]`` learned from some vectors, to be applied to these and to others."""

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]

    @classmethod
    def of(cls, vectors: NDArray[np.floating]) -> Standard:
        """Learn from ``[N, D]``, N at least 1."""
        n = len(vectors)
        mean = np.sum([block.sum(axis=0) for block in _blocks(vectors)], axis=0) / n
        squares = np.sum([np.square(block - mean).sum(axis=0) for block in _blocks(vectors)], axis=0)
        deviation = np.sqrt(squares / n)
        varies = deviation > _NOISE * np.max([np.abs(block).max(axis=0) for block in _blocks(vectors)], axis=0)
        return cls(mean, np.where(varies, 1 / np.where(varies, deviation, 1), 0))

    def __call__(self, vectors: NDArray[np.floating]) -> NDArray[np.float64]:
        """Standardise ``[N, D]``."""
        return (vectors - self.mean) * self.scale


def _blocks(vectors: NDArray[np.floating]) -> Iterator[NDArray[np.float64]]:
    for start in range(0, len(vectors), _BLOCK):
        yield vectors[start : start + _BLOCK].astype(np.float64)


def unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Vectors ``[N, D]`` of length 1; what is 0 stays 0."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(length > 0, length, 1)
