"""What a Sentinel-1 product id says: mission, start in UTC, orbit."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

_PATTERN = re.compile(
    r"^(?P<mission>S1[A-D])_(?:IW|EW|S\d|WV)_GRD[FHM]_\d[SA](?:SH|SV|DH|DV)_"
    r"(?P<start>\d{8}T\d{6})_\d{8}T\d{6}_(?P<orbit>\d{6})_",
    re.ASCII,
)
# relative = (absolute - offset) mod 175 + 1; the offset differs by mission. The data set is of 2019 to 2021,
# when only these two flew.
_ORBIT_OFFSET = {"S1A": 73, "S1B": 27}


@dataclass(frozen=True)
class Product:
    """One acquisition.

    Attributes:
        mission: ``S1A`` ... ``S1D``.
        start: Start of the acquisition, UTC.
        relative_orbit: 1..175; 0 where the mission's offset is not known.
    """

    mission: str
    start: np.datetime64
    relative_orbit: int


def parse_product(file_id: str) -> Product | None:
    """Read a product id such as ``S1B_IW_GRDH_1SDV_20201127T214646_...``; None if it is not one."""
    match = _PATTERN.match(file_id)
    if match is None:
        return None
    text = match["start"]
    try:
        start = np.datetime64(f"{text[:4]}-{text[4:6]}-{text[6:8]}T{text[9:11]}:{text[11:13]}:{text[13:15]}", "us")
    except ValueError:
        return None
    offset = _ORBIT_OFFSET.get(match["mission"])
    return Product(match["mission"], start, (int(match["orbit"]) - offset) % 175 + 1 if offset is not None else 0)


def orbit_pass(start: np.datetime64, longitude: float) -> str:
    """``ascending``, ``descending`` or ``unknown``, from the local solar time.

    Sentinel-1 flies a dawn-dusk orbit whose ascending node is crossed at 18:00 local solar time: away from the
    poles an evening acquisition is ascending, a morning one descending. The product id does not say it.
    """
    if np.isnat(start) or not np.isfinite(longitude):
        return "unknown"
    seconds = int((start - start.astype("datetime64[D]")) / np.timedelta64(1, "s"))
    return "ascending" if (seconds / 3600 + longitude / 15) % 24 >= 12 else "descending"
