"""What vectors say of themselves, without labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from sarpipe.evaluate.spectrum import lidar
from sarpipe.standard import unit

SAMPLE = 2048
"""Places of which all pairs are compared at most; the first, as their order knows nothing of them."""
_RANKS = slice(10, 50)
"""Eigenvalues of which the fall is fitted, as by the authors of alpha-ReQ: the first are few, the last are noise."""
_FEWEST_RANKS = 10
_DEAD = 1e-6
"""A deviation below this share of the largest value is rounding of float32."""


def diagnostics(
    vectors: NDArray[np.floating],
    query: NDArray[np.floating],
    gallery: NDArray[np.floating],
    corners: Sequence[NDArray[np.floating]] = (),
) -> Mapping[str, float | int | None]:
    """Shape and crowding of the vectors; all in float64, since near-duplicates are closer than float32 resolves.

    Args:
        vectors: ``[N, D]``, finite.
        query: ``[M, D]``, some of these places from two of their dates; may be empty.
        gallery: ``[M, D]``, the same places from the two others.
        corners: More views of the same places, ``[M, D]`` each.

    Returns:
        None where it is not defined. ``alignment``: mean squared distance between query and gallery of a place, and
        ``uniformity``: log of the mean of ``exp(-2 d²)`` over all pairs of places, both on vectors of length 1 (Wang
        and Isola, ICML 2020); small is good. ``alpha_req``: the exponent with which the eigenvalues of the covariance
        fall from the 11th to the 50th (Agrawal et al., NeurIPS 2022); about 1 is good. ``correlation``: mean magnitude
        of the correlation of two dimensions. ``dead``: dimensions that do not vary. ``duplicates``: rows that equal an
        earlier one. ``lidar``: see `sarpipe.evaluate.spectrum.lidar`, of query, gallery and corners of the first
        places. ``n``: N.
    """
    values = vectors.astype(np.float64)
    return {
        "alignment": _alignment(query, gallery),
        "uniformity": _uniformity(values[:SAMPLE]),
        "alpha_req": _alpha_req(values),
        "correlation": _correlation(values),
        "dead": int(_dead(values).sum()) if len(values) else None,
        "duplicates": len(values) - len({row.tobytes() for row in values}),
        "lidar": lidar([view[:SAMPLE] for view in (query, gallery, *corners)]),
        "n": len(values),
    }


def _alignment(query: NDArray[np.floating], gallery: NDArray[np.floating]) -> float | None:
    if not len(query):
        return None
    gap = unit(query.astype(np.float64)) - unit(gallery.astype(np.float64))
    return float(np.square(gap).sum(axis=1).mean())


def _uniformity(values: NDArray[np.float64]) -> float | None:
    if len(values) < 2:
        return None
    of_length_1 = unit(values)
    upper = np.triu_indices(len(values), 1)
    squared = np.maximum(2 - 2 * (of_length_1 @ of_length_1.T)[upper], 0)
    return float(np.log(np.exp(-2 * squared).mean()))


def _alpha_req(values: NDArray[np.float64]) -> float | None:
    """Least squares of log eigenvalue on log rank, over those of `_RANKS` that are not rounding."""
    if len(values) < 2:
        return None
    spectrum = np.linalg.svd(values - values.mean(axis=0), compute_uv=False) ** 2
    rank, spectrum = np.arange(1, len(spectrum) + 1)[_RANKS], spectrum[_RANKS][spectrum[_RANKS] > 1e-10 * spectrum[0]]
    if len(spectrum) < _FEWEST_RANKS:
        return None
    return float(-np.polyfit(np.log(rank[: len(spectrum)]), np.log(spectrum), 1)[0])


def _correlation(values: NDArray[np.float64]) -> float | None:
    alive = values[:, ~_dead(values)] if len(values) > 1 else values[:, :0]
    if alive.shape[1] < 2:
        return None
    centred = alive - alive.mean(axis=0)
    scaled = centred / np.linalg.norm(centred, axis=0)
    correlation = np.abs(scaled.T @ scaled)
    dimensions = len(correlation)
    return float((correlation.sum() - np.trace(correlation)) / (dimensions * (dimensions - 1)))


def _dead(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    dead: NDArray[np.bool_] = values.std(axis=0) <= _DEAD * np.abs(values).max(axis=0)
    return dead
