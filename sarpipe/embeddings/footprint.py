"""Where a place lies, as a geometry in longitude and latitude (OGC:CRS84)."""

from __future__ import annotations

import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray
from pyproj import Transformer
from pyproj.exceptions import CRSError
from shapely.geometry.polygon import orient

_DECIMALS = 9
"""0.1 mm: what remains below differs between builds of PROJ, and would differ in the file."""
_TURN = np.array([360.0, 0.0])


def footprints(index: pd.DataFrame) -> NDArray[np.object_]:
    """The footprint of every place: a shapely geometry, or None.

    A Polygon (counterclockwise, four corners) from the bounds in the place's own projection; where these are not
    known or lie around a pole, a Point from latitude and longitude; where these are unknown too, None.

    A footprint across the antimeridian is cut there into a MultiPolygon with one part on either side, as RFC 7946
    section 3.1.9 wants it.

    Args:
        index: N rows as in `sarpipe.cubes.CubeSet.index`.

    Returns:
        ``object [N]``.
    """
    places = _points(index)
    bounds = index[["west", "south", "east", "north"]].to_numpy(np.float64)
    west, south, east, north = bounds.T
    known = np.isfinite(bounds).all(axis=1) & (west < east) & (south < north)
    crs = index["crs"].to_numpy(np.int64)
    for code in np.unique(crs[known & (crs > 0)]):
        rows = np.flatnonzero(known & (crs == code))
        polygons = _polygons(int(code), bounds[rows])
        there = ~shapely.is_missing(polygons)
        places[rows[there]] = polygons[there]
    return places


def _points(index: pd.DataFrame) -> NDArray[np.object_]:
    longitude, latitude = (index[name].to_numpy(np.float64) for name in ("longitude", "latitude"))
    known = (np.abs(longitude) <= 180) & (np.abs(latitude) <= 90)
    places = np.full(len(index), None, dtype=object)
    places[known] = shapely.points(longitude[known], latitude[known])
    return places


def _polygons(code: int, bounds: NDArray[np.float64]) -> NDArray[np.object_]:
    polygons = np.full(len(bounds), None, dtype=object)
    try:
        transformer = Transformer.from_crs(code, "OGC:CRS84", always_xy=True)
    except CRSError:
        return polygons
    west, south, east, north = bounds.T
    corners = np.stack([[west, east, east, west], [south, south, north, north]])
    longitude, latitude = np.round(transformer.transform(*corners), _DECIMALS)
    finite = np.isfinite(longitude).all(axis=0) & np.isfinite(latitude).all(axis=0)
    for i in np.flatnonzero(finite):
        polygons[i] = _polygon(np.stack([longitude[:, i], latitude[:, i]], axis=1))
    return polygons


def _polygon(ring: NDArray[np.float64]) -> shapely.Geometry | None:
    """The polygon in a ring of corners, cut where its longitudes jump by 360; None around a pole."""
    crosses = np.ptp(ring[:, 0]) > 180
    ring = np.where(crosses & (ring[:, :1] < 0), ring + _TURN, ring)
    whole = shapely.Polygon(ring)
    if np.ptp(ring[:, 0]) > 180 or not whole.is_valid:  # around a pole
        return None
    halves = [whole]
    if crosses:
        eastern = whole.intersection(shapely.box(0, -90, 180, 90))
        western = shapely.transform(whole.intersection(shapely.box(180, -90, 360, 90)), lambda xy: xy - _TURN)
        # A footprint that only touches the antimeridian leaves a line on the other side, which is no part of it.
        halves = [half for half in (eastern, western) if half.area > 0]
    parts = [orient(half) for half in halves]
    return shapely.MultiPolygon(parts) if len(parts) > 1 else parts[0]
