from __future__ import annotations

import numpy as np

from sarpipe.evaluate.baselines.pca import pca
from sarpipe.standard import Standard


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
    found = pca(cubes, seed=0)[0](cubes)
    assert found.shape == (9, 8)
    distance = [np.square(v[:, None] - v[None]).sum(axis=2) for v in (found.astype(np.float64), flat)]
    np.testing.assert_allclose(*distance, rtol=1e-3, atol=1)


def test_a_place_gives_the_same_whatever_stands_beside_it() -> None:
    cubes = np.random.default_rng(0).normal(size=(12, 12, 64, 64)).astype(np.float32)
    encode, _ = pca(cubes[:8], seed=0)
    np.testing.assert_allclose(encode(cubes)[3:5], encode(cubes[3:5]), rtol=1e-3, atol=1e-3)


def test_both_forms_span_the_same_and_differ_in_what_a_standardisation_makes_of_them() -> None:
    rng = np.random.default_rng(0)
    # One loud pattern and a faint one that alone tells places apart.
    patterns = rng.normal(size=(2, 12, 64, 64))
    loud, faint = rng.normal(size=(2, 40, 1, 1, 1))
    cubes = (30 * loud * patterns[0] + faint * patterns[1]).astype(np.float32)
    plain, whitened = (encode(cubes) for encode in pca(cubes, seed=0))
    np.testing.assert_allclose(plain @ plain.T, whitened @ whitened.T, rtol=1e-3, atol=1)
    assert plain.shape == whitened.shape == (40, 2)
    spread = [Standard.of(vectors)(vectors) for vectors in (plain, whitened)]
    known = [np.abs(np.corrcoef(vectors.T, faint.ravel())[-1, :-1]).max() for vectors in spread]
    assert known[0] < 0.5
    assert known[1] > 0.99
