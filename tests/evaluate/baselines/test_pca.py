from __future__ import annotations

import numpy as np

from sarpipe.evaluate.baselines.pca import pca


def test_it_keeps_the_distances_of_the_places_that_it_learned_from() -> None:
    # As many components as places less one span them all, so nothing may be lost between these.
    rng = np.random.default_rng(0)
    scale = np.array([3, 1000, *[1] * 10])[:, None, None]
    cubes = (rng.normal(size=(9, 12, 64, 64)) * scale - 12).astype(np.float32)
    cubes[2, :, 10:30] = np.nan
    known = np.isfinite(cubes)
    mean, std = (
        np.array([f(cubes[:, c][known[:, c]].astype(np.float64)) for c in range(12)]) for f in (np.mean, np.std)
    )
    flat = np.where(known, (cubes - mean[:, None, None]) / std[:, None, None], 0).reshape(9, -1)
    found = pca(cubes, seed=0)(cubes)
    assert found.shape == (9, 8)
    distance = [np.square(v[:, None] - v[None]).sum(axis=2) for v in (found.astype(np.float64), flat)]
    np.testing.assert_allclose(*distance, rtol=1e-3, atol=1)


def test_a_place_gives_the_same_whatever_stands_beside_it() -> None:
    cubes = np.random.default_rng(0).normal(size=(12, 12, 64, 64)).astype(np.float32)
    encode = pca(cubes[:8], seed=0)
    np.testing.assert_allclose(encode(cubes)[3:5], encode(cubes[3:5]), rtol=1e-3, atol=1e-3)
