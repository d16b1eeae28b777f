from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sarpipe.evaluate.blocks import blocks
from sarpipe.evaluate.neighbours import folds
from sarpipe.sphere import EARTH_KM, on_sphere

KM = 180 / np.pi / EARTH_KM


def distances(latitude: np.ndarray, longitude: np.ndarray) -> np.ndarray:
    points = on_sphere(latitude, longitude)
    return EARTH_KM * np.arccos(np.clip(points @ points.T, -1, 1))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(10, 60))
def test_no_two_places_of_different_folds_are_within_50_km(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    # Towns all over the world, among them the poles and the antimeridian, with places around them.
    towns = np.stack([rng.uniform(-89, 89, 8), rng.choice([-179.9, 179.9, 0, 30, 120], 8)])
    latitude, longitude = towns[:, rng.integers(8, size=n)] + rng.normal(0, 0.3, (2, n))
    latitude, longitude = np.clip(latitude, -89.9, 89.9), (longitude + 180) % 360 - 180
    groups = blocks(latitude, longitude)
    if 2 * np.bincount(np.unique(groups, return_inverse=True)[1]).max() > n:
        return
    near = distances(latitude, longitude) < 49.99
    joined = np.linalg.matrix_power(near.astype(np.float64), n) > 0
    if 2 * joined.sum(axis=1).max() > n:
        return
    fold = folds(groups, 5, (seed,))
    assert not (near & (fold[:, None] != fold)).any()
    # And no block is larger than that asks for.
    np.testing.assert_array_equal(groups[:, None] == groups, joined)


def test_one_region_without_gaps_is_cut_into_cells_of_50_km() -> None:
    side = np.arange(-100, 100, 5.0) * KM
    latitude, longitude = (axis.ravel() for axis in np.meshgrid(side + 0.01, side + 0.01))
    groups = blocks(latitude, longitude)
    far = distances(latitude, longitude)
    assert 16 <= len(np.unique(groups)) <= 25
    for group in np.unique(groups):
        assert far[np.ix_(groups == group, groups == group)].max() < 51 * np.sqrt(2)


def test_places_at_unknown_positions_are_blocks_of_their_own() -> None:
    groups = blocks(np.array([np.nan, np.nan, 1.0, 1.0, 40.0]), np.array([np.nan, 1.0, 1.0, 1.1, 1.0]))
    assert len(np.unique(groups)) == 4
    assert groups[2] == groups[3]
