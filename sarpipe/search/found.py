"""What a search finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sarpipe.errors import UsageError
from sarpipe.search.binary import binary
from sarpipe.search.exact import exact
from sarpipe.search.index import Index
from sarpipe.search.query import Query
from sarpipe.sphere import distances_km

Method = Literal["exact", "binary"]
EXACT_MOST = 20_000
"""Up to so many places all are compared: 80 MB, a few milliseconds."""


@dataclass(frozen=True)
class Hit:
    """A place that was found.

    Attributes:
        rank: From 1.
        id: Of the place.
        similarity: Cosine of the standardised vectors, -1 to 1.
        distance_km: Great circle from the query, NaN unknown.
        latitude, longitude: Degrees, NaN unknown.
        dates: Those that are known, ``datetime64[us]`` in UTC.
        row: Where it is in the index.
    """

    rank: int
    id: str
    similarity: float
    distance_km: float
    latitude: float
    longitude: float
    dates: list[np.datetime64]
    row: int


@dataclass(frozen=True)
class Found:
    """Hits, the best first; the method; and how many places were compared and left out as too near."""

    hits: list[Hit]
    method: Method
    searched: int
    left_out: int


def find(index: Index, query: Query, k: int, *, method: Method | None = None, exclude_km: float | None = None) -> Found:
    """The k places most like the query, which is itself never among them.

    Args:
        index: The places.
        query: From `sarpipe.search.query`.
        k: How many, at least 1; fewer where there are no more.
        method: None: ``exact`` up to `EXACT_MOST` places, else ``binary``.
        exclude_km: Leave out places whose centre is at most so far from the query. Those at an unknown position are
            kept.

    Raises:
        UsageError: Places are to be left out around a query whose position is not known.
    """
    distance = distances_km(query.latitude, query.longitude, index.latitude, index.longitude)
    allowed = np.ones(len(index), np.bool_)
    if exclude_km is not None:
        if not np.isfinite(query.latitude + query.longitude):
            raise UsageError(
                f"the position of {query.name} is not known, so nothing can be left out around it",
                "Leave out --exclude-km (in Python exclude_km)",
            )
        allowed = ~(distance <= exclude_km)
    if query.row is not None:
        allowed[query.row] = False
    taken: Method = method or ("exact" if len(index) <= EXACT_MOST else "binary")
    wanted = query.direction[None]
    rows, similarities = (
        exact(index.directions, wanted, k, allowed)
        if taken == "exact"
        else binary(index.directions, index.bits, wanted, k, allowed)
    )
    hits = [_hit(index, *one, distance) for one in enumerate(zip(rows[0], similarities[0], strict=True), 1)]
    searched = int(allowed.sum())
    return Found(hits, taken, searched, len(index) - searched - (query.row is not None))


def _hit(index: Index, rank: int, pair: tuple[np.intp, np.float64], distance: NDArray[np.float64]) -> Hit:
    row, similarity = int(pair[0]), float(pair[1])
    dates = index.dates[row]
    return Hit(
        rank,
        index.ids[row].decode(),
        similarity,
        float(distance[row]),
        float(index.latitude[row]),
        float(index.longitude[row]),
        list(dates[~np.isnat(dates)]),
        row,
    )
