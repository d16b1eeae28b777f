"""The baseline that has not seen the image: where and when it was taken."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sarpipe.channels import N_DATES
from sarpipe.sphere import on_sphere

_YEAR_DAYS = 365.25


def position(index: pd.DataFrame) -> NDArray[np.float32]:
    """Where a place is on the sphere, the season of each of its dates, and from which side it was seen.

    What it reads of the truth is geography, which an embedding may hold without being any good.

    Args:
        index: ``latitude``, ``longitude`` (degrees, may be NaN) and ``dates`` (lists of at most 4 UTC timestamps, may
            be NaT) of N places; ``orbit_passes`` (lists as long, ``ascending`` or ``descending``, else unknown).

    Returns:
        ``float32 [N, 12]``: x, y, z on the unit sphere, cosine and sine of the day of the year of each date, and the
        share of the dates that an ascending orbit saw. What is not known is the mean of the places that know it; 0 if
        none does.
    """
    sphere = on_sphere(*index[["latitude", "longitude"]].to_numpy(np.float64).T)
    angles = 2 * np.pi * _days(index["dates"]) / _YEAR_DAYS
    vectors = np.concatenate([sphere, np.cos(angles), np.sin(angles), _ascending(index["orbit_passes"])], axis=1)
    known = np.isfinite(vectors)
    mean = np.where(known, vectors, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    return np.where(known, vectors, mean).astype(np.float32)


def _days(dates: pd.Series) -> NDArray[np.float64]:
    """Day of the year of each date ``[N, 4]``, from 1; NaN where there is none."""
    days = np.full((len(dates), N_DATES), np.nan)
    for row, of_place in enumerate(dates):
        days[row, : len(of_place)] = pd.DatetimeIndex(of_place).day_of_year
    return days


def _ascending(passes: pd.Series) -> NDArray[np.float64]:
    """The share of ascending orbits among those that are known, ``[N, 1]``; NaN where none is."""
    known = [[one == "ascending" for one in row if one in ("ascending", "descending")] for row in passes]
    return np.array([np.mean(row) if row else np.nan for row in known], np.float64).reshape(-1, 1)
