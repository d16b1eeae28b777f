"""Positions on the Earth, taken as a sphere."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

EARTH_KM = 6371.0088
"""Mean radius of the Earth (IUGG)."""


def on_sphere(latitude: NDArray[np.float64], longitude: NDArray[np.float64]) -> NDArray[np.float64]:
    """These positions (``[...]`` degrees) as points ``[..., 3]`` of a sphere of radius 1; NaN where one is unknown."""
    phi, lam = np.radians(latitude), np.radians(longitude)
    return np.stack([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)], axis=-1)


def distances_km(
    latitude: ArrayLike, longitude: ArrayLike, latitudes: NDArray[np.float64], longitudes: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Great-circle distances from some positions to others (degrees; shapes are broadcast), km; NaN where either is
    unknown.
    """
    here = on_sphere(np.asarray(latitude, np.float64), np.asarray(longitude, np.float64))
    # By the chord, which loses nothing for near places, as the cosine of the angle would.
    chord = np.linalg.norm(on_sphere(latitudes, longitudes) - here, axis=-1)
    distance: NDArray[np.float64] = 2 * EARTH_KM * np.arcsin(np.minimum(chord / 2, 1))
    return distance
