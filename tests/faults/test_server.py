"""Runs whose Prefect server fails: files decide what is done, and a rerun does the rest."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from real_server import PrefectServer

from sarpipe.simulate import simulate

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]
STORES = 12


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stores")
    simulate(folder, stores=STORES, places=2, seed=5)
    return folder


def units(data: Path) -> dict[str, bytes]:
    found = sorted(data.glob("cubes/sar-*/ssl4eos12*/*"))
    return {f"{path.parent.name}/{path.name}": path.read_bytes() for path in found}


def made_at(data: Path) -> dict[str, int]:
    """The finished units, with when they were."""
    return {path.parent.name: path.stat().st_mtime_ns for path in data.glob("cubes/sar-*/ssl4eos12*/manifest.json")}


@pytest.fixture(scope="module")
def expected(stores: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    data = tmp_path_factory.mktemp("undisturbed")
    environment = {name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"}
    command = [sys.executable, "-m", "sarpipe.flows.cli", "preprocess", stores, "--data", data]
    subprocess.run(command, check=True, env=environment, capture_output=True)
    return units(data)


def begun(server: PrefectServer, stores: Path, data: Path) -> subprocess.Popen[str]:
    """A run through the server of which some units are finished and others not."""
    command = [sys.executable, "-m", "sarpipe.flows.cli", "preprocess", str(stores), "--data", str(data), "--json"]
    run = subprocess.Popen(
        [*command, "--workers", "1"],
        env=server.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 300
    while len(made_at(data)) < 2 and run.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    return run


def completes(server: PrefectServer, stores: Path, data: Path, expected: dict[str, bytes]) -> None:
    """Run it again: what is finished stays as it is."""
    before = made_at(data)
    run = begun(server, stores, data)
    out, said = run.communicate(timeout=600)
    assert run.returncode == 0, said
    assert json.loads(out)["units"]["computed"] == STORES - len(before)
    assert before.items() <= made_at(data).items()
    assert units(data) == expected


def disturbed(run: subprocess.Popen[str], url: str) -> int:
    """Wait for a run whose server was ill; what it ended with, said in a sentence."""
    _, said = run.communicate(timeout=600)
    print(f"exit code {run.returncode}: {said[-600:]}")
    if run.returncode:
        # Before it, Prefect's log has its own traceback.
        assert f"sarpipe: the Prefect server at {url} has gone away" in said
        assert "defect" not in said
    return run.returncode


def test_a_server_that_is_killed_and_comes_back(
    server: PrefectServer, stores: Path, expected: dict[str, bytes], tmp_path: Path
) -> None:
    run = begun(server, stores, tmp_path)
    assert run.poll() is None
    server.send(signal.SIGKILL)
    time.sleep(5)
    server.start()
    assert disturbed(run, server.url) == 0
    assert units(tmp_path) == expected


def test_a_server_that_is_killed_and_stays_away(
    server: PrefectServer, stores: Path, expected: dict[str, bytes], tmp_path: Path
) -> None:
    run = begun(server, stores, tmp_path)
    assert run.poll() is None
    server.send(signal.SIGKILL)
    try:
        assert disturbed(run, server.url) != 0
    finally:
        server.start()
    completes(server, stores, tmp_path, expected)


def test_a_server_that_is_stopped_for_a_while(
    server: PrefectServer, stores: Path, expected: dict[str, bytes], tmp_path: Path
) -> None:
    run = begun(server, stores, tmp_path)
    server.send(signal.SIGSTOP)
    time.sleep(15)
    server.send(signal.SIGCONT)
    assert disturbed(run, server.url) == 0
    assert units(tmp_path) == expected


def test_a_database_that_is_locked_for_a_while(
    server: PrefectServer, stores: Path, expected: dict[str, bytes], tmp_path: Path
) -> None:
    run = begun(server, stores, tmp_path)
    database = sqlite3.connect(server.home / "prefect.db", timeout=30, isolation_level=None)
    database.execute("BEGIN EXCLUSIVE")
    time.sleep(5)
    database.execute("ROLLBACK")
    database.close()
    assert disturbed(run, server.url) == 0
    assert units(tmp_path) == expected


def changed(record: bytes, **wrong: object) -> bytes:
    """A record that is as sound as before, and says something else of a unit or a set."""
    document = json.loads(record)
    receipt = json.loads(document["result"])
    document["result"] = json.dumps({**receipt, **{name: wrong[name] for name in wrong if name in receipt}})
    return json.dumps(document).encode()


HARMS: dict[str, Callable[[bytes], bytes]] = {
    "cut": lambda record: record[: len(record) // 2],
    "empty": lambda record: b"",
    "no JSON": lambda record: b"\x80\x04N.",
    "other numbers": partial(changed, places=155, places_kept=155, quarantined=9),
    "another folder": partial(changed, folder="/nowhere/set-0123456789ab"),
}


@pytest.mark.parametrize("harm", HARMS)
def test_what_prefect_remembers_may_be_damaged(
    server: PrefectServer, stores: Path, expected: dict[str, bytes], tmp_path: Path, harm: str
) -> None:
    # What an earlier harm has left is no record any more.
    before_it = set((server.home / "storage").rglob("*"))
    completes(server, stores, tmp_path, expected)
    records = [path for path in (server.home / "storage").rglob("*") if path.is_file() and path not in before_it]
    assert records
    for record in records:
        record.write_bytes(HARMS[harm](record.read_bytes()))
    unit = next(tmp_path.glob("cubes/sar-*/ssl4eos12*_000003-*"))
    (unit / "cubes.npy").write_bytes(b"")
    before = made_at(tmp_path)
    run = begun(server, stores, tmp_path)
    out, said = run.communicate(timeout=600)
    assert run.returncode == 0, said
    assert json.loads(out)["units"]["computed"] == 1
    assert json.loads(out)["places"] == {"in": 2 * STORES, "quarantined": 0}
    del before[unit.name]
    assert before.items() <= made_at(tmp_path).items()
    assert units(tmp_path) == expected


def test_a_run_whose_host_dies_does_not_stay_running(
    server: PrefectServer, stores: Path, expected: dict[str, bytes], tmp_path: Path
) -> None:
    root = Path(__file__).resolve().parents[2]
    automation = (root / "data" / "configs" / "automations" / "crashed.yaml").read_text()
    # Less patience than one who runs it every day has: a heartbeat comes each 30 s here.
    (tmp_path / "crashed.yaml").write_text(automation.replace("within: 540", "within: 75"))
    prefect = [sys.executable, "-m", "prefect", "automation", "create", "--from-file", str(tmp_path / "crashed.yaml")]
    subprocess.run(prefect, check=True, env=server.environment, capture_output=True)
    data = tmp_path / "data"
    run = begun(server, stores, data)
    # The first heartbeat comes with the start; without one there is nothing whose end could be missed.
    time.sleep(3)
    os.killpg(run.pid, signal.SIGKILL)
    run.communicate()
    assert states(server)[0] == "RUNNING"
    completes(server, stores, data, expected)
    deadline = time.monotonic() + 300
    while "RUNNING" in states(server) and time.monotonic() < deadline:
        time.sleep(2)
    assert sorted(states(server)[:2]) == ["COMPLETED", "CRASHED"]


def states(server: PrefectServer) -> list[str]:
    """Of all flow runs, the newest first."""
    found = server.ask("flow_runs/filter", {"sort": "START_TIME_DESC"})
    return [run["state_type"] for run in found]
