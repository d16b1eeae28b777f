"""The places of a set of cubes, as the later stages read them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd

from sarpipe.codes import Code
from sarpipe.cubes import CubeFiles, CubeSet, RowFiles
from sarpipe.errors import DamagedError, UsageError
from sarpipe.memory import available_bytes
from sarpipe.storage import Artefact, digest_json, fetched

UNIT, UNIT_ROW = "unit", "unit_row"
"""Columns of a set's index that say where a place's cube lies."""


def load_cubes(cube_set: Artefact) -> CubeSet:
    """Read the cubes of a set into memory; every unit is checked against its manifest.

    Raises:
        UsageError: A unit is gone.
        DamagedError: A unit is damaged, or is not the one that the set was made from.
    """
    return _cube_files(cube_set).load()


def open_cubes(cube_set: Artefact, memory_gb: float | None) -> CubeSet | CubeFiles:
    """The cubes of a set: in memory if they take no more than that, else in their files. Checked as by `load_cubes`;
    what is in files also at each later read.

    Args:
        cube_set: The set.
        memory_gb: The limit, 10^9 bytes; None: half of the memory that this machine has left for this process.
    """
    files = _cube_files(cube_set)
    limit = available_bytes() / 2 if memory_gb is None else memory_gb * 1e9
    if files.nbytes <= limit:
        return files.load()
    for rows in (files.cubes, files.frames):
        rows.keep_checksums()
    return files


def _cube_files(cube_set: Artefact) -> CubeFiles:
    table = pd.read_parquet(cube_set.path("index.parquet"))
    digests = json.loads(cube_set.path("units.json").read_bytes())
    names, files = np.unique(table[UNIT].to_numpy(str), return_inverse=True)
    units = [_open_unit(cube_set.folder.parent / str(unit), digests[str(unit)]["digest"]) for unit in names]
    rows = table[UNIT_ROW].to_numpy()
    truth = cube_set.path("truth.parquet") if "truth.parquet" in cube_set.files else None
    return CubeFiles(
        ids=tuple(table["id"]),
        cubes=RowFiles([unit.path("cubes.npy") for unit in units], files, rows),
        frames=RowFiles([unit.path("frames.npy") for unit in units], files, rows),
        index=table.drop(columns=[UNIT, UNIT_ROW]),
        truth=None if truth is None else pd.read_parquet(truth),
    )


def cubes_digest(cube_set: Artefact) -> str:
    """What the cubes of a set depend on: the bytes of its units, wherever they lie and whatever was refused."""
    return digest_json(cube_set.meta["inputs"]["units"])


def source_bytes(cube_set: Artefact) -> int:
    """Bytes of the raw stores of a set as they lie on the disk."""
    units = json.loads(cube_set.path("units.json").read_bytes())
    return sum(int(unit["source_bytes"]) for unit in units.values())


def _open_unit(folder: Path, digest: str) -> Artefact:
    hint = "Run 'sarpipe preprocess SOURCE' again: it makes this unit anew"
    try:
        artefact = fetched(folder, digest)
    except FileNotFoundError as error:
        raise UsageError(f"unit {folder} is gone", hint, code=Code.NOT_MADE) from error
    except DamagedError as error:
        raise DamagedError(error.message, hint) from error
    if artefact.digest != digest:
        raise DamagedError(f"unit {folder} is not the one that the set was made from", hint)
    return artefact
