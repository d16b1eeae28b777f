"""The table of the explorer: what is known of every place, as columns that a page can hold."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sarpipe.channels import N_DATES
from sarpipe.cubes import CubeSet
from sarpipe.report.explorer.nearest import nearest
from sarpipe.report.projection import class_counts, class_of, mean_vv, principal_components
from sarpipe.sphere import distances_km

NEIGHBOURS = 6
"""So many nearest neighbours of each place are in the page."""

_MAX_TRUTH = 16
_NO_DAY = 65535
_TYPES = {"float32": "<f4", "uint8": "|u1", "uint16": "<u2", "uint32": "<u4"}

Packed = dict[str, str]
"""A typed array: ``type`` and ``base64`` of its little-endian values."""


def packed(values: NDArray[Any], kind: str) -> Packed:
    """An array of any shape as the flat typed array of this kind: float32, uint8, uint16 or uint32."""
    return {"type": kind, "base64": base64.b64encode(values.astype(_TYPES[kind]).tobytes()).decode("ascii")}


def place_table(places: CubeSet, vectors: NDArray[np.float32], labels: pd.DataFrame | None = None) -> dict[str, Any]:
    """What the page holds of each place, JSON-able.

    Columns are flat typed arrays. Those of dates have four entries a place, of which ``dates`` says how many are
    meant; a day is counted from 1970, 65535 where it is not known; an orbit is 0 where it is not known.

    Args:
        places: N of them, at least one.
        vectors: Their embeddings ``[N, D]``, finite.
        labels: As of `sarpipe.report.page.Report`.
    """
    index = places.index
    points, shares = principal_components(vectors, 2)
    latitude, longitude = (index[name].to_numpy(np.float64) for name in ("latitude", "longitude"))
    rows, similarity = nearest(vectors, NEIGHBOURS)
    classes = class_of(places, labels)
    table: dict[str, Any] = {
        "ids": list(places.ids),
        "latitude": packed(latitude, "float32"),
        "longitude": packed(longitude, "float32"),
        "x": packed(points[:, 0], "float32"),
        "y": packed(points[:, 1], "float32"),
        "shares": [round(float(share), 4) for share in shares],
        "store": _coded(index["store"].astype(str).tolist()) if "store" in index else None,
        "flags": _flags(index["flags"].tolist()) if "flags" in index else None,
        "valid": packed(index["valid_fraction"].to_numpy(), "float32") if "valid_fraction" in index else None,
        "class": None
        if classes is None
        else _coded(classes.tolist(), [str(name) for name in class_counts(classes).index]),
        "values": _values(places, labels),
        "neighbours": {
            "count": rows.shape[1],
            "rows": packed(rows, "uint32" if len(rows) > 65535 else "uint16"),
            "similarity": packed(similarity, "float32"),
            "km": packed(
                distances_km(latitude[:, None], longitude[:, None], latitude[rows], longitude[rows]), "float32"
            ),
        },
    }
    return table | _dates(index)


def _dates(index: pd.DataFrame) -> dict[str, Any]:
    names: list[str] = sorted({str(name) for row in index["orbit_passes"] for name in row})
    code = {name: place for place, name in enumerate(names)}
    columns: dict[str, Any] = {
        "dates": packed(np.array([len(row) for row in index["dates"]]), "uint8"),
        "days": packed(_by_date(index["dates"], _day, _NO_DAY), "uint16"),
        "passes": {
            "names": names,
            "codes": packed(_by_date(index["orbit_passes"], lambda name: code[str(name)], 0), "uint8"),
        },
    }
    if "relative_orbits" in index:
        columns["orbits"] = packed(_by_date(index["relative_orbits"], int, 0), "uint8")
    if "valid_fractions" in index:
        columns["valid_by_date"] = packed(
            _by_date(index["valid_fractions"], lambda share: int(100 * share), 0), "uint8"
        )
    return columns


def _by_date(rows: pd.Series, convert: Any, absent: int) -> NDArray[np.int64]:
    values = np.full((len(rows), N_DATES), absent, np.int64)
    for target, row in zip(values, rows, strict=True):
        for date, value in enumerate(row):
            target[date] = convert(value)
    return values


def _day(value: object) -> int:
    stamp = pd.Timestamp(value)  # type: ignore[arg-type]
    return _NO_DAY if pd.isna(stamp) else int(stamp.timestamp() // 86400)


def _coded(words: Sequence[str], names: Sequence[str] | None = None) -> dict[str, Any]:
    names = sorted(set(words)) if names is None else names
    code = {name: place for place, name in enumerate(names)}
    return {"names": list(names), "codes": packed(np.array([code[word] for word in words]), "uint16")}


def _flags(rows: Sequence[Sequence[str]]) -> dict[str, Any]:
    """The names of all flags, and for each place the bits of those that it has; the first 16 names."""
    names = sorted({str(name) for row in rows for name in row})[:16]
    bits = [sum(1 << place for place, name in enumerate(names) if name in row) for row in rows]
    return {"names": [name.replace("_", " ") for name in names], "bits": packed(np.array(bits), "uint16")}


def _values(places: CubeSet, labels: pd.DataFrame | None) -> list[dict[str, Any]]:
    """Numbers to colour by: mean VV, and the first numeric columns of the labels and of the truth."""
    values = [{"name": "mean VV (dB)", "truth": False, **packed(mean_vv(places), "float32")}]
    for table in (labels, places.truth):
        if table is not None:
            numbers = table.set_index("id").select_dtypes("number").reindex(list(places.ids)).iloc[:, :_MAX_TRUTH]
            values += [
                {"name": str(name), "truth": True, **packed(numbers[name].to_numpy(np.float64), "float32")}
                for name in numbers
            ]
    return values
