from __future__ import annotations

import numpy as np
from scipy.ndimage import map_coordinates

from sarpipe.evaluate.window import corner


def test_opposite_corners_enlarged_to_a_cube() -> None:
    cubes = np.random.default_rng(0).normal(size=(2, 3, 64, 64)).astype(np.float32)
    # Pixel centres of 64 on 48, held at the rim.
    places = np.clip((np.arange(64) + 0.5) * 48 / 64 - 0.5, 0, 47)
    grid = np.meshgrid(places, places, indexing="ij")
    for last, start in ((False, 0), (True, 16)):
        found = corner(cubes, last=last)
        for n, c in np.ndindex(2, 3):
            part = cubes[n, c, start : start + 48, start : start + 48].astype(np.float64)
            np.testing.assert_allclose(found[n, c], map_coordinates(part, grid, order=1), atol=1e-5)


def test_a_pixel_without_data_reaches_its_neighbours_alone_and_the_cube_is_left_as_it_is() -> None:
    cubes = np.zeros((1, 1, 64, 64), np.float32)
    cubes[0, 0, 20, 20] = np.nan
    before = cubes.copy()
    missing = np.argwhere(np.isnan(corner(cubes, last=False)[0, 0]))
    assert 1 <= len(missing) <= 16
    assert np.abs(missing - 27).max() <= 2
    assert np.array_equal(cubes, before, equal_nan=True)
