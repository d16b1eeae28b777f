"""Principal components, learned from some vectors and applied to any."""

from __future__ import annotations

from dataclasses import dataclass, replace

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
    def of(cls, vectors: NDArray[np.float32], most: int) -> Components:
        """The first ``most`` components of ``[N, D]``, fewer where the vectors span fewer; variance rises.

        These are the principal axes themselves. Probe and retrieval bring every dimension to one deviation, so what
        they see of these is whitened: the last ones, which are noise, as large as the first.
        """
        mean = vectors.mean(axis=0, dtype=np.float64).astype(np.float32)
        centred = vectors - mean
        # Of the two Gram matrices, the small one.
        wide = len(centred) <= centred.shape[1]
        gram = (centred @ centred.T if wide else centred.T @ centred).astype(np.float64)
        eigenvalues, axes = np.linalg.eigh(gram)
        kept = np.flatnonzero(eigenvalues > _NOISE * eigenvalues[-1:])[-most:]
        unit = np.asarray(axes[:, kept] / np.sqrt(eigenvalues[kept]) if wide else axes[:, kept], np.float32)
        return cls(mean, centred.T @ unit if wide else unit)

    def turned(self, seed: int) -> Components:
        """The same, their axes turned by a random rotation, which no standardisation of dimensions whitens.

        Lengths and angles stay, so a ridge regression or a cosine finds what it finds of the components as they are;
        and all dimensions have about the same deviation, so to bring each to one changes little.
        """
        return replace(self, basis=self.basis @ _rotation(self.basis.shape[1], seed).astype(np.float32))

    def __call__(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """``[N, D]`` to ``[N, K]``."""
        return np.asarray((vectors - self.mean) @ self.basis, np.float32)


def _rotation(k: int, seed: int) -> NDArray[np.float64]:
    """An orthogonal matrix ``[K, K]``, each as likely (Mezzadri, Notices of the AMS 54, 2007)."""
    q, r = np.linalg.qr(np.random.default_rng(seed).standard_normal((k, k)))
    turned: NDArray[np.float64] = q * np.where(np.diag(r) < 0, -1.0, 1.0)
    return turned
