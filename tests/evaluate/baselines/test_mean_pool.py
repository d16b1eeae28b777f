from __future__ import annotations

import numpy as np

from sarpipe.evaluate.baselines.mean_pool import mean_pool, whitened_mean_pool
from sarpipe.standard import Standard


def test_it_is_the_mean_of_each_cell_over_the_pixels_with_data() -> None:
    rng = np.random.default_rng(0)
    cubes = rng.normal(-12, 3, (3, 12, 64, 64)).astype(np.float32)
    cubes[rng.random(cubes.shape) < 0.2] = np.nan
    cubes[1, 4, 8:16, 24:32] = np.nan
    found = mean_pool(cubes).reshape(3, 12, 8, 8)
    assert np.isnan(found[1, 4, 1, 3])
    found[1, 4, 1, 3] = 0
    for place, channel, row, column in np.ndindex(found.shape):
        cell = cubes[place, channel, 8 * row : 8 * row + 8, 8 * column : 8 * column + 8]
        expected = cell[np.isfinite(cell)].astype(np.float64).sum() / max(1, np.isfinite(cell).sum())
        np.testing.assert_allclose(found[place, channel, row, column], expected, rtol=1e-5)


def test_whitened_it_has_uncorrelated_dimensions_of_one_deviation_and_bears_gaps() -> None:
    rng = np.random.default_rng(0)
    cubes = rng.normal(-12, 3, (300, 1, 16, 16)).astype(np.float32)
    cubes += rng.normal(0, 9, (300, 1, 1, 1)).astype(np.float32)
    cubes[4, 0, :2, :2] = np.nan
    encode = whitened_mean_pool(cubes)
    vectors = encode(cubes)
    assert vectors.shape == (300, 64)
    scaled = Standard.of(vectors)(vectors)
    np.testing.assert_allclose(scaled.T @ scaled / 300, np.eye(64), atol=1e-3)
    np.testing.assert_allclose(encode(cubes[3:6]), vectors[3:6], rtol=1e-3, atol=1e-3)
    cubes[5, 0, :2, :2] = pool = np.nanmean(mean_pool(cubes)[:, 0])
    cubes[6] = cubes[5]
    cubes[6, 0, :2, :2] = np.nan
    assert np.isfinite(pool)
    five, six = encode(cubes[5:7])
    np.testing.assert_allclose(five, six, atol=0.05)
