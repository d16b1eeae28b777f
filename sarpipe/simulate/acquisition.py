"""When and from where Sentinel-1 saw a place: four product ids, one a season, on tracks that really pass there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sarpipe.channels import N_DATES

_CYCLE_ORBITS = 175
_CYCLE = np.timedelta64(12 * 86400 * 10**6, "us")
_PERIOD_S = 12 * 86400 / _CYCLE_ORBITS
_INCLINATION = np.radians(98.18)
_SIDEREAL_DAY_S = 86164.1
_EARTH_KM, _ORBIT_KM = 6371.0, 7069.0
# Ascending node of S1A's orbit 32904, from product S1A_IW_GRDH_1SDV_20200607T010800_..._032904 at 30.46 N: it was
# taken 0.415 of a period after the node. Product ..._20200903T131212_..._034195 of that place agrees to a minute.
_NODE, _NODE_ORBIT = np.datetime64("2020-06-07T00:27:00", "us"), 32904
# S1B follows six days later on each track. 46 of the difference comes from the two missions' relative orbits
# ((orbit - 73) mod 175 and (orbit - 27) mod 175), 62 cycles from its launch two years later.
_S1B_LATER = np.timedelta64(6 * 86400 * 10**6, "us")
_S1B_ORBITS = -46 - 62 * _CYCLE_ORBITS
# Ground distance from the satellite's track over which the swath lies: incidence 30 to 44 degrees.
_SWATH_KM = (355.0, 585.0)
_FIRST_DAY = np.datetime64("2019-12-20", "us")


@dataclass(frozen=True)
class Acquisition:
    """One date of a place.

    Attributes:
        file_id: Product id of 67 characters, as in SSL4EO-S12's ``file_id``.
        start: ``datetime64[us]`` in UTC.
        ascending: Whether the satellite flew north; it always looks to its right.
        incidence: Incidence angle at the place, degrees.
    """

    file_id: str
    start: np.datetime64
    ascending: bool
    incidence: float

    @property
    def day_of_year(self) -> float:
        """Days since 1 January of its own year."""
        return float((self.start - self.start.astype("datetime64[Y]")) / np.timedelta64(86400 * 10**6, "us"))


@dataclass(frozen=True)
class _Track:
    orbit: int
    start: np.datetime64
    incidence: float


def acquisitions(
    rng: np.random.Generator, latitude: float, longitude: float, *, mixed_missions: bool
) -> list[Acquisition]:
    """Draw four dates, three months apart, the first in any month, in the order of time.

    Args:
        rng: Where the draws come from.
        latitude: Degrees WGS84, within 70 of the equator.
        longitude: Degrees WGS84.
        mixed_missions: Whether the first must be of S1B and the last of S1A, so that the order of the product
            ids is not the order of time.
    """
    tracks = {ascending: _track(rng, latitude, longitude, ascending=ascending) for ascending in (True, False)}
    first = _FIRST_DAY + np.timedelta64(int(rng.integers(0, 365)), "D")
    days = first + (91 * np.arange(N_DATES) + rng.integers(-8, 9, N_DATES)).astype("timedelta64[D]")
    ascending = rng.random(N_DATES) < rng.choice([0.0, 0.5, 1.0], p=[0.3, 0.4, 0.3])
    second = rng.random(N_DATES) < rng.choice([0.0, 0.5, 1.0], p=[0.4, 0.4, 0.2])
    if mixed_missions:
        second[0], second[-1] = True, False
    return [
        _acquire(rng, tracks[bool(up)], day, ascending=bool(up), second=bool(b))
        for day, up, b in zip(days, ascending, second, strict=True)
    ]


def _track(rng: np.random.Generator, latitude: float, longitude: float, *, ascending: bool) -> _Track:
    """One of the 175 orbits of a cycle in whose swath the place lies."""
    count = np.arange(_CYCLE_ORBITS)
    nodes = _NODE + (count * _PERIOD_S * 1e6).astype("timedelta64[us]")
    hours = (nodes - nodes.astype("datetime64[D]")) / np.timedelta64(3600 * 10**6, "us")
    argument = np.arcsin(np.sin(np.radians(latitude)) / np.sin(_INCLINATION))
    argument = argument if ascending else np.pi - argument
    since_node = argument / (2 * np.pi) * _PERIOD_S
    # The node is crossed at 18:00 local solar time; then the orbit moves west of it and the Earth turns below.
    along = np.degrees(np.arctan2(np.cos(_INCLINATION) * np.sin(argument), np.cos(argument)))
    below = (18 - hours) * 15 + along - 360 * since_node / _SIDEREAL_DAY_S
    east_km = ((longitude - below + 180) % 360 - 180) * 111.32 * np.cos(np.radians(latitude))
    right_km = east_km if ascending else -east_km
    low, high = _SWATH_KM
    seen = np.flatnonzero((right_km >= low) & (right_km <= high))
    one = int(rng.choice(seen)) if seen.size else int(np.abs(right_km - (low + high) / 2).argmin())
    start = nodes[one] + np.timedelta64(round(since_node), "s")
    return _Track(_NODE_ORBIT + one, start, _incidence(float(right_km[one])))


def _incidence(ground_km: float) -> float:
    angle = ground_km / _EARTH_KM
    return float(np.degrees(np.arctan2(_ORBIT_KM * np.sin(angle), _ORBIT_KM * np.cos(angle) - _EARTH_KM)))


def _acquire(
    rng: np.random.Generator, track: _Track, day: np.datetime64, *, ascending: bool, second: bool
) -> Acquisition:
    origin = track.start + (_S1B_LATER if second else np.timedelta64(0, "us"))
    cycles = round(float((day - origin) / _CYCLE))
    start = (origin + cycles * _CYCLE).astype("datetime64[s]").astype("datetime64[us]")
    orbit = track.orbit + (_S1B_ORBITS if second else 0) + cycles * _CYCLE_ORBITS
    file_id = "_".join([
        "S1B" if second else "S1A",
        "IW_GRDH_1SDV",
        _stamp(start),
        _stamp(start + np.timedelta64(25, "s")),
        f"{orbit:06d}",
        f"{int(7.6 * orbit):06X}",
        f"{int(rng.integers(0, 2**16)):04X}",
    ])  # fmt: skip
    return Acquisition(file_id, start, ascending, track.incidence)


def _stamp(moment: np.datetime64) -> str:
    return str(moment.astype("datetime64[s]")).replace("-", "").replace(":", "")
