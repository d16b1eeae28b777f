"""One store on a Dask worker: what is done there, and what is looked at before and after."""

from __future__ import annotations

import time
from functools import cache
from pathlib import Path
from typing import Any

from distributed import KilledWorker

from sarpipe.cluster import compute
from sarpipe.codes import Code
from sarpipe.errors import ClusterError, DamagedError, DataError
from sarpipe.heap import keep_freed_memory
from sarpipe.preprocess.kernel import way
from sarpipe.runs.log import note_failure, note_try, note_unit
from sarpipe.runs.usage import Usage, peak_memory_bytes
from sarpipe.settings import Settings
from sarpipe.stages.cubes_parquet import make_parquet
from sarpipe.stages.preprocess import CODE, StoreReceipt, make_store
from sarpipe.stages.step import Step, made_here
from sarpipe.storage import Artefact, fetched

TIMEOUT_SECONDS = 1800
"""A store takes seconds."""

_NOT_OF_UNITS = ("torch",)
"""Libraries that have no part in the bytes of a unit, so that a worker may have another build of them."""


def make_on_worker(step: Step, settings: Settings) -> StoreReceipt:
    """Make the unit of one store on a worker of the session, and see that it has come out here.

    Raises:
        DataError: The store cannot be used, or the workers that make its unit die of it.
        ClusterError: The worker has another sarpipe or sees other files, or the cluster is gone.
        DamagedError: What is there is not what the worker has made.
        TimeoutError: It took longer than `TIMEOUT_SECONDS`.
    """
    if step.state == "refused":
        raise step.refusal()
    note_try(step.name)
    try:
        receipt, usage, made = _made_on_worker(step, settings)
    except Exception as error:
        note_failure(step, error)
        raise
    note_unit(step, receipt, usage, made.bytes)
    return receipt


def _made_on_worker(step: Step, settings: Settings) -> tuple[StoreReceipt, Usage, Artefact]:
    try:
        receipt, usage = compute(_measured_work, step, settings, timeout=TIMEOUT_SECONDS)
    except KilledWorker as error:
        raise DataError(
            f"{2 * (error.allowed_failures + 1)} Dask workers died while they made the unit of {step.source}, the last "
            f"{error.allowed_failures + 1} with nothing beside it: killed, crashed, or out of memory",
            _MEMORY,
            code=Code.WORKER_DIED,
        ) from error
    except MemoryError as error:
        raise DataError(
            f"a Dask worker's memory does not suffice for {step.source} ({error})", _MEMORY, code=Code.MEMORY
        ) from error
    try:
        # Output at a URL is fetched from there: the worker may be another machine, with a cache of its own.
        found = fetched(Path(receipt["folder"]), receipt["digest"])
    except FileNotFoundError as error:
        raise ClusterError(
            f"a Dask worker has made {receipt['folder']}, which is not there as this process sees it", _PATHS
        ) from error
    if found.digest != receipt["digest"]:
        raise DamagedError(f"{found.folder} is not what the Dask worker has made", "Run it again: it is looked at anew")
    return receipt, usage, found


def _measured_work(step: Step, settings: Settings) -> tuple[StoreReceipt, Usage]:
    """`work`, and what it took. Runs on a Dask worker."""
    started, cpu = time.monotonic(), time.process_time()
    receipt = work(step, settings)
    return receipt, {
        "worker": _address() or "",
        "seconds": round(time.monotonic() - started, 3),
        # Of the whole process: a worker of several threads counts what they did side by side, to each.
        "cpu_seconds": round(time.process_time() - cpu, 3),
        "peak_memory_bytes": peak_memory_bytes(),
    }


def work(step: Step, settings: Settings) -> StoreReceipt:
    """Make the unit of one store, and write it as Parquet too where that is asked for. Runs on a Dask worker.

    Raises:
        DataError: The store cannot be used, or is not the one that was planned for.
        ClusterError: This worker has another sarpipe than the process that has planned, or does not see the store.
    """
    _check_versions(step.meta)
    if isinstance(step.source, Path) and not step.source.exists():
        raise ClusterError(f"{_here()} does not see {step.source}", _PATHS)
    _keep_freed_memory()
    receipt = make_store(step, settings)
    if settings.format == "parquet":
        make_parquet(settings, receipt, force=step.state == "forced")
    return receipt


_MEMORY = "Run it again to try it again; --workers 1 gives its worker all of the memory"
_PATHS = "Workers must see stores and output at the same paths as the process that uses them (a shared file system)"


@cache
def _keep_freed_memory() -> None:
    """Once a process. Dask has glibc give back what is freed every 64 KiB at once: measured, a place then takes seven
    times as long.
    """
    keep_freed_memory(256 * 1024 * 1024)


def _check_versions(planned: Any) -> None:
    here = made_here(CODE)
    if here["code"] != planned["code"]:
        raise ClusterError(f"{_here()} has another version of sarpipe's code than this run was planned with", _INSTALL)
    differing = [
        f"{name} {here['versions'][name]} instead of {version}"
        for name, version in planned["versions"].items()
        if name not in _NOT_OF_UNITS and here["versions"][name] != version
    ]
    if differing:
        raise ClusterError(f"{_here()} has {', '.join(differing)}: its cubes might not be the same", _INSTALL)
    if planned["inputs"]["kernel"] != way():
        raise ClusterError(
            f"{_here()} takes the steps of preprocessing by the way {way()!r}, and this run was planned for "
            f"{planned['inputs']['kernel']!r}: their bytes are not the same",
            "Install sarpipe with a C compiler on all machines, or on none",
        )


_INSTALL = "Install the same versions on every worker as where 'sarpipe' is called"


def _here() -> str:
    address = _address()
    return "this process" if address is None else f"the Dask worker {address}"


def _address() -> str | None:
    from distributed import get_worker

    try:
        return str(get_worker().address)
    except ValueError:
        return None
