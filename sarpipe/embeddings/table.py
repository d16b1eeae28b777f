"""One vector a place, and what is known of the place: checked once, when it is made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sarpipe.channels import EMBED_DIM, N_DATES
from sarpipe.codes import Code
from sarpipe.errors import DataError

TEXTS = ("id", "store")
NUMBERS = ("latitude", "longitude", "crs", "west", "south", "east", "north", "valid_fraction")
LISTS = ("dates", "products", "orbit_passes", "relative_orbits")
"""Columns that hold one entry for each date of the place: 1 to 4, the same number in all of them."""
SEASONS = ("DJF", "MAM", "JJA", "SON")
"""The meteorological seasons by their months, north and south of the equator alike: DJF is winter or summer."""
FLAGS = "flags"
"""Column that holds a list of quality flags (`sarpipe.preprocess.quality.quality_flags`)."""

_NAMED = 5
"""How many places an error names."""


@dataclass(frozen=True)
class Embeddings:
    """The embeddings of N places, N may be 0.

    Attributes:
        ids: Place ids, unique.
        vectors: ``float32 [N, 1024]``, finite.
        index: N rows in the order of ``ids``: the columns of `sarpipe.cubes.CubeSet.index`. Further columns are
            allowed, and not exported.

    Raises:
        DataError: An id stands twice, a number is not finite, or shapes, ids and index do not agree; the message
            names the places.
    """

    ids: tuple[str, ...]
    vectors: NDArray[np.float32]
    index: pd.DataFrame

    def __post_init__(self) -> None:
        _check_vectors(self.ids, self.vectors)
        _check_ids(self.ids)
        _check_index(self.ids, self.index)

    def dates(self) -> NDArray[np.datetime64]:
        """The dates of every place as ``datetime64[us] [N, 4]`` in UTC; NaT where unknown, or where there is none."""
        every = pd.Series(list(chain.from_iterable(self.index["dates"])), dtype=object)
        # Units hold them as pandas, NumPy or plain datetimes, with a zone or without; all of them mean UTC.
        utc = pd.to_datetime(every, utc=True).dt.tz_convert(None)
        dates = np.full((len(self.ids), N_DATES), np.datetime64("NaT"), "datetime64[us]")
        dates[np.arange(N_DATES) < self.date_counts()[:, None]] = utc.to_numpy(dtype="datetime64[us]")
        return dates

    def seasons(self) -> list[list[str | None]]:
        """For each place one of `SEASONS` for each of its dates; None where the date is not known."""
        dates = self.dates()
        months = dates.astype("datetime64[M]").astype(np.int64) % 12
        names = np.array(SEASONS, object)[(months + 1) // 3 % len(SEASONS)]
        names[np.isnat(dates)] = None
        return [list(row[:count]) for row, count in zip(names, self.date_counts(), strict=True)]

    def date_counts(self) -> NDArray[np.intp]:
        """How many dates each place has, ``[N]``."""
        return np.array([len(row) for row in self.index["dates"]], np.intp)


def _check_vectors(ids: tuple[str, ...], vectors: NDArray[np.float32]) -> None:
    if vectors.shape != (len(ids), EMBED_DIM) or vectors.dtype != np.float32:
        raise DataError(
            f"the embeddings are {vectors.dtype} {list(vectors.shape)}, "
            f"{len(ids)} places need float32 [{len(ids)}, {EMBED_DIM}]",
            "Give one vector for each id",
            code=Code.BAD_TABLE,
        )
    finite = np.isfinite(vectors).all(axis=1)
    if not finite.all():
        bad = [ids[i] for i in np.flatnonzero(~finite)]
        raise DataError(
            f"the embedding of {some(bad)} is not finite",
            "Check the model and the cubes of these places",
            code=Code.NOT_FINITE,
        )


def _check_ids(ids: tuple[str, ...]) -> None:
    # Neither a Parquet file nor a benchmark refuses these; a person would look for the place in vain.
    if not all(ids):
        raise DataError("a place has an empty id", "Give every place an id", code=Code.BAD_ID)
    twice = [value for value, count in Counter(ids).items() if count > 1]
    if twice:
        raise DataError(
            f"the id of {some(twice)} stands more than once",
            "Take each place from one store alone",
            code=Code.DUPLICATE_ID,
        )


def _check_index(ids: tuple[str, ...], index: pd.DataFrame) -> None:
    missing = [name for name in (*TEXTS, *NUMBERS, *LISTS, FLAGS) if name not in index.columns]
    if missing:
        raise DataError(
            f"the index of the embeddings lacks {', '.join(missing)}", "Use the index of the cubes", code=Code.BAD_TABLE
        )
    if len(index) != len(ids):
        raise DataError(
            f"the index has {len(index)} rows for {len(ids)} places", "Use the index of the cubes", code=Code.BAD_TABLE
        )
    differ = [mine for mine, theirs in zip(ids, index["id"], strict=True) if mine != theirs]
    if differ:
        raise DataError(
            f"the index is not in the order of the ids at {some(differ)}",
            "Use the index of the cubes",
            code=Code.BAD_TABLE,
        )
    for name in LISTS:
        entries = zip(ids, index[name], index["dates"], strict=True)
        bad = [place for place, row, dates in entries if len(row) != len(dates) or not 1 <= len(row) <= N_DATES]
        if bad:
            raise DataError(
                f"column {name} of {some(bad)} has not one entry for each of 1 to {N_DATES} dates",
                "Use the index of the cubes",
                code=Code.BAD_TABLE,
            )


def some(places: Iterable[str]) -> str:
    """The first places by name, and how many more."""
    places = list(places)
    more = f" and {len(places) - _NAMED} more" if len(places) > _NAMED else ""
    return ", ".join(map(repr, places[:_NAMED])) + more
