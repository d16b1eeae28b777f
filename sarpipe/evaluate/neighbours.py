"""Which places are neighbours, and splits that never part them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

from sarpipe.sphere import EARTH_KM, on_sphere

CLUSTER_KM = 5.0
"""Places so near are kept in one fold: a place is 2.64 km wide, and the ground goes on beyond it."""
_CHORD = 2 * np.sin(CLUSTER_KM / EARTH_KM / 2)
"""As long as it is straight through a sphere of radius 1."""


def clusters(
    latitude: NDArray[np.float64], longitude: NDArray[np.float64]
) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Group places that are neighbours (at most 5 km apart), or neighbours of neighbours.

    A place at an unknown position has none.

    Args:
        latitude: ``[N]`` degrees, NaN unknown.
        longitude: ``[N]`` degrees, NaN unknown.

    Returns:
        The number of each place's cluster ``[N]``, and whether it has a neighbour ``[N]``.
    """
    points, known = _known_on_sphere(latitude, longitude)
    pairs = np.empty((0, 2), np.intp)
    if len(known):
        pairs = known[KDTree(points).query_pairs(_CHORD, output_type="ndarray")]
    n = len(latitude)
    graph = coo_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    labels = connected_components(graph, directed=False)[1].astype(np.intp)
    return labels, np.isin(np.arange(n), pairs)


def near_others(
    latitude: NDArray[np.float64],
    longitude: NDArray[np.float64],
    latitudes: NDArray[np.float64],
    longitudes: NDArray[np.float64],
) -> NDArray[np.bool_]:
    """Which places (``[N]`` degrees) are at most 5 km from one of the others (``[M]``); NaN is unknown, and far."""
    near = np.zeros(len(latitude), np.bool_)
    points, known = _known_on_sphere(latitude, longitude)
    others, _ = _known_on_sphere(latitudes, longitudes)
    if len(points) and len(others):
        near[known] = np.isfinite(KDTree(others).query(points, distance_upper_bound=_CHORD)[0])
    return near


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
