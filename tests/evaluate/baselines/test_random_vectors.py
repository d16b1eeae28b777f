from __future__ import annotations

import numpy as np

from sarpipe.evaluate.baselines.random_vectors import random_vectors


def test_vectors_are_standard_normal_and_independent_but_for_equal_cubes() -> None:
    cubes = np.random.default_rng(0).normal(size=(200, 2, 4, 4)).astype(np.float32)
    cubes[7] = cubes[3]
    cubes[5] = np.nextafter(cubes[4], np.inf, dtype=np.float32)
    vectors = random_vectors(cubes)
    assert (vectors.shape, vectors.dtype) == ((200, 1024), np.float32)
    assert np.array_equal(vectors[7], vectors[3])
    others = np.delete(vectors, 7, axis=0)
    correlation = np.corrcoef(others)[~np.eye(199, dtype=bool)]
    assert np.abs(correlation).max() < 6 / 32
    np.testing.assert_allclose([others.mean(), others.std()], [0, 1], atol=0.01)
    assert np.array_equal(vectors[::-1], random_vectors(cubes[::-1]))
    assert random_vectors(cubes[:0]).shape == (0, 1024)
