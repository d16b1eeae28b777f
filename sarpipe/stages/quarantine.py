"""The list of what could not be used, for people: how to look at each entry, and how to try it again."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shlex
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from sarpipe.codes import Code
from sarpipe.errors import DamagedError, DataError, UsageError
from sarpipe.quarantine import ENTRIES, read_quarantine, with_help
from sarpipe.settings import Settings
from sarpipe.ssl4eo import Source, Store, UnreadablePlace, find_stores, read_parts, store_name
from sarpipe.ssl4eo.bundle import shown_id
from sarpipe.ssl4eo.remote import local_copy
from sarpipe.stages.step import Step
from sarpipe.storage import Artefact, address, is_url, local_path, read_small, write_small

_CHECKSUM = "sarpipe.checksum"
_LISTED = pa.schema([*ENTRIES, *((name, pa.string()) for name in ("path", "helps", "look", "retry"))])


def quarantine_path(settings: Settings) -> Path:
    """The list of the recipe's quarantined places and refused stores: a CSV; a Parquet file of the same lies beside."""
    return settings.data / "quarantine" / f"{settings.cubes_folder.name}.csv"


def publish_quarantine(settings: Settings, cube_set: Artefact, steps: Iterable[Step], source: str) -> pd.DataFrame:
    """Write the list of what this set could not use.

    ``id, store, step, code, reason, path, helps, look, retry``: the id is empty for a whole store; ``path`` is where
    the store lies; ``look`` and ``retry`` are commands. The Parquet file knows the checksum of the CSV's bytes, which
    is that of its own rows too.

    Args:
        settings: Of the run.
        cube_set: The set.
        steps: The plan that it was made by.
        source: As it was given.
    """
    paths = {step.name: str(step.source) for step in steps}
    listed = with_help(read_quarantine(cube_set))
    listed["path"] = [paths.get(store, "") for store in listed["store"]]
    where = _options(settings)
    listed["look"] = [
        shlex.join(["sarpipe", "quarantine", *(["--id", place] if place else ["--store", store]), *where])
        for place, store in zip(listed["id"], listed["store"], strict=True)
    ]
    whole = source if is_url(source) else os.path.abspath(local_path(source))
    listed["retry"] = shlex.join(["sarpipe", "preprocess", whole, *where])
    listed = pd.DataFrame(listed[_LISTED.names])
    csv, buffer = quarantine_path(settings), io.BytesIO()
    table = pa.Table.from_pandas(listed, _LISTED, preserve_index=False)
    pq.write_table(table.replace_schema_metadata({_CHECKSUM: hashlib.sha256(as_csv(listed)).hexdigest()}), buffer)
    write_small(csv, as_csv(listed))
    write_small(csv.with_suffix(".parquet"), buffer.getvalue())
    return listed


def as_csv(listed: pd.DataFrame) -> bytes:
    """The bytes of the CSV file of a list."""
    return listed.to_csv(index=False, lineterminator="\n").encode()


def listed_quarantine(settings: Settings) -> pd.DataFrame:
    """The list that the last run of this recipe has written, as `publish_quarantine` says.

    One of an earlier version of sarpipe may lack columns, which are empty then.

    Raises:
        UsageError: Nothing was preprocessed yet.
        DamagedError: It is not what was written.
    """
    path = quarantine_path(settings).with_suffix(".parquet")
    hint = "Run 'sarpipe preprocess SOURCE' first, with the same --data and --recipe"
    try:
        return read_list(path).reindex(columns=_LISTED.names, fill_value="")
    except FileNotFoundError as error:
        raise UsageError(
            f"there is no list of quarantined places at {address(path)}", hint, code=Code.NOT_MADE
        ) from error


def read_list(path: Path) -> pd.DataFrame:
    """The Parquet file of a list, compared with the checksum that it knows. Its columns are those of the version of
    sarpipe that has written it.

    Raises:
        FileNotFoundError: There is none.
        DamagedError: It is not what was written.
    """
    damaged = DamagedError(f"{address(path)} is damaged", "Run 'sarpipe preprocess SOURCE' again: it writes it anew")
    data = read_small(path)
    try:
        table = pq.read_table(io.BytesIO(data))
        listed = pd.DataFrame(table.to_pandas())
    except (OSError, ValueError, pa.ArrowException) as error:
        raise damaged from error
    known = (table.schema.metadata or {}).get(_CHECKSUM.encode(), b"").decode(errors="replace")
    if any(kind != pa.string() for kind in table.schema.types) or known != hashlib.sha256(as_csv(listed)).hexdigest():
        raise damaged
    return listed


def look(path: str, store: str, place: str) -> str:
    """What is at a store or a place now, in words: its error and code, or by date and band what the pixels hold.

    Args:
        path: Where the store lies, from the list.
        store: Its name.
        place: The id; empty for the whole store.

    Raises:
        UsageError: There is nothing at the path any more.
    """
    source = next((one for one in find_stores(path) if shown_id(store_name(one)) == shown_id(store)), None)
    if source is None:
        raise UsageError(f"{path} holds no store {store}", "Run 'sarpipe preprocess SOURCE' again")
    try:
        return _looked(source, place)
    except DataError as error:
        return f"{error} [{error.code}]"


def _looked(source: Source, place: str) -> str:
    places = 0
    with local_copy(source) as copy:
        for part in read_parts(copy):
            if isinstance(part, UnreadablePlace):
                if part.id == place:
                    return f"{part.reason} [{part.code}]"
            elif place in part.ids:
                return _of_place(part, part.ids.index(place))
            places += 1 if isinstance(part, UnreadablePlace) else len(part.ids)
    return f"{places} places, and none of them is {place}" if place else f"all of its {places} places can be read now"


def _of_place(store: Store, row: int) -> str:
    lines = [
        f"place {row + 1} of {len(store.ids)} of {store.name}, "
        f"latitude {store.latitude[row]:.5f}, longitude {store.longitude[row]:.5f}"
    ]
    for date, product, db in zip(store.dates[row], store.products[row], store.place(row), strict=True):
        when = "unknown date" if np.isnat(date) else str(date)[:19]
        lines.append(f"  {when} {product or 'product not known'}")
        for band, values in zip(("VV", "VH"), db.astype(np.float32), strict=True):
            finite = values[np.isfinite(values)]
            said = (
                f"{finite.min():.1f} to {finite.max():.1f} dB, median {np.median(finite):.1f}, "
                f"{(finite == 0).mean():.1%} exactly 0"
                if finite.size
                else "no number"
            )
            lines.append(f"    {band} {finite.size / values.size:.1%} finite: {said}")
    return "\n".join(lines)


def _options(settings: Settings) -> list[str]:
    """The options that name this output and recipe."""
    chosen = settings.recipe.model_dump(mode="json", exclude_defaults=True, exclude={"name"})
    options = ["--data", address(settings.data)]
    if settings.recipe.name != "sar":
        options += ["--recipe", settings.recipe.name]
    for name, value in chosen.items():
        options += ["--set", f"recipe.{name}={json.dumps(value)}"]
    return options
