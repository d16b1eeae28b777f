"""Which places are neighbours, and folds that never part a group."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

from sarpipe.channels import PIXEL_SPACING_M, PLACE_SIZE
from sarpipe.sphere import EARTH_KM, on_sphere

CLUSTER_KM = 5.0
"""Places so near are neighbours: a place is 2.64 km wide, and the ground goes on beyond it."""
PLACE_KM = PLACE_SIZE * PIXEL_SPACING_M / 1000
"""Width of a place: nearer ones show in part the same ground."""


def clusters(
    latitude: NDArray[np.float64], longitude: NDArray[np.float64], km: float = CLUSTER_KM
) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Group places that are neighbours (at most so far apart), or neighbours of neighbours.

    A place at an unknown position has none.

    Args:
        latitude: ``[N]`` degrees, NaN unknown.
        longitude: ``[N]`` degrees, NaN unknown.
        km: How far apart neighbours are at most.

    Returns:
        The number of each place's cluster ``[N]``, and whether it has a neighbour ``[N]``.
    """
    n = len(latitude)
    pairs = near_pairs(latitude, longitude, km)
    graph = coo_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    labels = connected_components(graph, directed=False)[1].astype(np.intp)
    return labels, np.isin(np.arange(n), pairs)


def near_pairs(latitude: NDArray[np.float64], longitude: NDArray[np.float64], km: float) -> NDArray[np.intp]:
    """All pairs ``[P, 2]`` of places (``[N]`` degrees) at most so far apart; NaN is unknown, and far."""
    points, known = _known_on_sphere(latitude, longitude)
    if not len(known):
        return np.empty((0, 2), np.intp)
    return known[KDTree(points).query_pairs(chord(km), output_type="ndarray")]


def distinct(latitude: NDArray[np.float64], longitude: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which places (``[N]`` degrees) to keep so that no two are nearer than a place is wide: the first of each such
    group, then the next that is near none that is kept. NaN is unknown, and kept.
    """
    kept = np.ones(len(latitude), np.bool_)
    pairs = np.sort(near_pairs(latitude, longitude, PLACE_KM), axis=1)
    for first, second in pairs[np.lexsort((pairs[:, 0], pairs[:, 1]))]:
        kept[second] &= ~kept[first]
    return kept


def near_others(
    latitude: NDArray[np.float64],
    longitude: NDArray[np.float64],
    latitudes: NDArray[np.float64],
    longitudes: NDArray[np.float64],
    *,
    km: float,
) -> NDArray[np.bool_]:
    """Which places (``[N]`` degrees) are at most so far from one of the others (``[M]``); NaN is unknown, and far."""
    near = np.zeros(len(latitude), np.bool_)
    points, known = _known_on_sphere(latitude, longitude)
    others, _ = _known_on_sphere(latitudes, longitudes)
    if len(points) and len(others):
        near[known] = np.isfinite(KDTree(others).query(points, distance_upper_bound=chord(km))[0])
    return near


def chord(km: float) -> float:
    """How long so many km along the ground are straight through a sphere of radius 1."""
    return float(2 * np.sin(km / EARTH_KM / 2))


def _known_on_sphere(
    latitude: NDArray[np.float64], longitude: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """The points ``[K, 3]`` of those that are known, and which they are ``[K]``."""
    known = np.flatnonzero(np.isfinite(latitude) & np.isfinite(longitude))
    return on_sphere(latitude[known], longitude[known]), known


def folds(groups: NDArray[np.intp], count: int, seed: tuple[int, ...]) -> NDArray[np.intp]:
    """Deal places into folds of about one size; a group is never split.

    Args:
        groups: The group of each place ``[N]``.
        count: Number of folds; with fewer groups there are as many folds as groups.
        seed: For the order in which groups of one size are dealt.

    Returns:
        The fold of each place ``[N]``, from 0.
    """
    names, members = np.unique(groups, return_inverse=True)
    sizes = np.bincount(members, minlength=len(names))
    shuffled = np.random.default_rng(seed).permutation(len(names))
    # The largest first, each to the fold that is smallest so far.
    order = shuffled[np.argsort(-sizes[shuffled], kind="stable")]
    filled = np.zeros(min(count, len(names)), np.intp)
    fold = np.empty(len(names), np.intp)
    for group in order:
        fold[group] = filled.argmin()
        filled[fold[group]] += sizes[group]
    return fold[members]
