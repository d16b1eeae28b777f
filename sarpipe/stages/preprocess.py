"""Stage preprocess: stores to units of cubes, one unit a store, a shard or a group of files."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from sarpipe.codes import Code
from sarpipe.errors import DataError
from sarpipe.preprocess.kernel import way
from sarpipe.preprocess.truth import truth_path
from sarpipe.preprocess.unit import write_unit
from sarpipe.settings import Settings
from sarpipe.ssl4eo import (
    Archive,
    RemoteGroup,
    Source,
    UnreadablePlace,
    find_stores,
    is_store_name,
    open_source,
    store_name,
)
from sarpipe.ssl4eo.bundle import Bundle, shown_id
from sarpipe.ssl4eo.remote import (
    REQUESTS,
    RemoteArchive,
    has_checksums,
    local_copy,
    look_again,
    open_remote,
    truth_of,
    truth_sha256,
)
from sarpipe.ssl4eo.zarr2 import array_info
from sarpipe.stages.cubes_parquet import with_parquet
from sarpipe.stages.step import Receipt, Step, made_from, made_here, make, plan_step, put_away, receipt, refused
from sarpipe.storage import Artefact, RemotePath, file_sha256, inspect

CODE = ("channels.py", "preprocess", "ssl4eo")
LOOKS = 8
"""Units that are looked at side by side: hashing leaves Python's lock, and the disk may be what is waited for."""


_NAMES = "Give it one of letters, digits, '.', '_' and '-', of at most 120 characters, and not 'set'"


class StoreReceipt(Receipt):
    """What is known of a store after it has run: places of which cubes were made, and those in quarantine."""

    places: int
    quarantined: int


def ledger(settings: Settings) -> Path:
    """Where the checksums of unpacked stores are kept."""
    return settings.data / "sources"


def plan_preprocess(
    settings: Settings, source: str | Path, *, force: bool = False, remember: bool = True
) -> list[Step]:
    """One step for each store that ``source`` names, in the order of their names.

    A store that cannot be opened is a step too, ``refused``. With ``remember`` the checksums of unpacked stores that
    are seen for the first time are written down, and what killed runs have left beside whole units is put away;
    without it nothing is written.

    Raises:
        UsageError: There is nothing at ``source``, or no store.
    """
    stores = find_stores(source)
    # Once, before the threads: where several parse source at a time, CPython 3.11 can fail ("AST constructor recursion
    # depth mismatch").
    made_here(CODE)
    # Where they are remote, or what is made of them is, a plan waits more than it works.
    waits = settings.data_url is not None or any(isinstance(store, RemotePath | RemoteGroup) for store in stores)
    with ThreadPoolExecutor(REQUESTS if waits else LOOKS) as looking:
        look = partial(_plan_store, settings, force=force, remember=remember)
        steps = list(looking.map(look, stores))
        if settings.format == "parquet":
            steps = list(looking.map(partial(with_parquet, settings, remember=remember), steps))
        return steps


def make_store(step: Step, settings: Settings) -> StoreReceipt:
    """Make the unit of one store, unless it is there. Runs on a Dask worker.

    Raises:
        DataError: The store cannot be used, or is not the one that was planned for.
    """
    started = time.monotonic()
    settings, source = settings.here(), look_again(_source(step))
    planned = _plan_store(settings, source, force=False, remember=True)
    if planned.state == "refused":
        raise planned.refusal()
    if planned.key != step.key:
        raise DataError(f"{source} has changed since this run was planned", "Run it again", code=Code.CHANGED)

    def write(folder: Path) -> None:
        with local_copy(source) as path:
            write_unit(folder, path, settings.recipe, ledger(settings))
            # Its own checksums say what was read. Without them only the server can say that nothing has changed.
            now = path if has_checksums(source) else look_again(source)
            if _inputs(_opened(settings, now, remember=True), path) != step.meta["inputs"]:
                raise DataError(f"{source} has changed while it was read", "Run it again", code=Code.CHANGED)

    # In the folder that it has on this machine.
    artefact, computed = make(replace(step, folder=planned.folder), write)
    return _receipt(step, artefact, computed=computed, seconds=time.monotonic() - started)


def unit_receipt(step: Step) -> StoreReceipt:
    """The receipt of a unit that the plan has found whole."""
    if step.folder is None:
        raise ValueError(f"step {step.name} has no folder")
    return _receipt(step, inspect(step.folder), computed=False, seconds=0.0)


def _plan_store(settings: Settings, source: Source, *, force: bool, remember: bool) -> Step:
    name = store_name(source)
    if not is_store_name(name):
        unusable = DataError(f"its name {ascii(name)[:100]} cannot name what is made of it", _NAMES, code=Code.BAD_ID)
        return refused("preprocess", shown_id(name), unusable, source)
    try:
        opened = _opened(settings, source, remember=remember)
        inputs = _inputs(opened, source)
    except DataError as error:
        return refused("preprocess", name, error, source)
    planned = plan_step(
        "preprocess",
        name,
        settings.cubes_folder,
        inputs=inputs,
        settings=settings.recipe.model_dump(mode="json"),
        code=CODE,
        force=force,
    )
    step = made_from(planned, source, _places(opened))
    if step.done and remember:
        put_away(step)
    try:
        if step.done and isinstance(opened, Bundle) and _is_mended(step, opened):
            return replace(step, state="forced", why="there, but a place that could not be read is now another")
    except DataError as error:
        return refused("preprocess", name, error, source)
    return step


def _is_mended(step: Step, bundle: Bundle) -> bool:
    """Whether places of a unit that could not be read are not as they were.

    The fingerprint of a bundle does not hold the bytes of its places, so a place that was damaged and has been fetched
    again may leave it as it was.
    """
    if step.folder is None:
        raise ValueError(f"step {step.name} has no folder")
    unit = inspect(step.folder)
    unreadable = set(json.loads(unit.path("unit.json").read_bytes())["unreadable"])
    if not unreadable:
        return False
    table = pq.read_table(unit.path("quarantine.parquet"), columns=["id", "reason"]).to_pylist()
    before = sorted(row["reason"] for row in table if row["id"] in unreadable)
    now = replace(bundle, members=tuple(m for m in bundle.members if shown_id(m.key) in unreadable))
    return before != sorted(part.reason for part in now.read() if isinstance(part, UnreadablePlace))


def _receipt(step: Step, artefact: Artefact, *, computed: bool, seconds: float) -> StoreReceipt:
    return {
        **receipt(step, artefact, computed=computed, seconds=seconds),
        "places": _rows(artefact, "index.parquet"),
        "quarantined": _rows(artefact, "quarantine.parquet"),
    }


def _opened(settings: Settings, source: Source, *, remember: bool) -> Archive | Bundle | RemoteArchive:
    if isinstance(source, RemotePath | RemoteGroup):
        return open_remote(source)
    return open_source(source, ledger(settings), remember=remember)


def _inputs(opened: Archive | Bundle | RemoteArchive, source: Source) -> dict[str, Any]:
    """What a unit is made from: the same for a zip and its copy elsewhere (a tar or group at a URL is not)."""
    return {
        "store": opened.fingerprint,
        "source_bytes": opened.source_bytes,
        "truth": _truth_sha256(source),
        "kernel": way(),
    }


def _places(opened: Archive | Bundle | RemoteArchive) -> int:
    """How many places there are, if that is known without fetching anything; what is wrong is said where it is read."""
    if isinstance(opened, Bundle):
        return len(opened.members)
    with suppress(DataError):
        if isinstance(opened, Archive):
            return array_info(opened, "bands").shape[0]
    return 0


def _truth_sha256(source: Source) -> str | None:
    if isinstance(source, RemotePath | RemoteGroup):
        return truth_sha256(truth_of(source))
    truth = truth_path(source)
    try:
        return file_sha256(truth) if truth.exists() else None
    except OSError as error:
        raise DataError(f"{truth} cannot be read: {error.strerror}", "Fetch it again", code=Code.IO) from error


def _source(step: Step) -> Source:
    if step.source is None:
        raise ValueError(f"step {step.name} has no store")
    return step.source


def _rows(artefact: Artefact, name: str) -> int:
    return int(pq.read_metadata(artefact.path(name)).num_rows)
