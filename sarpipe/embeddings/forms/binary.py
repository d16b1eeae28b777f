"""A bit a question: does a principal component of the vector lie above a threshold?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from sarpipe.embeddings.forms.components import coordinates, principal, restored
from sarpipe.embeddings.forms.form import Codes, Form, check_shapes, checked, checked_codes, enough

BITS = 1024
COMPONENTS = 128
_SHARE = 0.5
"""Questions go to components as this power of their deviations: 0 would ask all alike, 1 in steps of one size."""
_SPREAD = 1.3
"""Thresholds of a component lie at the quantiles of a normal distribution of so many of its deviations: closer where
there are more places, and yet some at the ends, where the squared errors are large (Max, IRE IT-6, 1960)."""


@dataclass(frozen=True, eq=False)
class Binary(Form):
    """1,024 questions, 128 bytes. A component of large deviation is asked more often, at thresholds beside each other
    (a thermometer code), so the Hamming distance of two codes is the sum of the distances along the components, in
    steps. The vector is a linear function of the bits, so the product with a query that is not coded needs no decoding.

    The signs of the dimensions about their means, which take as much, ask each direction once and are silent on how
    far: of an embedding whose variance lies in few directions they lose several times as much.

    Attributes:
        mean: ``float32 [D]``.
        axes: ``float32 [K, D]``.
        component: ``int32 [1024]``, ascending: which one each bit asks.
        threshold: ``float32 [1024]``.
        lowest: ``float32 [K]``: the coordinate of a place below all thresholds of a component.
        step: ``float32 [1024]``: what a bit adds to its component.
    """

    mean: NDArray[np.float32]
    axes: NDArray[np.float32]
    component: NDArray[np.int32]
    threshold: NDArray[np.float32]
    lowest: NDArray[np.float32]
    step: NDArray[np.float32]

    element: ClassVar[np.dtype[Any]] = np.dtype("u1")

    @classmethod
    def fit(cls, vectors: NDArray[np.float32]) -> Self:
        """See `Form.fit`."""
        mean, axes, found = principal(enough(vectors), COMPONENTS)
        deviation = found.std(axis=0)
        counts = _dealt(deviation**_SHARE, BITS)
        thresholds = [_quantiles(count) * _SPREAD * spread for count, spread in zip(counts, deviation, strict=True)]
        levels = [_levels(one, part, spread) for one, part, spread in zip(thresholds, found.T, deviation, strict=True)]
        return cls(
            mean,
            axes,
            np.repeat(np.arange(len(axes)), counts).astype(np.int32),
            np.concatenate(thresholds).astype(np.float32),
            np.array([level[0] for level in levels], np.float32),
            np.concatenate([np.diff(level) for level in levels]).astype(np.float32),
        )

    def encode(self, vectors: NDArray[np.float32]) -> Codes:
        """See `Form.encode`; the first bit is the highest of the first byte."""
        found = coordinates(checked(vectors, len(self.mean)), self.mean, self.axes)
        return np.packbits(found[:, self.component] > self.threshold, axis=1)

    def decode(self, codes: Codes) -> NDArray[np.float32]:
        """See `Form.decode`: between two thresholds, the mean of what was learnt from there."""
        bits = np.unpackbits(checked_codes(codes, self.bytes_a_place), axis=1)
        steps = np.zeros((len(self.step), len(self.axes)))
        steps[np.arange(len(self.step)), self.component] = self.step
        return restored(self.lowest + bits @ steps, self.mean, self.axes)

    def check(self, dimensions: int) -> None:
        """See `Form.check`."""
        kept, bits = len(self.axes), len(self.threshold)
        shapes: dict[str, tuple[int, ...]] = {"mean": (dimensions,), "axes": (kept, dimensions), "lowest": (kept,)}
        check_shapes(self.arrays(), shapes | dict.fromkeys(("component", "step"), (bits,)))
        if not np.issubdtype(self.component.dtype, np.integer):
            raise ValueError(f"bits ask components by {self.component.dtype}, not by whole numbers")
        if bits % 8 or not ((self.component >= 0) & (self.component < kept)).all():
            raise ValueError(f"{bits} bits do not ask {kept} components")

    @property
    def bytes_a_place(self) -> int:
        """See `Form.bytes_a_place`."""
        return len(self.threshold) // 8


def _dealt(weights: NDArray[np.float64], total: int) -> NDArray[np.intp]:
    """``total`` shared out by weight, in whole numbers (largest remainders); evenly where none weighs."""
    if not weights.any():
        weights = np.ones_like(weights)
    exact = weights / weights.sum() * total
    counts: NDArray[np.intp] = np.floor(exact).astype(np.intp)
    counts[np.argsort(counts - exact, kind="stable")[: total - counts.sum()]] += 1
    return counts


def _quantiles(count: int) -> NDArray[np.float64]:
    """So many points that part a standard normal distribution into equal shares."""
    points: NDArray[np.float64] = ndtri(np.arange(1, count + 1) / (count + 1))
    return points


def _levels(thresholds: NDArray[np.float64], values: NDArray[np.float64], deviation: float) -> NDArray[np.float64]:
    """What stands for the values between neighbouring thresholds ``[T]``: ``[T + 1]``.

    Their mean, drawn to the middle by two values that lie there, for where there are few or none.
    """
    if not len(thresholds):
        return np.array([values.mean()])
    gap = np.ptp(thresholds) / (len(thresholds) - 1) if len(thresholds) > 1 else deviation
    edges = np.concatenate([[thresholds[0] - gap], thresholds, [thresholds[-1] + gap]])
    middle = (edges[1:] + edges[:-1]) / 2
    where = np.searchsorted(thresholds, values)
    count, total = np.bincount(where, minlength=len(middle)), np.bincount(where, values, len(middle))
    level: NDArray[np.float64] = (total + 2 * middle) / (count + 2)
    return level
