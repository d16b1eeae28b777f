"""A Dask cluster as a person starts one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import distributed
from distributed import Client


class ByHand:
    """A scheduler and its workers, each a process of its own, on the loopback.

    Args:
        folder: Empty; logs and the scheduler's address go there.
        environment: Of all of them, over this process's.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.workers: list[subprocess.Popen[bytes]] = []
        self._environment = {
            **os.environ,
            "PYTHONPATH": str(Path(distributed.__file__).parent.parent),
            **(environment or {}),
        }
        note = folder / "scheduler.json"
        self.scheduler = self._start("scheduler", "--port", "0", "--scheduler-file", str(note))
        self.address = str(json.loads(_content(note))["address"])

    def add(
        self, *options: str, python: tuple[str, ...] = (), environment: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """Start one more worker and wait until the scheduler knows it."""
        with Client(self.address, set_as_default=False) as client:
            before = len(client.nthreads())
            worker = self._start("worker", self.address, "--no-nanny", *options, python=python, environment=environment)
            self.workers.append(worker)
            client.wait_for_workers(before + 1, timeout=60)
        return worker

    def end(self) -> None:
        """Kill whatever still runs."""
        for process in (*self.workers, self.scheduler):
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.wait()

    def _start(
        self,
        what: str,
        *options: str,
        python: tuple[str, ...] = (),
        environment: Mapping[str, str] | None = None,
    ) -> subprocess.Popen[bytes]:
        where = ("--host", "127.0.0.1", "--dashboard-address", "127.0.0.1:0")
        with (self.folder / f"{what}-{len(self.workers)}.log").open("wb") as log:
            return subprocess.Popen(
                [sys.executable, *python, "-m", f"distributed.cli.dask_{what}", *options, *where],
                cwd=self.folder,
                env={**self._environment, **(environment or {})},
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
