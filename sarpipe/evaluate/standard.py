"""Every dimension to mean 0 and deviation 1, those that do not vary to 0."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_NOISE = 1e-6
"""A deviation below this share of the largest value is rounding of float32; scaled up it would look like content."""


@dataclass(frozen=True)
class Standard:
    """Means and scales ``float64 [D]`` learned from some vectors, to be applied to these and to others."""

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]

    @classmethod
    def of(cls, vectors: NDArray[np.floating]) -> Standard:
        """Learn from ``[N, D]``, N at least 1."""
        values = vectors.astype(np.float64)
        deviation = values.std(axis=0)
        varies = deviation > _NOISE * np.abs(values).max(axis=0)
        return cls(values.mean(axis=0), np.where(varies, 1 / np.where(varies, deviation, 1), 0))

    def __call__(self, vectors: NDArray[np.floating]) -> NDArray[np.float64]:
        """Standardise ``[N, D]``."""
        return (vectors - self.mean) * self.scale
