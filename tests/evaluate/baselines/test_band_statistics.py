from __future__ import annotations

import numpy as np

from sarpipe.evaluate.baselines.band_statistics import band_statistics


def test_it_is_what_numpy_gives_over_the_pixels_with_data() -> None:
    rng = np.random.default_rng(0)
    cubes = rng.normal(-12, 3, (5, 12, 64, 64)).astype(np.float32)
    cubes[rng.random(cubes.shape) < 0.2] = np.nan
    cubes[0, 0] = np.nan
    cubes[0, 0, 3, 5] = -7
    pixels = cubes.reshape(5, 12, -1).astype(np.float64)
    expected = [
        np.nanmean(pixels, 2),
        np.nanstd(pixels, 2),
        *np.nanquantile(pixels, (0, 0.05, 0.25, 0.5, 0.75, 0.95, 1), axis=2),
    ]
    np.testing.assert_allclose(band_statistics(cubes), np.concatenate(expected, axis=1), rtol=1e-5, atol=1e-5)


def test_a_channel_without_data_is_nan_and_touches_no_other() -> None:
    cubes = np.ones((2, 3, 4, 4), np.float32)
    cubes[1, 2] = np.nan
    found = band_statistics(cubes).reshape(2, 9, 3)
    assert np.isnan(found[1, :, 2]).all()
    assert np.isfinite(found[1, :, :2]).all()
    assert np.isfinite(found[0]).all()
