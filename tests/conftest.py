"""Fixtures that more than one folder of tests uses."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import distributed
import pytest
from distributed import Client, LocalCluster

from sarpipe.simulate import simulate

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real Sentinel-1 data; tests that need it are skipped where it is absent."""
    path = Path(os.environ.get("SARPIPE_REAL_DATA", ROOT.parent / "shared" / "data" / "sentinel1"))
    if not path.is_dir():
        pytest.skip("no real data: set SARPIPE_REAL_DATA to its folder")
    return path.resolve()


@pytest.fixture(scope="session")
def small_stores(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two simulated stores of five places each. Read only: a test that breaks one copies it first."""
    folder = tmp_path_factory.mktemp("small")
    simulate(folder, stores=2, places=5, seed=3)
    return folder


@pytest.fixture(scope="session")
def scheduler() -> Iterator[str]:
    """The address of a real Dask scheduler with one worker process, for tests that need not start their own."""
    with LocalCluster(n_workers=1, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0") as cluster:
        yield cluster.scheduler_address


class ByHand:
    """A scheduler and its workers, in a folder of their own.

    Args:
        folder: Empty; logs and the scheduler's address go there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.workers: list[subprocess.Popen[bytes]] = []
        note = folder / "scheduler.json"
        self.scheduler = self._start("scheduler", "--port", "0", "--scheduler-file", str(note))
        self.address = str(json.loads(_content(note))["address"])

    def add(self, *options: str, python: tuple[str, ...] = ()) -> subprocess.Popen[bytes]:
        """Start one more worker and wait until the scheduler knows it."""
        with Client(self.address, set_as_default=False) as client:
            before = len(client.nthreads())
            worker = self._start("worker", self.address, "--no-nanny", *options, python=python)
            self.workers.append(worker)
            client.wait_for_workers(before + 1, timeout=60)
        return worker

    def end(self) -> None:
        """Kill whatever still runs."""
        for process in (*self.workers, self.scheduler):
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.wait()

    def _start(self, what: str, *options: str, python: tuple[str, ...] = ()) -> subprocess.Popen[bytes]:
        where = ("--host", "127.0.0.1", "--dashboard-address", "127.0.0.1:0")
        with (self.folder / f"{what}-{len(self.workers)}.log").open("wb") as log:
            return subprocess.Popen(
                [sys.executable, *python, "-m", f"distributed.cli.dask_{what}", *options, *where],
                cwd=self.folder,
                env={**os.environ, "PYTHONPATH": str(Path(distributed.__file__).parent.parent)},
                stdout=log,
                stderr=log,
            )


def _content(note: Path) -> bytes:
    deadline = time.monotonic() + 60
    while not (note.exists() and note.read_bytes().endswith(b"}")):
        if time.monotonic() > deadline:
            raise TimeoutError(f"no scheduler has written {note}")
        time.sleep(0.05)
    return note.read_bytes()


@pytest.fixture(scope="module")
def by_hand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], ByHand]]:
    """Starts Dask clusters as a person would: a scheduler and workers, each a process of its own, on the loopback."""
    clusters: list[ByHand] = []

    def start() -> ByHand:
        clusters.append(ByHand(tmp_path_factory.mktemp("by_hand")))
        return clusters[-1]

    yield start
    for cluster in clusters:
        cluster.end()
