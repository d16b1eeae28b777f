from __future__ import annotations

import numpy as np

from sarpipe.sphere import distances_km


def test_distances_are_those_of_a_sphere() -> None:
    latitude, longitude = np.array([0.0, 0.0, 90.0, np.nan]), np.array([0.0, 180.0, 0.0, 5.0])
    half = np.pi * 6371.0088
    km = distances_km(latitude[:, None], longitude[:, None], latitude, longitude)
    np.testing.assert_allclose(km[0], [0, half, half / 2, np.nan])
    np.testing.assert_allclose(km[1], [half, 0, half / 2, np.nan])
    np.testing.assert_allclose(km, km.T)
    np.testing.assert_allclose(distances_km(0.0, 0.0, latitude, longitude), km[0])
