from __future__ import annotations

import numpy as np

from sarpipe.evaluate.baselines.mean_pool import mean_pool


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
