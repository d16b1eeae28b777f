"""Stage preprocess: stores to units of cubes, one unit a store."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pyarrow.parquet as pq

from sarpipe.errors import DataError
from sarpipe.preprocess.unit import truth_path, write_unit
from sarpipe.settings import Settings
from sarpipe.ssl4eo import find_stores, open_archive, store_name
from sarpipe.stages.cubes_parquet import with_parquet
from sarpipe.stages.step import Receipt, Step, made_from, make, plan_step, receipt, refused
from sarpipe.storage import Artefact, file_sha256, inspect

CODE = ("channels.py", "preprocess", "ssl4eo")
LOOKS = 8
"""Units that are looked at side by side: hashing leaves Python's lock, and the disk may be what is waited for."""


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
    are seen for the first time are written down; without it nothing is written.

    Raises:
        UsageError: There is nothing at ``source``, or no store.
    """
    with ThreadPoolExecutor(LOOKS) as looking:
        look = partial(_plan_store, settings, force=force, remember=remember)
        steps = list(looking.map(look, find_stores(source)))
        return list(looking.map(partial(with_parquet, settings), steps)) if settings.format == "parquet" else steps


def make_store(step: Step, settings: Settings) -> StoreReceipt:
    """Make the unit of one store, unless it is there. Runs on a Dask worker.

    Raises:
        DataError: The store cannot be used, or is not the one that was planned for.
    """
    started = time.monotonic()
    path = _source(step)
    planned = _plan_store(settings, path, force=False, remember=True)
    if planned.state == "refused":
        raise DataError(planned.why)
    if planned.key != step.key:
        raise DataError(f"{path} has changed since this run was planned", "Run it again")

    def write(folder: Path) -> None:
        write_unit(folder, path, settings.recipe, ledger(settings))
        if _plan_store(settings, path, force=False, remember=True).key != step.key:
            raise DataError(f"{path} has changed while it was read", "Run it again")

    artefact, computed = make(step, write)
    return _receipt(step, artefact, computed=computed, seconds=time.monotonic() - started)


def unit_receipt(step: Step) -> StoreReceipt:
    """The receipt of a unit that the plan has found whole."""
    if step.folder is None:
        raise ValueError(f"step {step.name} has no folder")
    return _receipt(step, inspect(step.folder), computed=False, seconds=0.0)


def _plan_store(settings: Settings, path: Path, *, force: bool, remember: bool) -> Step:
    name = store_name(path)
    try:
        archive = open_archive(path, ledger(settings), remember=remember)
    except DataError as error:
        return refused("preprocess", name, str(error), path)
    truth = truth_path(path)
    step = plan_step(
        "preprocess",
        name,
        settings.cubes_folder,
        inputs={
            "store": archive.fingerprint,
            "source_bytes": archive.source_bytes,
            "truth": file_sha256(truth) if truth.exists() else None,
        },
        settings=settings.recipe.model_dump(mode="json"),
        code=CODE,
        force=force,
    )
    return made_from(step, path)


def _receipt(step: Step, artefact: Artefact, *, computed: bool, seconds: float) -> StoreReceipt:
    return {
        **receipt(step, artefact, computed=computed, seconds=seconds),
        "places": _rows(artefact, "index.parquet"),
        "quarantined": _rows(artefact, "quarantine.parquet"),
    }


def _source(step: Step) -> Path:
    if step.source is None:
        raise ValueError(f"step {step.name} has no store")
    return step.source


def _rows(artefact: Artefact, name: str) -> int:
    return int(pq.read_metadata(artefact.path(name)).num_rows)
