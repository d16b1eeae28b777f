from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sarpipe.evaluate.neighbours import clusters, distinct, folds, near_others

KM = 1 / 111.195


def test_neighbours_of_neighbours_are_one_cluster() -> None:
    # 4 km steps make a chain; then 6 km on stands one alone.
    latitude = np.array([0, 4, 8, 14]) * KM
    labels, near = clusters(latitude, np.zeros(4))
    assert len(set(labels[:3])) == 1
    assert labels[3] not in labels[:3]
    assert near.tolist() == [True, True, True, False]


def test_distance_is_on_the_ground_also_far_north_and_across_the_antimeridian() -> None:
    # 0.1 degrees of longitude are 11 km at the equator and 1.9 km at 80 degrees north.
    labels, _ = clusters(np.array([0.0, 0.0, 80.0, 80.0, 80.0]), np.array([10.0, 10.1, 179.95, -179.95, 170.0]))
    assert len(set(labels)) == 4
    assert labels[2] == labels[3]


def test_places_at_unknown_positions_have_no_neighbours() -> None:
    labels, near = clusters(np.array([np.nan, np.nan, 1.0]), np.array([np.nan, 1.0, 1.0]))
    assert len(set(labels)) == 3
    assert not near.any()


def test_places_near_others_are_those_that_would_be_their_neighbours() -> None:
    rng = np.random.default_rng(0)
    latitude, longitude = rng.uniform(-0.2, 0.2, (2, 90))
    latitude[[3, 50]] = np.nan
    few, more = (near_others(latitude[:40], longitude[:40], latitude[40:], longitude[40:], km=km) for km in (3.0, 5.0))
    for i in range(40):
        pairs = [clusters(latitude[[i, j]], longitude[[i, j]])[1].any() for j in range(40, 90)]
        assert more[i] == any(pairs)
    assert 0 < few.sum() < more.sum() < 39
    assert not np.any(few & ~more)
    assert not near_others(latitude[:5], longitude[:5], latitude[:0], longitude[:0], km=5.0).any()


@given(st.lists(st.integers(0, 12), min_size=1, max_size=60), st.integers(2, 6), st.integers(0, 3))
def test_no_group_is_ever_split_and_folds_are_as_even_as_groups_allow(sizes: list[int], count: int, seed: int) -> None:
    groups = np.array(sizes)
    fold = folds(groups, count, (seed,))
    for group in np.unique(groups):
        assert len(np.unique(fold[groups == group])) == 1
    filled = np.bincount(fold)
    assert len(filled) == min(count, len(np.unique(groups)))
    assert filled.min() > 0
    assert filled.max() - filled.min() <= np.bincount(groups).max()


@given(st.integers(0, 1000))
def test_no_two_places_that_are_kept_overlap_and_each_that_is_not_overlaps_one_kept(seed: int) -> None:
    latitude, longitude = np.random.default_rng(seed).uniform(-0.05, 0.05, (2, 30))
    latitude[7] = np.nan
    kept = distinct(latitude, longitude)
    km = 111.195 * np.hypot(latitude[:, None] - latitude, longitude[:, None] - longitude)
    near = (km < 2.64) & ~np.eye(30, dtype=bool)
    assert kept[[0, 7]].all()
    assert not near[np.ix_(kept, kept)].any()
    for place in np.flatnonzero(~kept):
        assert (near[place] & kept)[:place].any()
