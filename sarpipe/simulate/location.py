"""Where a place lies: in groups around cities, on the 10 m grid of its UTM zone."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from pyproj import Transformer

from sarpipe.channels import PIXEL_SPACING_M, PLACE_SIZE

GROUP = 8
"""Places that lie together around one city, and share its climate."""
_CITY_STREAM = 1
_KM_PER_DEGREE = 111.32
# Places of a group sit on different nodes of a lattice, moved by at most 0.55 km: never closer than 2.9 km, so no two
# overlap (2.64 km), and many closer than 5 km, as in SSL4EO-S12, where the median neighbour is 4 km away.
_LATTICE_KM, _LATTICE_NODES, _JITTER_KM = 4.0, 5, 0.55

# Latitude and longitude of cities of every settled climate.
_CITIES = (
    (48.2, 16.4), (52.5, 13.4), (45.5, 9.2), (40.4, -3.7), (51.0, 4.4), (55.7, 12.6), (50.1, 20.0), (44.4, 26.1),
    (59.3, 18.0), (53.9, 27.6), (50.5, 30.5), (39.9, 32.9), (33.6, -7.6), (30.5, 73.3), (28.6, 77.2), (23.0, 72.6),
    (22.6, 88.4), (17.4, 78.5), (16.8, 96.2), (13.8, 100.5), (10.8, 106.7), (30.7, 104.1), (34.3, 108.9), (45.8, 126.5),
    (35.7, 139.7), (14.6, 121.0), (-7.8, 110.4), (-33.9, 151.2), (-37.8, 144.9), (-26.2, 28.0), (-1.3, 36.8),
    (9.1, 7.5), (12.4, -1.5), (9.0, 38.7), (-34.6, -58.4), (-23.5, -46.6), (-12.0, -77.0), (4.7, -74.1),
    (19.4, -99.1), (29.8, -95.4), (41.9, -87.6), (38.6, -121.5), (47.6, -122.3), (45.5, -73.6), (50.4, -104.6),
)  # fmt: skip


@dataclass(frozen=True)
class Location:
    """The grid of one place.

    Attributes:
        latitude, longitude: Of the centre, degrees WGS84.
        crs: EPSG number of its UTM zone.
        x: ``float64 [264]`` eastings of the pixel centres, metres.
        y: ``float64 [264]`` northings of the pixel centres, metres, falling.
        city_km: Distance to the city, km.
    """

    latitude: float
    longitude: float
    crs: int
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    city_km: float


def city_rng(seed: int, store: int, place: int) -> np.random.Generator:
    """The generator that all places of a group share, for what they have in common."""
    return np.random.Generator(np.random.SFC64(np.random.SeedSequence([seed, store, place // GROUP, _CITY_STREAM])))


def locate(shared: np.random.Generator, rng: np.random.Generator, member: int) -> Location:
    """Put a place on the map.

    Args:
        shared: The group's generator (`city_rng`), the same draws for each of its places.
        rng: The place's own generator.
        member: Which place of the group this is, 0 to 7.
    """
    latitude, longitude = _CITIES[int(shared.integers(len(_CITIES)))]
    centre_km = shared.normal(0, 12, 2)
    nodes = shared.permutation(_LATTICE_NODES**2)[:GROUP]
    node = np.array(divmod(int(nodes[member]), _LATTICE_NODES)) - _LATTICE_NODES // 2
    north, east = centre_km + node * _LATTICE_KM + rng.uniform(-_JITTER_KM, _JITTER_KM, 2)
    latitude += north / _KM_PER_DEGREE
    longitude += east / (_KM_PER_DEGREE * np.cos(np.radians(latitude)))
    return _on_grid(latitude, longitude, float(np.hypot(north, east)))


def _on_grid(latitude: float, longitude: float, city_km: float) -> Location:
    crs = (32600 if latitude >= 0 else 32700) + int((longitude + 180) // 6) + 1
    to_utm, to_degrees = _transformers(crs)
    easting, northing = (round(value, -1) for value in to_utm.transform(longitude, latitude))
    longitude, latitude = to_degrees.transform(easting, northing)
    offsets = (np.arange(PLACE_SIZE) - (PLACE_SIZE - 1) / 2) * PIXEL_SPACING_M
    return Location(float(latitude), float(longitude), crs, easting + offsets, northing - offsets, city_km)


@cache
def _transformers(crs: int) -> tuple[Transformer, Transformer]:
    return (
        Transformer.from_crs(4326, crs, always_xy=True),
        Transformer.from_crs(crs, 4326, always_xy=True),
    )
