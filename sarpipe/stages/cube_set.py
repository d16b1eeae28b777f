"""The set of cubes that the later stages work on: which places of which units, and those in quarantine."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from sarpipe.errors import DamagedError, DataError, UsageError
from sarpipe.preprocess.unit import INDEX, QUARANTINE
from sarpipe.settings import Settings
from sarpipe.stages.places import UNIT, UNIT_ROW, read_quarantine
from sarpipe.stages.preprocess import LOOKS, StoreReceipt
from sarpipe.stages.step import Receipt, Step, make, plan_step, receipt
from sarpipe.storage import Artefact, address, digest_json, fetched, open_verified, read_small, synced, write_small

CODE = ("stages/cube_set.py", "stages/places.py", "preprocess/unit.py")


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


def make_set(step: Step, units: Sequence[StoreReceipt], refused: Mapping[str, str]) -> SetReceipt:
    """Make the set of all places of these units.

    A place id that an earlier store has too is quarantined: ids are unique in everything that follows.

    Args:
        step: From `plan_set`.
        units: Receipts, in the order of their stores.
        refused: Name of a store that could not be used, to the reason.

    Raises:
        DamagedError: A unit has lost a place.
    """
    started = time.monotonic()
    artefact, computed = make(step, lambda folder: _write_set(folder, units, refused))
    counts = json.loads(artefact.path("counts.json").read_bytes())
    return {
        **receipt(step, artefact, computed=computed, seconds=time.monotonic() - started),
        "places_in": counts["places_in"],
        "places_kept": counts["places_kept"],
        "places_quarantined": counts["places_quarantined"],
        "stores_refused": counts["stores_refused"],
    }


def publish_set(settings: Settings, cube_set: SetReceipt) -> None:
    """Note a set as the current one of its recipe, and write the list of what is in quarantine.

    Raises:
        DataError: No place is left.
    """
    folder = Path(cube_set["folder"])
    quarantine = read_quarantine(open_verified(folder))
    write_small(quarantine_path(settings), quarantine.to_csv(index=False, lineterminator="\n").encode())
    if not cube_set["places_kept"]:
        raise DataError(_nothing_left(cube_set, quarantine), f"{address(quarantine_path(settings))} names all")
    document = {"set": folder.name, "checksum": digest_json(folder.name)}
    write_small(settings.cubes_folder / "current.json", json.dumps(document).encode())


def _nothing_left(cube_set: SetReceipt, quarantine: pd.DataFrame) -> str:
    """Why there is no set, by the first of the reasons."""
    more = f" (and {len(quarantine) - 1} more)" if len(quarantine) > 1 else ""
    first = f"{quarantine['reason'].iloc[0]}{more}"
    if cube_set["places_in"]:
        return f"no place is left: all {cube_set['places_in']} are in quarantine: {first}"
    refused = cube_set["stores_refused"]
    return f"no store could be used, {refused} {'was' if refused == 1 else 'were'} refused: {first}"


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
        document = json.loads(read_small(note))
        name, checksum = str(document["set"]), document["checksum"]
    except FileNotFoundError as error:
        raise UsageError(
            f"there are no cubes of recipe {settings.recipe.name!r} below {address(settings.data)}",
            "Run 'sarpipe preprocess SOURCE' first, with the same --data and --recipe",
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedError(f"{note} is damaged", "Run 'sarpipe preprocess SOURCE' again") from error
    if checksum != digest_json(name) or Path(name).name != name:
        raise DamagedError(f"{note} is damaged", "Run 'sarpipe preprocess SOURCE' again")
    try:
        return synced(settings.cubes_folder / name)
    except FileNotFoundError as error:
        raise UsageError(f"{settings.cubes_folder / name} is gone", "Run 'sarpipe preprocess SOURCE' again") from error


def _write_set(folder: Path, units: Sequence[StoreReceipt], refused: Mapping[str, str]) -> None:
    with ThreadPoolExecutor(LOOKS) as looking:
        artefacts = list(looking.map(lambda unit: fetched(Path(unit["folder"]), unit["digest"]), units))
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
    _write_json(folder / "counts.json", _counts(artefacts, kept, quarantine, refused))


def _counts(
    units: Sequence[Artefact], kept: pd.DataFrame, quarantine: pd.DataFrame, refused: Mapping[str, str]
) -> dict[str, int]:
    """The account of the places. What went in was counted when the stores were read, not from what came out."""
    counts = {
        "places_in": sum(json.loads(unit.path("unit.json").read_bytes())["places"] for unit in units),
        "places_kept": len(kept),
        "places_quarantined": int((quarantine["id"] != "").sum()),
        "stores_refused": len(refused),
    }
    if counts["places_in"] != counts["places_kept"] + counts["places_quarantined"]:
        raise DamagedError(f"places were lost: {counts}", "Run 'sarpipe preprocess SOURCE --force'")
    return counts


def _with_place(artefact: Artefact) -> pd.DataFrame:
    table = pd.read_parquet(artefact.path("index.parquet"))
    table[UNIT] = artefact.folder.name
    table[UNIT_ROW] = np.arange(len(table))
    return table


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
    return INDEX.append(pa.field(UNIT, pa.string())).append(pa.field(UNIT_ROW, pa.int64()))


def _empty(schema: pa.Schema) -> pd.DataFrame:
    return pd.DataFrame(schema.empty_table().to_pandas())


def _empty_index() -> pd.DataFrame:
    return _empty(_set_schema())


def _concatenate(tables: Sequence[pd.DataFrame], empty: pd.DataFrame) -> pd.DataFrame:
    filled = [table for table in tables if len(table)]
    return pd.concat(filled, ignore_index=True) if filled else empty


def _write_json(path: Path, value: Mapping[str, object]) -> None:
    path.write_text(json.dumps(value, indent=1, sort_keys=True) + "\n", encoding="utf-8")
