"""Product quantization: a byte names the nearest of 256 centroids, for each of 64 parts of the vector."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from sarpipe.codes import Code
from sarpipe.embeddings.forms.components import coordinates, principal, restored
from sarpipe.embeddings.forms.form import Codes, Form, check_shapes, checked, checked_codes, enough
from sarpipe.errors import DataError

CODEBOOKS = 64
CENTROIDS = 256
_ROUNDS = 25
"""Of Lloyd's algorithm; more change little (Jégou et al. take about as many)."""


@dataclass(frozen=True, eq=False)
class Product(Form):
    """Product quantization (Jégou, Douze and Schmid, PAMI 33, 2011) of the first 128 principal components.

    The components are the rotation of Ge et al. (optimized product quantization, PAMI 36, 2014): part i is component i
    and its counterpart from the other end, so that no part has all the variance. On the dimensions as they are, 16 a
    part, a codebook of few places holds these places and little of others.

    Attributes:
        mean: ``float32 [D]``.
        axes: ``float32 [2 B, D]``.
        codebooks: ``float32 [B, C, 2]``: centroids of each part, at most 256, and at most as many as were learnt from.
    """

    mean: NDArray[np.float32]
    axes: NDArray[np.float32]
    codebooks: NDArray[np.float32]

    element: ClassVar[np.dtype[Any]] = np.dtype("u1")

    @classmethod
    def fit(cls, vectors: NDArray[np.float32]) -> Self:
        """See `Form.fit`."""
        mean, axes, found = principal(enough(vectors), 2 * CODEBOOKS)
        if len(axes) % 2:
            axes, found = axes[:-1], found[:, :-1]
        parts = _parts(found)
        return cls(mean, axes, np.stack([_k_means(part, number) for number, part in enumerate(parts)]))

    def encode(self, vectors: NDArray[np.float32]) -> Codes:
        """See `Form.encode`: the nearest centroid of each part; of equally near ones the first."""
        parts = _parts(coordinates(checked(vectors, len(self.mean)), self.mean, self.axes))
        nearest = [_nearest(part, book.astype(np.float64)) for part, book in zip(parts, self.codebooks, strict=True)]
        return np.stack(nearest, axis=1).astype(np.uint8)

    def decode(self, codes: Codes) -> NDArray[np.float32]:
        """See `Form.decode`."""
        codes = checked_codes(codes, self.bytes_a_place)
        if codes.size and codes.max() >= self.codebooks.shape[1]:
            raise DataError(
                f"a code names centroid {codes.max()} of {self.codebooks.shape[1]}", "Encode again", code=Code.BAD_TABLE
            )
        found = self.codebooks[np.arange(len(self.codebooks)), codes]
        along = np.concatenate([found[..., 0], found[:, ::-1, 1]], axis=1)
        return restored(along, self.mean, self.axes)

    def check(self, dimensions: int) -> None:
        """See `Form.check`."""
        books, count = self.codebooks.shape[:2]
        shapes = {"mean": (dimensions,), "axes": (2 * books, dimensions), "codebooks": (books, count, 2)}
        check_shapes(self.arrays(), shapes)
        if count > CENTROIDS:
            raise ValueError(f"{count} centroids, a byte names {CENTROIDS}")

    @property
    def bytes_a_place(self) -> int:
        """See `Form.bytes_a_place`."""
        return len(self.codebooks)


def _parts(along: NDArray[np.float64]) -> NDArray[np.float64]:
    """Coordinates ``[N, 2 B]`` in pairs, the first with the last: ``[B, N, 2]``."""
    half = along.shape[1] // 2
    return np.stack([along[:, :half].T, along[:, half:][:, ::-1].T], axis=2)


def _nearest(points: NDArray[np.float64], centroids: NDArray[np.float64]) -> NDArray[np.intp]:
    # Without the square of the point, which is the same for all centroids.
    nearest: NDArray[np.intp] = (np.square(centroids).sum(axis=1) - 2 * points @ centroids.T).argmin(axis=1)
    return nearest


def _k_means(points: NDArray[np.float64], seed: int) -> NDArray[np.float32]:
    """Lloyd's algorithm from points drawn at random; a centroid that nothing is near to stays where it is."""
    count = min(CENTROIDS, len(points))
    centroids = points[np.random.default_rng((0, seed)).permutation(len(points))[:count]]
    for _ in range(_ROUNDS):
        nearest = _nearest(points, centroids)
        members = np.bincount(nearest, minlength=count)[:, None]
        total = np.stack([np.bincount(nearest, axis, count) for axis in points.T], axis=1)
        moved = np.where(members > 0, total / np.maximum(members, 1), centroids)
        if np.array_equal(moved, centroids):
            break
        centroids = moved
    return centroids.astype(np.float32)
