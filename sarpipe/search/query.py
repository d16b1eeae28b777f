"""What is searched for: a place by its id or position, or a vector from outside."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np
from numpy.typing import NDArray

from sarpipe.errors import UsageError
from sarpipe.search.direction import directions
from sarpipe.search.index import Index
from sarpipe.sphere import distances_km

WITHIN_KM = 25.0
"""How far a position may be from the nearest place that is taken for it: some ten widths of a place."""
_LIKELY = 3
_COMPARED = 20_000
"""Ids that are compared letter by letter for a likely one: a second."""


@dataclass(frozen=True)
class Query:
    """What is searched for.

    Attributes:
        name: The id of the place, or in words where it comes from.
        direction: ``float32 [D]``.
        row: Which place of the index it is; None: none of them.
        latitude, longitude: Degrees, NaN unknown.
    """

    name: str
    direction: NDArray[np.float32]
    row: int | None = None
    latitude: float = float("nan")
    longitude: float = float("nan")


def by_id(index: Index, place: str) -> Query:
    """The place of this id.

    Raises:
        UsageError: There is none; the hint names likely ones.
    """
    rows = np.flatnonzero(index.ids == place.encode())
    if not len(rows):
        likely = _likely(index, place)
        hint = f"Did you mean {', '.join(likely)}?" if likely else f"Ids here look like {index.ids[0].decode()}"
        raise UsageError(f"no place has the id {place!r} among {len(index):,}", hint)
    return _of_row(index, int(rows[0]))


def nearest_to(index: Index, latitude: float, longitude: float, within_km: float | None = None) -> tuple[Query, float]:
    """The place nearest to a position in degrees, and how far its centre is, km.

    Args:
        index: The places.
        latitude: From -90 to 90.
        longitude: From -180 to 360.
        within_km: How far it may be; None: `WITHIN_KM`.

    Raises:
        UsageError: There is no such position, none of the places is at a known one, or none is so near.
    """
    if not (-90 <= latitude <= 90 and -180 <= longitude <= 360):
        raise UsageError(
            f"there is no latitude {latitude:g}, longitude {longitude:g}",
            "Latitude comes first, for example --at 48.1,11.6 (in Python at=(48.1, 11.6))",
        )
    distance = distances_km(latitude, longitude, index.latitude, index.longitude)
    if np.isnan(distance).all():
        raise UsageError("no place is at a known position", "Search by id")
    row = int(np.nanargmin(distance))
    limit = WITHIN_KM if within_km is None else within_km
    if distance[row] > limit:
        raise UsageError(
            f"no place is within {limit:g} km of {latitude:g}, {longitude:g}: the nearest, "
            f"{index.ids[row].decode()}, is {distance[row]:,.1f} km away",
            f"--within-km {np.ceil(distance[row]):.0f} (in Python within_km) takes it",
        )
    return _of_row(index, row), float(distance[row])


def by_vector(index: Index, vector: NDArray[np.floating], name: str) -> Query:
    """An embedding ``[D]`` that is none of the places.

    Raises:
        UsageError: It is of another length, or not finite.
    """
    wanted = index.directions.shape[1:]
    if vector.shape != wanted or not np.isfinite(vector).all():
        raise UsageError(
            f"{name} is an array {list(vector.shape)}, or holds numbers that are not finite; needs {list(wanted)}",
            "Give one embedding of the model that made the others",
        )
    return Query(name, directions(vector[None], index.standard)[0])


def _of_row(index: Index, row: int) -> Query:
    direction = index.directions[row : row + 1][0]
    place = index.ids[row].decode()
    return Query(place, direction, row, float(index.latitude[row]), float(index.longitude[row]))


def _likely(index: Index, place: str) -> list[str]:
    """Ids that hold what was given, else ids that are spelt much like it."""
    wanted = place.strip().encode()
    holds = np.flatnonzero(np.char.find(index.ids, wanted) >= 0) if wanted else np.empty(0, np.intp)
    if len(holds):
        # Those that end so first: 0000012 for 12.
        ends = np.char.endswith(index.ids[holds], wanted)
        return [index.ids[row].decode() for row in holds[np.lexsort([index.ids[holds], ~ends])][:_LIKELY]]
    step = -(-len(index) // _COMPARED)
    return get_close_matches(place, [one.decode() for one in index.ids[::step]], n=_LIKELY)
