"""The cubes of many places in memory: what training, embedding and evaluation work on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray


@dataclass(frozen=True)
class CubeSet:
    """N places after preprocessing, in the order of ``ids``.

    Attributes:
        ids: Place ids, unique.
        cubes: ``float32 [N, 12, 64, 64]``, channels as in `sarpipe.channels.CHANNELS`; NaN where there is no data, and
            in deviation and difference over time where there are not two dates.
        frames: ``float16 [N, 4 dates, 4 features, 64, 64]``, before temporal statistics; NaN where there is no data. A
            place of T < 4 dates has them first, and NaN after.
        index: N rows: ``id, store, latitude, longitude`` (degrees WGS84, may be NaN), ``crs`` (EPSG, 0 unknown),
            ``west, south, east, north`` (metres in ``crs``, may be NaN), ``dates`` (list of T UTC timestamps, may be
            NaT), ``date_order``, ``products``, ``orbit_passes``, ``relative_orbits`` (lists of T),
            ``valid_fraction`` (mean), ``valid_fractions`` (list of T) and ``flags`` (list of quality flags).
        truth: N rows of what a simulator knows (``id`` and numeric columns), or None for real data.
    """

    ids: tuple[str, ...]
    cubes: NDArray[np.float32]
    frames: NDArray[np.float16]
    index: pd.DataFrame
    truth: pd.DataFrame | None
