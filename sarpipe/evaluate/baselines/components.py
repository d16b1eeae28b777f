"""Principal components, learned from some vectors and applied to any."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_NOISE = 1e-6
"""Components with less than this share of the variance of the first are rounding of float32."""


@dataclass(frozen=True)
class Components:
    """Mean ``float32 [D]`` and orthonormal basis ``float32 [D, K]``."""

    mean: NDArray[np.float32]
    basis: NDArray[np.float32]

    @classmethod
    def of(cls, vectors: NDArray[np.float32], most: int, seed: int) -> Components:
        """The first ``most`` components of ``[N, D]``, fewer where the vectors span fewer; not whitened.

        Their axes are turned by a random rotation. Lengths and angles stay, so a ridge regression or a cosine finds
        the same; but probe and retrieval bring every dimension to one deviation, and on the principal axes themselves
        that would blow up the last ones, which are noise, to the size of the first.
        """
        mean = vectors.mean(axis=0, dtype=np.float64).astype(np.float32)
        centred = vectors - mean
        # Of the two Gram matrices, the small one.
        wide = len(centred) <= centred.shape[1]
        gram = (centred @ centred.T if wide else centred.T @ centred).astype(np.float64)
        eigenvalues, axes = np.linalg.eigh(gram)
        kept = np.flatnonzero(eigenvalues > _NOISE * eigenvalues[-1:])[-most:]
        unit = axes[:, kept] / np.sqrt(eigenvalues[kept]) if wide else axes[:, kept]
        turned = np.asarray(unit @ _rotation(len(kept), seed), np.float32)
        return cls(mean, centred.T @ turned if wide else turned)

    def __call__(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """``[N, D]`` to ``[N, K]``."""
        return np.asarray((vectors - self.mean) @ self.basis, np.float32)


def _rotation(k: int, seed: int) -> NDArray[np.float64]:
    """An orthogonal matrix ``[K, K]``, each as likely (Mezzadri, Notices of the AMS 54, 2007)."""
    q, r = np.linalg.qr(np.random.default_rng(seed).standard_normal((k, k)))
    turned: NDArray[np.float64] = q * np.where(np.diag(r) < 0, -1.0, 1.0)
    return turned
