"""A unit: the cubes of one store, as files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from sarpipe.channels import CHANNELS, CUBE_SIZE, FEATURES, N_DATES
from sarpipe.errors import DataError
from sarpipe.preprocess.place import Cube, RejectedPlaceError, make_cube
from sarpipe.preprocess.recipe import Recipe
from sarpipe.ssl4eo.source import store_name
from sarpipe.ssl4eo.store import Store, read_store

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
    ]
)
QUARANTINE = pa.schema([("id", pa.string()), ("store", pa.string()), ("reason", pa.string())])


def truth_path(store: Path) -> Path:
    """Where a simulator leaves the truth of a store: ``<name>.truth.parquet`` beside it."""
    return store.with_name(f"{store_name(store)}.truth.parquet")


def write_unit(folder: Path, path: Path, recipe: Recipe, ledger: Path | None) -> None:
    """Turn one store into the files of a unit.

    ``cubes.npy`` float32 [n, 12, 64, 64], ``frames.npy`` float16 [n, 4, 4, 64, 64], ``index.parquet`` (n rows),
    ``quarantine.parquet`` (places of which no cube could be made, with the reason), ``unit.json`` (the store, and how
    many places it holds: what came out is counted against it), ``truth.parquet`` (n rows, where there is truth). Same
    store and recipe, same bytes.

    Args:
        folder: Exists; the caller commits it.
        path: The store.
        recipe: How.
        ledger: As in `sarpipe.ssl4eo.archive.open_archive`.

    Raises:
        DataError: The store cannot be used.
    """
    # A unit has one core: more workers, not more threads, use the others.
    cv2.setNumThreads(1)
    store = read_store(path, ledger)
    kept, cubes, rejected = _make_cubes(store, recipe)
    np.save(folder / "cubes.npy", _stack([made.cube for made in cubes], (len(CHANNELS),), np.dtype(np.float32)))
    np.save(
        folder / "frames.npy",
        _stack([made.frames for made in cubes], (N_DATES, len(FEATURES)), np.dtype(np.float16)),
    )
    (folder / "unit.json").write_text(json.dumps({"store": store.name, "places": len(store.ids)}) + "\n")
    rows = [_row(store, i, made) for i, made in zip(kept, cubes, strict=True)]
    pq.write_table(pa.Table.from_pylist(rows, schema=INDEX), folder / "index.parquet")
    pq.write_table(pa.Table.from_pylist(rejected, schema=QUARANTINE), folder / "quarantine.parquet")
    if truth_path(path).exists():
        ids = [store.ids[i] for i in kept]
        pq.write_table(_truth(truth_path(path), ids), folder / "truth.parquet")


def _make_cubes(store: Store, recipe: Recipe) -> tuple[list[int], list[Cube], list[dict[str, str]]]:
    kept: list[int] = []
    cubes: list[Cube] = []
    rejected: list[dict[str, str]] = []
    for i, place in enumerate(store.db):
        try:
            cubes.append(make_cube(place, recipe))
            kept.append(i)
        except RejectedPlaceError as reason:
            rejected.append({"id": store.ids[i], "store": store.name, "reason": str(reason)})
    return kept, cubes, rejected


def _stack(arrays: list[NDArray[np.float32]], axes: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    stacked = np.empty((len(arrays), *axes, CUBE_SIZE, CUBE_SIZE), dtype)
    for row, array in zip(stacked, arrays, strict=True):
        row[:] = array
    return stacked


def _row(store: Store, i: int, made: Cube) -> Mapping[str, Any]:
    west, south, east, north = store.bounds[i].tolist()
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
        "dates": store.dates[i].tolist(),
        "date_order": store.order[i],
        "products": store.products[i],
        "orbit_passes": store.orbit_passes[i],
        "relative_orbits": store.relative_orbits[i],
        "valid_fraction": float(np.mean(made.valid)),
        "valid_fractions": list(made.valid),
    }


def _truth(path: Path, ids: list[str]) -> pa.Table:
    try:
        table = pd.read_parquet(path).set_index("id")
        if not table.index.is_unique:
            raise ValueError("an id stands twice")
        chosen = table.loc[ids].astype(np.float64)
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise DataError(
            f"{path} is not a table of truth for these places: {reason}", "Mend it or take it away"
        ) from error
    return pa.Table.from_pandas(chosen.reset_index(), preserve_index=False)
