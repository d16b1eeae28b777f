"""The set of cubes that the later stages work on: which places of which units, and those in quarantine."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from sarpipe.codes import Code
from sarpipe.errors import DamagedError, DataError, UsageError
from sarpipe.preprocess.unit import INDEX
from sarpipe.quarantine import ENTRIES, Refusal, read_quarantine
from sarpipe.settings import Settings
from sarpipe.stages.conservation import check_set, check_unit
from sarpipe.stages.places import UNIT, UNIT_ROW
from sarpipe.stages.preprocess import LOOKS, StoreReceipt
from sarpipe.stages.quarantine import quarantine_path
from sarpipe.stages.step import Receipt, Step, make, plan_step, receipt
from sarpipe.storage import Artefact, address, digest_json, fetched, open_verified, read_small, synced, write_small

CODE = ("stages/cube_set.py", "stages/places.py", "preprocess/unit.py", "quarantine.py", "stages/conservation.py")


class SetReceipt(Receipt):
    """What is known of a set: places read, kept and quarantined, stores refused, and how many of both by code."""

    places_in: int
    places_kept: int
    places_quarantined: int
    stores_refused: int
    codes: dict[str, int]


def plan_set(settings: Settings, units: Sequence[StoreReceipt], refused: Mapping[str, Refusal]) -> Step:
    """The step that makes the set of all places of these units."""
    return plan_step(
        "preprocess",
        "all stores",
        settings.cubes_folder,
        inputs={
            "units": {unit["name"]: unit["digest"] for unit in units},
            "folders": [Path(unit["folder"]).name for unit in units],
            "refused": {name: dict(refusal) for name, refusal in refused.items()},
        },
        settings=settings.recipe.model_dump(mode="json"),
        code=CODE,
        label="set",
    )


def make_set(step: Step, units: Sequence[StoreReceipt], refused: Mapping[str, Refusal]) -> SetReceipt:
    """Make the set of all places of these units.

    A place id that an earlier store has too is quarantined: ids are unique in everything that follows.

    Args:
        step: From `plan_set`.
        units: Receipts, in the order of their stores.
        refused: Name of a store that could not be used, to why.

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
        "codes": _codes(artefact),
    }


def publish_set(settings: Settings, cube_set: SetReceipt) -> None:
    """Note a set as the current one of its recipe.

    Raises:
        DataError: No place is left.
    """
    folder = Path(cube_set["folder"])
    if not cube_set["places_kept"]:
        reason = _nothing_left(cube_set, read_quarantine(open_verified(folder)))
        raise DataError(reason, f"{address(quarantine_path(settings))} names all", code=Code.TOO_FEW)
    document = {"set": folder.name, "checksum": digest_json(folder.name)}
    write_small(settings.cubes_folder / "current.json", json.dumps(document).encode())


def _codes(cube_set: Artefact) -> dict[str, int]:
    """How many entries of the quarantine have each code."""
    return dict(sorted(Counter(read_quarantine(cube_set)["code"].tolist()).items()))


def _nothing_left(cube_set: SetReceipt, quarantine: pd.DataFrame) -> str:
    """Why there is no set, by the first of the reasons."""
    more = f" (and {len(quarantine) - 1} more)" if len(quarantine) > 1 else ""
    first = f"{quarantine['reason'].iloc[0]}{more}"
    if cube_set["places_in"]:
        return f"no place is left: all {cube_set['places_in']} are in quarantine: {first}"
    refused = cube_set["stores_refused"]
    return f"no store could be used, {refused} {'was' if refused == 1 else 'were'} refused: {first}"


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
            code=Code.NOT_MADE,
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedError(f"{note} is damaged", "Run 'sarpipe preprocess SOURCE' again") from error
    if checksum != digest_json(name) or Path(name).name != name:
        raise DamagedError(f"{note} is damaged", "Run 'sarpipe preprocess SOURCE' again")
    try:
        found = synced(settings.cubes_folder / name)
    except FileNotFoundError as error:
        raise UsageError(
            f"{settings.cubes_folder / name} is gone", "Run 'sarpipe preprocess SOURCE' again", code=Code.NOT_MADE
        ) from error
    if not str(found.meta.get("key")).startswith(name.rsplit("-", 1)[-1]):
        why = f"{address(found.folder)} has the key of something else"
        raise DamagedError(why, "Run 'sarpipe preprocess SOURCE' again")
    return found


def _write_set(folder: Path, units: Sequence[StoreReceipt], refused: Mapping[str, Refusal]) -> None:
    with ThreadPoolExecutor(LOOKS) as looking:
        artefacts = list(looking.map(_unit, units))
    for artefact in artefacts:
        check_unit(artefact)
    index = _concatenate([_with_place(artefact) for artefact in artefacts], _empty_index())
    twice = index["id"].duplicated()
    whole_stores = pd.DataFrame(
        [{"id": "", "store": name, "step": "open", **refusal} for name, refusal in refused.items()],
        columns=ENTRIES.names,
        dtype=object,
    )
    quarantine = pd.concat(
        [
            *(_put_aside(artefact) for artefact in artefacts),
            _duplicates(index, twice),
            whole_stores,
        ],
        ignore_index=True,
    )
    kept = index[~twice]
    pq.write_table(pa.Table.from_pandas(kept, _set_schema(), preserve_index=False), folder / "index.parquet")
    pq.write_table(pa.Table.from_pandas(quarantine, ENTRIES, preserve_index=False), folder / "quarantine.parquet")
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


def _unit(receipt: StoreReceipt) -> Artefact:
    """The unit that a receipt is of. The set's key holds its digest, so no other will do."""
    found = fetched(Path(receipt["folder"]), receipt["digest"])
    if found.digest != receipt["digest"]:
        hint = "Run it again: it is looked at anew"
        raise DamagedError(f"{address(found.folder)} was replaced by other bytes while the set was made", hint)
    return found


def _counts(
    units: Sequence[Artefact], kept: pd.DataFrame, quarantine: pd.DataFrame, refused: Mapping[str, Refusal]
) -> dict[str, int]:
    """The account of the places. What went in was counted when the stores were read, not from what came out."""
    counts = {
        "places_in": sum(json.loads(unit.path("unit.json").read_bytes())["places"] for unit in units),
        "places_kept": len(kept),
        "places_quarantined": int((quarantine["id"] != "").sum()),
        "stores_refused": len(refused),
    }
    check_set(counts, kept["id"].tolist())
    return counts


def _with_place(artefact: Artefact) -> pd.DataFrame:
    table = pd.read_parquet(artefact.path("index.parquet"))
    table[UNIT] = artefact.folder.name
    table[UNIT_ROW] = np.arange(len(table))
    return table


def _put_aside(artefact: Artefact) -> pd.DataFrame:
    """The places that a unit could not use: their file could not be read, or the recipe does not take them."""
    table = pd.read_parquet(artefact.path("quarantine.parquet"))
    unreadable = json.loads(artefact.path("unit.json").read_bytes())["unreadable"]
    return table.assign(step=np.where(table["id"].isin(unreadable), "read", "cube"))


def _duplicates(index: pd.DataFrame, twice: pd.Series) -> pd.DataFrame:
    first = index.drop_duplicates("id").set_index("id")["store"]
    again = index.loc[twice, ["id", "store"]]
    reasons = [f"store {first[place]} has a place of this id too" for place in again["id"]]
    return again.assign(reason=reasons, step="collect", code=Code.DUPLICATE_ID.value)


def _truth(artefacts: Sequence[Artefact], kept: pd.DataFrame) -> pd.DataFrame | None:
    """The truth of all places; None unless every place has all of it."""
    paths = [artefact.path("truth.parquet") for artefact in artefacts]
    if not paths or not all("truth.parquet" in artefact.files for artefact in artefacts):
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
