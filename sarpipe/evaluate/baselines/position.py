"""The baseline that has not seen the image: where and when it was taken."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sarpipe.channels import N_DATES
from sarpipe.sphere import on_sphere

_YEAR_DAYS = 365.25


def position(index: pd.DataFrame) -> NDArray[np.float32]:
    """Where a place is on the sphere, and the season of each of its dates.

    What it reads of the truth is geography, which an embedding may hold without being any good.

    Args:
        index: ``latitude``, ``longitude`` (degrees, may be NaN) and ``dates`` (lists of at most 4 UTC timestamps, may
            be NaT) of N places.

    Returns:
        ``float32 [N, 11]``: x, y, z on the unit sphere, then cosine and sine of the day of the year of each date. What
        is not known is the mean of the places that know it; 0 if none does.
    """
    sphere = on_sphere(*index[["latitude", "longitude"]].to_numpy(np.float64).T)
    angles = 2 * np.pi * _days(index["dates"]) / _YEAR_DAYS
    vectors = np.concatenate([sphere, np.cos(angles), np.sin(angles)], axis=1)
    known = np.isfinite(vectors)
    mean = np.where(known, vectors, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    return np.where(known, vectors, mean).astype(np.float32)


def _days(dates: pd.Series) -> NDArray[np.float64]:
    """Day of the year of each date ``[N, 4]``, from 1; NaN where there is none."""
    days = np.full((len(dates), N_DATES), np.nan)
    for row, of_place in enumerate(dates):
        days[row, : len(of_place)] = pd.DatetimeIndex(of_place).day_of_year
    return days
