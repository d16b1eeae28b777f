"""Who listens, listens to this machine alone."""

from __future__ import annotations

import ipaddress
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from sarpipe.cluster import compute, dask_session
from sarpipe.simulate import simulate

LISTENING = "0A"


def listening(session: int) -> set[tuple[str, int]]:
    """Addresses and ports that the processes of a session listen on, as the kernel tells."""
    ours = set().union(*(sockets(process) for process in processes(session)))
    found = set()
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        for line in table.read_text().splitlines()[1:] if table.exists() else ():
            fields = line.split()
            if fields[3] == LISTENING and f"socket:[{fields[9]}]" in ours:
                address, port = fields[1].split(":")
                found.add((readable(address), int(port, 16)))
    return found


def processes(session: int) -> list[Path]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            # After the name, which may hold anything: state, parent, group, session.
            if int((process / "stat").read_text().rpartition(")")[2].split()[3]) == session:
                found.append(process)
    return found


def sockets(process: Path) -> set[str]:
    links = set()
    with suppress(OSError):
        for descriptor in (process / "fd").iterdir():
            with suppress(OSError):
                links.add(os.readlink(descriptor))
    return links


def readable(address: str) -> str:
    # Words of four bytes, each in the order of the machine.
    data = b"".join(struct.pack("=I", int(address[i : i + 8], 16)) for i in range(0, len(address), 8))
    return str(ipaddress.ip_address(data))


def foreign(found: set[tuple[str, int]]) -> list[tuple[str, int]]:
    return [(address, port) for address, port in found if not ipaddress.ip_address(address).is_loopback]


def test_what_listens_is_seen_whatever_the_address() -> None:
    here = os.getsid(0)
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("0.0.0.0", 0)) as all_:
        found = listening(here)
        assert ("127.0.0.1", one.getsockname()[1]) in found
        assert ("0.0.0.0", all_.getsockname()[1]) in foreign(found)


def test_own_workers_and_their_scheduler_listen_on_the_loopback() -> None:
    before = listening(os.getsid(0))
    with dask_session(2, workers=2):
        assert compute(pow, 2, 3, timeout=60) == 8
        found = listening(os.getsid(0)) - before
    # Scheduler, its pages, and of each worker and its nanny at least one.
    assert len(found) >= 6
    assert not foreign(found)


@contextmanager
def started(command: list[str], environment: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as file:
        process = subprocess.Popen(command, env=environment, stdout=file, stderr=file, start_new_session=True)
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.faults
@pytest.mark.timeout(900)
def test_a_run_with_its_embedded_server_listens_on_the_loopback(tmp_path: Path) -> None:
    simulate(tmp_path / "stores", stores=2, places=3, seed=3)
    # The stages after it start nothing that could listen.
    command = [sys.executable, "-m", "sarpipe.flows.cli", "preprocess", str(tmp_path / "stores"), "--prefect"]
    command += ["--data", str(tmp_path / "data")]
    environment = {name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"}
    environment |= {"PREFECT_HOME": str(tmp_path / "prefect"), "OMP_NUM_THREADS": "1"}
    found: set[tuple[str, int]] = set()
    with started(command, environment, tmp_path / "log") as run:
        while run.poll() is None:
            found |= listening(run.pid)
            time.sleep(0.1)
    assert run.returncode == 0, (tmp_path / "log").read_text()
    print(f"{len(found)} addresses were listened on")
    # The embedded server besides those of Dask.
    assert len(found) >= 7
    assert not foreign(found)


@pytest.mark.faults
@pytest.mark.timeout(600)
def test_a_prefect_server_and_a_worker_listen_on_the_loopback(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment: dict[str, Any] = {**os.environ, "PREFECT_HOME": str(tmp_path / "prefect"), "DO_NOT_TRACK": "1"}
    environment |= {"PREFECT_SERVER_ANALYTICS_ENABLED": "false", "PREFECT_API_URL": f"http://127.0.0.1:{port}/api"}
    prefect = [sys.executable, "-m", "prefect"]
    seen: set[tuple[str, int]] = set()
    deadline = time.monotonic() + 400
    # As the README says, but for the port.
    with started([*prefect, "server", "start", "--port", str(port)], environment, tmp_path / "server.log") as server:
        while ("127.0.0.1", port) not in seen and time.monotonic() < deadline:
            seen |= listening(server.pid)
            time.sleep(0.2)
        log = tmp_path / "worker.log"
        command = [*prefect, "worker", "start", "--pool", "sarpipe", "--type", "process"]
        with started(command, environment, log) as worker:
            while "started" not in log.read_text() and worker.poll() is None and time.monotonic() < deadline:
                time.sleep(0.2)
            assert "started" in log.read_text(), log.read_text()
            time.sleep(2)
            seen |= listening(server.pid) | listening(worker.pid)
    assert ("127.0.0.1", port) in seen, (tmp_path / "server.log").read_text()
    assert not foreign(seen), json.dumps(sorted(seen))
