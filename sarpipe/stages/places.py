"""The places of a set of cubes, as the later stages read them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd

from sarpipe.channels import CHANNELS, CUBE_SIZE, FEATURES, N_DATES
from sarpipe.cubes import CubeSet
from sarpipe.errors import DamagedError, UsageError
from sarpipe.storage import Artefact, digest_json, fetched

UNIT, UNIT_ROW = "unit", "unit_row"
"""Columns of a set's index that say where a place's cube lies."""


def load_cubes(cube_set: Artefact) -> CubeSet:
    """Read the cubes of a set into memory; every unit is checked against its manifest.

    Raises:
        UsageError: A unit is gone.
        DamagedError: A unit is damaged, or is not the one that the set was made from.
    """
    table = pd.read_parquet(cube_set.path("index.parquet"))
    digests = json.loads(cube_set.path("units.json").read_bytes())
    n = len(table)
    cubes = np.empty((n, len(CHANNELS), CUBE_SIZE, CUBE_SIZE), np.float32)
    frames = np.empty((n, N_DATES, len(FEATURES), CUBE_SIZE, CUBE_SIZE), np.float16)
    for unit, rows in table.groupby(UNIT, sort=False):
        artefact = _open_unit(cube_set.folder.parent / str(unit), digests[str(unit)]["digest"])
        here, there = rows.index.to_numpy(), rows[UNIT_ROW].to_numpy()
        cubes[here] = np.load(artefact.path("cubes.npy"), mmap_mode="r")[there]
        frames[here] = np.load(artefact.path("frames.npy"), mmap_mode="r")[there]
    truth = cube_set.path("truth.parquet")
    return CubeSet(
        ids=tuple(table["id"]),
        cubes=cubes,
        frames=frames,
        index=table.drop(columns=[UNIT, UNIT_ROW]),
        truth=pd.read_parquet(truth) if truth.exists() else None,
    )


def cubes_digest(cube_set: Artefact) -> str:
    """What the cubes of a set depend on: the bytes of its units, wherever they lie and whatever was refused."""
    return digest_json(cube_set.meta["inputs"]["units"])


def source_bytes(cube_set: Artefact) -> int:
    """Bytes of the raw stores of a set as they lie on the disk."""
    units = json.loads(cube_set.path("units.json").read_bytes())
    return sum(int(unit["source_bytes"]) for unit in units.values())


def read_quarantine(cube_set: Artefact) -> pd.DataFrame:
    """Quarantined places and refused stores (their id is empty): columns ``id, store, reason``."""
    return pd.read_parquet(cube_set.path("quarantine.parquet"))


def _open_unit(folder: Path, digest: str) -> Artefact:
    hint = "Run 'sarpipe preprocess SOURCE' again: it makes this unit anew"
    try:
        artefact = fetched(folder, digest)
    except FileNotFoundError as error:
        raise UsageError(f"unit {folder} is gone", hint) from error
    if artefact.digest != digest:
        raise DamagedError(f"unit {folder} is not the one that the set was made from", hint)
    return artefact
