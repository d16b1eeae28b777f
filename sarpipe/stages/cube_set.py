"""The set of cubes that the later stages work on: which places of which units, and those in quarantine."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from sarpipe.channels import CHANNELS, CUBE_SIZE, FEATURES, N_DATES
from sarpipe.cubes import CubeSet
from sarpipe.errors import DamagedError, DataError, UsageError
from sarpipe.preprocess.unit import INDEX, QUARANTINE
from sarpipe.settings import Settings
from sarpipe.stages.preprocess import StoreReceipt
from sarpipe.stages.step import Receipt, Step, make, plan_step, receipt
from sarpipe.storage import Artefact, digest_json, open_verified
from sarpipe.storage.durable import write_bytes

CODE = ("stages/cube_set.py",)
_PLACE = ("unit", "unit_row")
"""Columns of the set's index that say where a place's cube lies."""


class SetReceipt(Receipt):
    """What is known of a set: places read, kept and quarantined, and stores that were refused."""

    places_in: int
    places_kept: int
    places_quarantined: int
    stores_refused: int


def plan_set(settings: Settings, units: Sequence[StoreReceipt], refused: Mapping[str, str]) -> Step:
    """The step that makes the set of all places of these units."""
    return plan_step(
        "preprocess",
        "all stores",
        settings.cubes_folder,
        inputs={
            "units": {unit["name"]: unit["digest"] for unit in units},
            "folders": [Path(unit["folder"]).name for unit in units],
            "refused": dict(refused),
        },
        settings=settings.recipe.model_dump(mode="json"),
        code=CODE,
        label="set",
    )


def collect_cubes(settings: Settings, units: Sequence[StoreReceipt], refused: Mapping[str, str]) -> SetReceipt:
    """Make the set of all places of these units, and note it as the current one of the recipe.

    A place id that an earlier store has too is quarantined: ids are unique in everything that follows.

    Args:
        settings: Of the run.
        units: Receipts, in the order of their stores.
        refused: Name of a store that could not be used, to the reason.

    Raises:
        DataError: No place is left.
    """
    started = time.monotonic()
    step = plan_set(settings, units, refused)
    artefact, computed = make(step, lambda folder: _write_set(folder, settings.cubes_folder, units, refused))
    counts = json.loads(artefact.path("counts.json").read_bytes())
    quarantine = pd.read_parquet(artefact.path("quarantine.parquet"))
    write_bytes(quarantine_path(settings), quarantine.to_csv(index=False, lineterminator="\n").encode())
    if not counts["places_kept"]:
        raise DataError(
            f"no place is left: all {counts['places_in']} are in quarantine", f"{quarantine_path(settings)} says why"
        )
    _note_current(settings, artefact)
    return {
        **receipt(step, artefact, computed=computed, seconds=time.monotonic() - started),
        "places_in": counts["places_in"],
        "places_kept": counts["places_kept"],
        "places_quarantined": counts["places_quarantined"],
        "stores_refused": counts["stores_refused"],
    }


def quarantine_path(settings: Settings) -> Path:
    """The list of the recipe's quarantined places and refused stores, for people: CSV ``id,store,reason``."""
    return settings.data / "quarantine" / f"{settings.cubes_folder.name}.csv"


def current_set(settings: Settings) -> Artefact:
    """The set that was preprocessed last with this recipe.

    Raises:
        UsageError: Nothing was preprocessed yet.
        DamagedError: What says which one it is, or the set itself, is damaged.
    """
    note = settings.cubes_folder / "current.json"
    try:
        document = json.loads(note.read_bytes())
        name, checksum = str(document["set"]), document["checksum"]
    except FileNotFoundError as error:
        raise UsageError(
            f"there are no cubes of recipe {settings.recipe.name!r} below {settings.data}",
            "Run 'sarpipe preprocess SOURCE' first, with the same --data and --recipe",
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedError(f"{note} is damaged", "Run 'sarpipe preprocess SOURCE' again") from error
    if checksum != digest_json(name) or Path(name).name != name:
        raise DamagedError(f"{note} is damaged", "Run 'sarpipe preprocess SOURCE' again")
    try:
        return open_verified(settings.cubes_folder / name)
    except FileNotFoundError as error:
        raise UsageError(f"{settings.cubes_folder / name} is gone", "Run 'sarpipe preprocess SOURCE' again") from error


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
    for unit, rows in table.groupby("unit", sort=False):
        artefact = _open_unit(cube_set.folder.parent / str(unit), digests[str(unit)]["digest"])
        here, there = rows.index.to_numpy(), rows["unit_row"].to_numpy()
        cubes[here] = np.load(artefact.path("cubes.npy"), mmap_mode="r")[there]
        frames[here] = np.load(artefact.path("frames.npy"), mmap_mode="r")[there]
    truth = cube_set.path("truth.parquet")
    return CubeSet(
        ids=tuple(table["id"]),
        cubes=cubes,
        frames=frames,
        index=table.drop(columns=list(_PLACE)),
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


def _write_set(folder: Path, parent: Path, units: Sequence[StoreReceipt], refused: Mapping[str, str]) -> None:
    artefacts = [open_verified(Path(unit["folder"])) for unit in units]
    index = _concatenate([_with_place(artefact) for artefact in artefacts], _empty_index())
    twice = index["id"].duplicated()
    quarantine = pd.concat(
        [
            _concatenate([pd.read_parquet(a.path("quarantine.parquet")) for a in artefacts], _empty(QUARANTINE)),
            _duplicates(index, twice),
            pd.DataFrame(
                {"id": "", "store": list(refused), "reason": list(refused.values())}, columns=QUARANTINE.names
            ),
        ],
        ignore_index=True,
    )
    kept = index[~twice]
    pq.write_table(pa.Table.from_pandas(kept, _set_schema(), preserve_index=False), folder / "index.parquet")
    pq.write_table(pa.Table.from_pandas(quarantine, QUARANTINE, preserve_index=False), folder / "quarantine.parquet")
    truth = _truth(artefacts, kept)
    if truth is not None:
        truth.to_parquet(folder / "truth.parquet", index=False)
    _write_json(
        folder / "units.json",
        {
            artefact.folder.name: {
                "digest": artefact.digest,
                "source_bytes": int(artefact.meta["inputs"]["source_bytes"]),
            }
            for artefact in artefacts
        },
    )
    counts = {
        "places_in": len(kept) + int((quarantine["id"] != "").sum()),
        "places_kept": len(kept),
        "places_quarantined": int((quarantine["id"] != "").sum()),
        "stores_refused": len(refused),
    }
    _write_json(folder / "counts.json", counts)


def _with_place(artefact: Artefact) -> pd.DataFrame:
    table = pd.read_parquet(artefact.path("index.parquet"))
    return table.assign(unit=artefact.folder.name, unit_row=np.arange(len(table)))


def _duplicates(index: pd.DataFrame, twice: pd.Series) -> pd.DataFrame:
    first = index.drop_duplicates("id").set_index("id")["store"]
    again = index.loc[twice, ["id", "store"]]
    return again.assign(reason=[f"store {first[place]} has a place of this id too" for place in again["id"]])


def _truth(artefacts: Sequence[Artefact], kept: pd.DataFrame) -> pd.DataFrame | None:
    """The truth of all places; None unless every place has all of it."""
    paths = [artefact.path("truth.parquet") for artefact in artefacts]
    if not paths or not all(path.exists() for path in paths):
        return None
    tables = [pd.read_parquet(path) for path in paths]
    truth: pd.DataFrame = (
        pd.concat(tables, ignore_index=True).drop_duplicates("id").set_index("id").loc[list(kept["id"])]
    )
    return None if truth.isna().any(axis=None) else truth.reset_index()


def _set_schema() -> pa.Schema:
    return INDEX.append(pa.field("unit", pa.string())).append(pa.field("unit_row", pa.int64()))


def _empty(schema: pa.Schema) -> pd.DataFrame:
    return pd.DataFrame(schema.empty_table().to_pandas())


def _empty_index() -> pd.DataFrame:
    return _empty(_set_schema())


def _concatenate(tables: Sequence[pd.DataFrame], empty: pd.DataFrame) -> pd.DataFrame:
    filled = [table for table in tables if len(table)]
    return pd.concat(filled, ignore_index=True) if filled else empty


def _open_unit(folder: Path, digest: str) -> Artefact:
    hint = "Run 'sarpipe preprocess SOURCE' again: it makes this unit anew"
    try:
        artefact = open_verified(folder)
    except FileNotFoundError as error:
        raise UsageError(f"unit {folder} is gone", hint) from error
    if artefact.digest != digest:
        raise DamagedError(f"unit {folder} is not the one that the set was made from", hint)
    return artefact


def _note_current(settings: Settings, artefact: Artefact) -> None:
    name = artefact.folder.name
    document = {"set": name, "checksum": digest_json(name)}
    write_bytes(settings.cubes_folder / "current.json", json.dumps(document).encode())


def _write_json(path: Path, value: Mapping[str, object]) -> None:
    path.write_text(json.dumps(value, indent=1, sort_keys=True) + "\n", encoding="utf-8")
