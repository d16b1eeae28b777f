"""Dask: where the units of a stage are computed."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from threading import BoundedSemaphore
from typing import Any, TypeVar

import dask
from distributed import Client, LocalCluster

from sarpipe.errors import UsageError

T = TypeVar("T")

_WORKER_ENVIRONMENT = {
    # A unit has one core: more workers, not more threads, use the others.
    **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), 1),
    # Dask lets glibc give back every 64 KiB at once, so that each image is a new mapping whose pages fault one by
    # one: measured, a place then takes seven times as long. Images stay in the heap instead.
    "MALLOC_TRIM_THRESHOLD_": 256 * 1024 * 1024,
    "MALLOC_MMAP_THRESHOLD_": 64 * 1024 * 1024,
}

UNITS_A_WORKER = 2
"""So many calls are with Dask at a time for each worker: one that runs and one that is ready. The others wait here."""

_session: ContextVar[tuple[Client, BoundedSemaphore]] = ContextVar("sarpipe_dask_session")


@contextmanager
def dask_session(units: int, *, workers: int | None = None, address: str | None = None) -> Iterator[Client]:
    """Workers for the time of a ``with`` block: own processes on this machine, or those of a running scheduler.

    Own workers have one thread each and listen on the loopback alone; they end with the block.

    Args:
        units: How many are to be made: there are never more own workers than that.
        workers: Own processes; None: one for each CPU core that this process may use. Not used with ``address``.
        address: ``tcp://host:port`` of a running scheduler. Its workers must see the same paths.

    Raises:
        UsageError: Nothing answers at ``address``.
    """
    logging.getLogger("distributed").setLevel(logging.WARNING)
    if address is None:
        with (
            _own_environment(),
            dask.config.set({"distributed.nanny.pre-spawn-environ": _WORKER_ENVIRONMENT}),
            LocalCluster(
                n_workers=min(workers or _available_cores(), units),
                threads_per_worker=1,
                host="127.0.0.1",
                # The scheduler has an HTTP server in any case: on the loopback, on a port that is free.
                dashboard_address="127.0.0.1:0",
                # What goes wrong on a worker comes back with its result; its log only adds noise at the end.
                silence_logs=logging.CRITICAL,
            ) as cluster,
            Client(cluster, set_as_default=False) as client,
        ):
            yield from _as_current(client)
        return
    try:
        client = Client(address, set_as_default=False, timeout=10)
    except (OSError, TimeoutError, ValueError) as error:
        raise UsageError(
            f"no Dask scheduler answers at {address}", "Start one with 'dask scheduler', or leave --dask out"
        ) from error
    with client:
        yield from _as_current(client)


def compute(function: Callable[..., T], *arguments: Any, timeout: float) -> T:
    """Run one call on the workers of the session and wait for it.

    A worker that dies is an exception here (``distributed.KilledWorker``), after Dask has tried other workers.

    Args:
        function: Importable on the workers; so are its arguments and its result, which should be small.
        arguments: For the function.
        timeout: Seconds from when the call is handed to Dask, where at most one other is before it. The worker is not
            stopped: it stays busy until the call ends.

    Raises:
        TimeoutError: It took longer.
        LookupError: There is no session.
    """
    client, slots = _session.get()
    with slots:
        future = client.submit(function, *arguments, pure=False)
        try:
            result: T = future.result(timeout=timeout)
        except BaseException:
            future.cancel()
            raise
    return result


def _available_cores() -> int:
    return len(os.sched_getaffinity(0))


@contextmanager
def _own_environment() -> Iterator[None]:
    """Give this process its environment back: Dask sets that of its workers here too, and leaves it. Training, which
    comes afterwards, would then have one thread, and other bits than a training alone.
    """
    before = dict(os.environ)
    try:
        yield
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)


def _as_current(client: Client) -> Iterator[Client]:
    workers = max(1, len(client.scheduler_info(n_workers=-1)["workers"]))
    token = _session.set((client, BoundedSemaphore(UNITS_A_WORKER * workers)))
    try:
        yield client
    finally:
        _session.reset(token)
