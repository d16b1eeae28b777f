"""A unit: the cubes of one store, as files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from sarpipe.channels import CHANNELS, CUBE_SIZE, FEATURES, N_DATES
from sarpipe.preprocess.place import Cube, RejectedPlaceError, make_cube
from sarpipe.preprocess.quality import quality_flags, used_dates
from sarpipe.preprocess.recipe import Recipe
from sarpipe.preprocess.rows import RowWriter
from sarpipe.preprocess.truth import read_truth, truth_path
from sarpipe.ssl4eo import Group, Store, UnreadablePlace, read_parts, store_name

INDEX = pa.schema(
    [
        ("id", pa.string()),
        ("store", pa.string()),
        ("latitude", pa.float64()),
        ("longitude", pa.float64()),
        ("crs", pa.int64()),
        *((side, pa.float64()) for side in ("west", "south", "east", "north")),
        ("dates", pa.list_(pa.timestamp("us", tz="UTC"))),
        ("date_order", pa.string()),
        ("products", pa.list_(pa.string())),
        ("orbit_passes", pa.list_(pa.string())),
        ("relative_orbits", pa.list_(pa.int64())),
        ("valid_fraction", pa.float64()),
        ("valid_fractions", pa.list_(pa.float64())),
        ("flags", pa.list_(pa.string())),
    ]
)
QUARANTINE = pa.schema([(name, pa.string()) for name in ("id", "store", "code", "reason")])


def write_unit(folder: Path, source: Path | Group, recipe: Recipe, ledger: Path | None) -> None:
    """Turn one store into the files of a unit.

    ``cubes.npy`` float32 [n, 12, 64, 64], ``frames.npy`` float16 [n, 4, 4, 64, 64] (NaN for a date that is not there),
    ``index.parquet`` (n rows), ``quarantine.parquet`` (places of which no cube could be made, with code and reason),
    ``unit.json`` (the store, how many places it holds: what came out is counted against it; and which of them could
    not be read), ``truth.parquet`` (n rows, where there is truth). Same store and recipe, same bytes.

    Cubes are written as they are made: in memory are the places that are read together, and one cube.

    Args:
        folder: Exists; the caller commits it.
        source: The store, or a group of files.
        recipe: How.
        ledger: As in `sarpipe.ssl4eo.archive.open_archive`.

    Raises:
        DataError: The store cannot be used.
    """
    # A unit has one core: more workers, not more threads, use the others.
    cv2.setNumThreads(1)
    rows: list[Mapping[str, Any]] = []
    rejected: list[Mapping[str, str]] = []
    unreadable: list[str] = []
    places = 0
    with (
        RowWriter(folder / "cubes.npy", (len(CHANNELS), CUBE_SIZE, CUBE_SIZE), np.dtype(np.float32)) as cubes,
        RowWriter(
            folder / "frames.npy", (N_DATES, len(FEATURES), CUBE_SIZE, CUBE_SIZE), np.dtype(np.float16)
        ) as frames,
    ):
        for part in read_parts(source, ledger):
            if isinstance(part, UnreadablePlace):
                places += 1
                unreadable.append(part.id)
                rejected.append({"id": part.id, "store": part.store, "code": part.code, "reason": part.reason})
                continue
            places += len(part.ids)
            for i, place in enumerate(part.ids):
                try:
                    dates = used_dates(part.orbit_passes[i], part.positions[i].tolist(), recipe)
                    made = make_cube(_of_dates(part.place(i), dates), recipe)
                except RejectedPlaceError as error:
                    rejected.append({"id": place, "store": part.name, "code": error.code, "reason": str(error)})
                    continue
                cubes.append(made.cube)
                frames.append(_all_dates(made.frames))
                rows.append(_row(part, i, dates, made))
    name = store_name(source)
    (folder / "unit.json").write_text(json.dumps({"store": name, "places": places, "unreadable": unreadable}) + "\n")
    pq.write_table(pa.Table.from_pylist(rows, schema=INDEX), folder / "index.parquet")
    pq.write_table(pa.Table.from_pylist(rejected, schema=QUARANTINE), folder / "quarantine.parquet")
    if truth_path(source).exists():
        pq.write_table(read_truth(truth_path(source), [row["id"] for row in rows]), folder / "truth.parquet")


def _of_dates(db: NDArray[np.float16], dates: list[int]) -> NDArray[np.float16]:
    return db if dates == list(range(len(db))) else db[dates]


def _all_dates(frames: NDArray[np.float32]) -> NDArray[np.float32]:
    """Four dates, of which those that are not there are NaN."""
    missing = N_DATES - len(frames)
    return np.pad(frames, ((0, missing), *((0, 0),) * 3), constant_values=np.nan) if missing else frames


def _row(store: Store, i: int, dates: list[int], made: Cube) -> Mapping[str, Any]:
    west, south, east, north = store.bounds[i].tolist()
    passes = [store.orbit_passes[i][t] for t in dates]
    order = store.order[i] if dates == sorted(dates) else "stored"
    return {
        "id": store.ids[i],
        "store": store.name,
        "latitude": float(store.latitude[i]),
        "longitude": float(store.longitude[i]),
        "crs": int(store.crs[i]),
        "west": west,
        "south": south,
        "east": east,
        "north": north,
        # A date that is not known is null, in Python None.
        "dates": store.dates[i, dates].tolist(),
        "date_order": order,
        "products": [store.products[i][t] for t in dates],
        "orbit_passes": passes,
        "relative_orbits": [store.relative_orbits[i][t] for t in dates],
        "valid_fraction": sum(made.valid) / len(made.valid),
        "valid_fractions": list(made.valid),
        "flags": quality_flags(made, passes, order),
    }
