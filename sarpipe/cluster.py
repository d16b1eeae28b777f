"""Dask: where the units of a stage are computed."""

from __future__ import annotations

import importlib.util
import logging
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager
from contextvars import ContextVar
from multiprocessing import resource_tracker
from ssl import SSLError
from threading import Condition, Event
from typing import Any, TypeVar

import dask
from dask.utils import parse_timedelta
from distributed import Client, Future, KilledWorker, LocalCluster
from distributed.client import ClosedClientError
from distributed.scheduler import NoWorkerError
from distributed.security import Security
from distributed.system import MEMORY_LIMIT

from sarpipe.codes import Code
from sarpipe.errors import ClusterError, UsageError

T = TypeVar("T")
log = logging.getLogger(__name__)

_WORKER_ENVIRONMENT = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), 1)
"""A unit has one core: more workers, not more threads, use the others."""

CALLS = 256
"""Threads that may wait for Dask at a time: a cluster of more threads is not filled from one process."""

_LOOK_SECONDS = 2.0
"""So often a session looks which workers there are, while calls wait."""
_NO_WORKER_SECONDS = 60.0
"""A cluster without any worker is given so long, unless Dask's ``distributed.scheduler.no-workers-timeout`` is set: an
adaptive one starts them when there is work, and they may wait in a queue."""

_DEATHS = 2
"""So many own workers may die under a call, and as many when it is tried again alone: more would only take longer."""

_session: ContextVar[_Session] = ContextVar("sarpipe_dask_session")


@contextmanager
def dask_session(units: int, *, workers: int | None = None, address: str | None = None) -> Iterator[Client]:
    """Workers for the time of a ``with`` block: own processes on this machine, or those of a running scheduler.

    Own workers have one thread each, an equal share of the memory, and listen on the loopback alone; they end with the
    block. One that needs more than its share is ended and replaced.

    Args:
        units: How many are to be made: there are never more own workers than that.
        workers: Own processes; None: one for each CPU core that this process may use. Not used with ``address``.
        address: ``tcp://host:port`` of a running scheduler, or ``tls://host:port`` with the certificates that Dask's
            settings name (``distributed.comm.tls``). Its workers must have this sarpipe and see the same paths.

    Raises:
        UsageError: ``address`` is none, nothing answers there, or the certificates for it are missing or refused.
        ClusterError: The scheduler at ``address`` or one of its workers does not have sarpipe.
    """
    logging.getLogger("distributed").setLevel(logging.WARNING)
    if address is None:
        count = min(workers or _available_cores(), units)
        with (
            _own_environment(),
            dask.config.set(
                {
                    "distributed.nanny.pre-spawn-environ": _WORKER_ENVIRONMENT,
                    "distributed.scheduler.allowed-failures": _DEATHS - 1,
                }
            ),
            _own_workers(count) as cluster,
            Client(cluster, set_as_default=False) as client,
        ):
            yield from _as_current(client, "of this process")
        return
    _check_address(address)
    _check_encryption(address)
    try:
        client = Client(address, set_as_default=False, timeout=10)
    except (OSError, TimeoutError, ValueError) as error:
        raise _no_answer(address, error) from error
    # What is lost is said once, by the error of the call that lost it.
    logging.getLogger("distributed.client").setLevel(logging.CRITICAL)
    with client:
        _check_installed(client, address)
        yield from _as_current(client, f"at {address}")


def compute(function: Callable[..., T], *arguments: Any, timeout: float) -> T:
    """Run one call on the workers of the session and wait for it, from any thread.

    At a time there are with Dask at most as many calls as the workers have threads, and one more a worker that is
    ready when another ends; the others wait here. Workers that join or leave are counted within seconds. A worker that
    dies has its call done by another. A call under which several workers have died, or memory has not sufficed, is
    tried once more when no other is under way: it may have been the other's fault. What it dies of then is its own.

    Args:
        function: Importable on the workers; so are its arguments and its result, which should be small.
        arguments: For the function.
        timeout: Seconds from when the call is handed to Dask, where at most one other is before it; those in which
            there is no worker do not count. The worker is not stopped: it stays busy until the call ends.

    Raises:
        TimeoutError: It took longer.
        distributed.KilledWorker: The workers that it was given died of it.
        MemoryError: A worker's memory does not suffice.
        ClusterError: The scheduler or all workers are gone.
        LookupError: There is no session.
    """
    session = _session.get()
    try:
        with session.slot():
            return session.call(function, *arguments, timeout=timeout)
    except (KilledWorker, MemoryError) as error:
        log.info("%s, and is tried again alone: %s", function.__name__, error)
    with session.slot(alone=True):
        return session.call(function, *arguments, timeout=timeout)


class _Session:
    """A client, and the calls that it has with Dask.

    Args:
        client: Connected.
        where: Which cluster it is, for messages.
    """

    def __init__(self, client: Client, where: str) -> None:
        self._client = client
        self._where = where
        self._changed = Condition()
        self._busy = 0
        self._alone = False
        self._capacity = 0
        self._looked = self._seen = float("-inf")
        self._ended = False
        self._patience = float(
            parse_timedelta(dask.config.get("distributed.scheduler.no-workers-timeout") or _NO_WORKER_SECONDS)
        )
        self._look()
        self._seen = time.monotonic()

    @contextmanager
    def slot(self, *, alone: bool = False) -> Iterator[None]:
        """Wait until one more call may be with Dask; the right to it. ``alone``: when no other is, nor will be."""
        with self._changed:
            while self._alone or self._busy >= (1 if alone else self._capacity):
                self._check()
                self._changed.wait(_LOOK_SECONDS)
                self._look()
            self._check()
            self._busy += 1
            self._alone = alone
        try:
            yield
        finally:
            with self._changed:
                self._busy -= 1
                self._alone = False
                self._changed.notify_all()

    def call(self, function: Callable[..., T], *arguments: Any, timeout: float) -> T:
        """Hand a call to Dask and wait for its end, within a slot."""
        future = self.submit(function, *arguments)
        self.wait(future, timeout)
        result: T = self.result(future)
        return result

    def submit(self, function: Callable[..., T], *arguments: Any) -> Future[Any]:
        """Hand a call to Dask. All calls of a function are one group by the name of their keys: Dask's scheduler then
        gives a worker one more than it has threads at most.
        """
        try:
            return self._client.submit(function, *arguments, pure=False)
        except (OSError, ClosedClientError) as error:
            raise self.lost() from error

    def wait(self, future: Future[Any], timeout: float) -> None:
        """Wait until a call has ended, however it did.

        Raises:
            TimeoutError: It has not after ``timeout`` seconds in which there was a worker.
            ClusterError: The scheduler or all workers are gone, or the session is at its end.
        """
        ended = Event()
        future.add_done_callback(lambda _: ended.set())
        deadline = time.monotonic() + timeout
        while not ended.wait(min(_LOOK_SECONDS, max(0.0, deadline - time.monotonic()))):
            with self._changed:
                self._look()
                self._check()
                if self._seen < self._looked:
                    deadline = time.monotonic() + timeout
            if time.monotonic() >= deadline:
                future.cancel()
                raise TimeoutError(f"{future.key} took longer than {timeout:g} s")

    def result(self, future: Future[Any]) -> Any:
        """What a call that has ended gave. It is fetched from its worker, which no session at its end waits for.

        Raises:
            Exception: What the call raised.
            ClusterError: The scheduler or all workers are gone, or the session is at its end.
        """
        while True:
            try:
                return future.result(timeout=_LOOK_SECONDS)
            except NoWorkerError as error:
                # The scheduler has lost patience first.
                raise self._without_workers(float(error.timeout)) from error
            except Exception as error:
                if future.status == "error":
                    raise
                # A client that is closed meanwhile says so in many ways.
                if self._ended or isinstance(error, CancelledError):
                    raise self.lost() from error
                if not isinstance(error, TimeoutError):
                    raise
                with self._changed:
                    self._look()
                    self._check()

    def lost(self) -> ClusterError:
        """The error that ends all calls: the scheduler does not answer any more."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        return ClusterError(
            f"the Dask scheduler {self._where} is gone",
            "See that it runs, then run it again: what is finished is kept",
            code=Code.CLUSTER_LOST,
        )

    def end(self) -> None:
        """Let no call wait any longer, and see them go: under a client that is closed one may wait for ever."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._busy == 0, 3 * _LOOK_SECONDS)

    def _look(self) -> None:
        """See which workers there are, unless that was done a moment ago."""
        now = time.monotonic()
        if self._ended or now - self._looked < _LOOK_SECONDS:
            return
        self._looked = now
        try:
            threads = self._client.nthreads().values() if self._client.status == "running" else ()
        except (OSError, ClosedClientError):
            threads = ()
        # Without a worker one call goes out all the same: it is what an adaptive cluster starts its first worker for.
        self._capacity = sum(count + 1 for count in threads) or 1
        if threads:
            self._seen = now

    def _check(self) -> None:
        if self._ended or self._client.status != "running":
            raise self.lost()
        if time.monotonic() - self._seen > self._patience:
            raise self._without_workers(self._patience)

    def _without_workers(self, seconds: float) -> ClusterError:
        return ClusterError(
            f"the Dask cluster {self._where} has had no worker for {seconds:g} s",
            "Start some with 'dask worker' (for those that wait in a queue, Dask's setting no-workers-timeout of its "
            "scheduler can be longer), then run it again: what is finished is kept",
            code=Code.CLUSTER_LOST,
        )


@contextmanager
def _own_workers(count: int) -> Iterator[LocalCluster]:
    """Worker processes that Ctrl-C passes by, from their first instruction on: it reaches all processes of a terminal.
    This one ends them; they need not say that they end.
    """
    # A thread hands its mask on to the threads and processes that it starts, and those to theirs: also to a worker
    # that later takes a dead one's place. Starting the tracker unblocks the signals; it is started before, therefore.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        with LocalCluster(
            n_workers=count,
            threads_per_worker=1,
            memory_limit=MEMORY_LIMIT // count,
            host="127.0.0.1",
            # The scheduler has an HTTP server in any case: on the loopback, on a port that is free.
            dashboard_address="127.0.0.1:0",
            # What goes wrong on a worker comes back with its result; its log only adds noise at the end.
            silence_logs=logging.CRITICAL,
        ) as cluster:
            # One that has come meanwhile is heard here, where the workers are ended.
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            yield cluster
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _as_current(client: Client, where: str) -> Iterator[Client]:
    session = _Session(client, where)
    token = _session.set(session)
    try:
        yield client
    finally:
        session.end()
        _session.reset(token)


def _check_address(address: str) -> None:
    if not _ADDRESS.fullmatch(address):
        raise UsageError(
            f"{address!r} is no address of a Dask scheduler",
            "It is told when it starts: for example tcp://10.0.0.5:8786",
        )


_ADDRESS = re.compile(r"(\w+://)?(\[[0-9a-fA-F:.]+\]|[^\s:/]+):\d{1,5}/?")


def _check_encryption(address: str) -> None:
    """See that the certificates are there which an encrypted address takes: a client that lacks them hangs at its end.

    Raises:
        UsageError: They are not, cannot be read, or the address is not encrypted and Dask's settings ask that it be.
    """
    scheme = address.rpartition("://")[0] or dask.config.get("distributed.comm.default-scheme")
    security = Security()
    try:
        arguments = security.get_connection_args("client")
    except OSError as error:
        names = ("tls_ca_file", "tls_client_cert", "tls_client_key")
        files = ", ".join(path for name in names if (path := getattr(security, name)))
        raise UsageError(
            f"the TLS files of Dask's settings cannot be used: {files} ({error})", _TLS, code=Code.CREDENTIALS
        ) from error
    if scheme in _ENCRYPTED and arguments["ssl_context"] is None:
        raise UsageError(f"{address} takes a certificate, and Dask's settings name none", _TLS, code=Code.CREDENTIALS)
    if scheme not in _ENCRYPTED and arguments["require_encryption"]:
        raise UsageError(
            f"{address} is not encrypted, and Dask's settings require that it be", "Give it as tls://host:port"
        )


_ENCRYPTED = ("tls", "wss")
_TLS = "DASK_CONFIG=FILE names Dask's settings; docs/operations.md has one for TLS"


def _no_answer(address: str, error: Exception) -> UsageError:
    causes: list[BaseException] = [error]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) is not None:
        causes.append(cause)
    if any(isinstance(cause, SSLError) for cause in causes):
        return UsageError(
            f"the Dask scheduler at {address} does not take this certificate, or has one of another authority "
            f"({causes[-1]})",
            _TLS,
            code=Code.CREDENTIALS,
        )
    return UsageError(
        f"no Dask scheduler answers at {address}",
        "Start one with 'dask scheduler', or leave --dask out; of one that asks for TLS the address is tls://host:port",
        code=Code.CLUSTER_LOST,
    )


def _check_installed(client: Client, address: str) -> None:
    """See that the scheduler and its workers have sarpipe. A worker would end at the first call that it cannot read."""
    hint = "Install this version of sarpipe in the environment of the scheduler and of every worker"
    if client.run_on_scheduler(importlib.util.find_spec, "sarpipe") is None:
        raise ClusterError(f"the Dask scheduler at {address} runs in an environment without sarpipe", hint)
    without = [worker for worker, found in client.run(importlib.util.find_spec, "sarpipe").items() if found is None]
    if without:
        raise ClusterError(
            f"{len(without)} workers of the Dask scheduler at {address} run in an environment without sarpipe, "
            f"for example {without[0]}",
            hint,
        )


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
