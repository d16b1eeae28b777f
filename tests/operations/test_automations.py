"""The automations fire on a real server: a late run, one that does not begin, and one whose machine is gone. That a
failed one does is in test_deployments.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from real_operations import TINY, Operations
from real_server import PrefectServer

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.faults, pytest.mark.timeout(1800)]


def until(happened: Callable[[], object]) -> None:
    deadline = time.monotonic() + 900
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.5)


def install(operations: Operations, folder: Path, **patience: int) -> None:
    """The automations, some with less patience than one who runs it every day has."""
    folder.mkdir()
    for file in (ROOT / "data" / "configs" / "automations").glob("*.yaml"):
        text = file.read_text()
        if file.stem in patience:
            text = re.sub("within: [0-9]+", f"within: {patience[file.stem]}", text)
        (folder / file.name).write_text(text)
    installed = operations.call("-m", "sarpipe.flows.automations", str(folder))
    assert installed.returncode == 0, installed.stderr


def test_a_run_that_was_taken_up_and_does_not_begin_raises_an_alarm(
    server: PrefectServer, small_stores: Path, tmp_path: Path
) -> None:
    operations = Operations(server, tmp_path, small_stores)
    install(operations, tmp_path / "automations", stuck=10)
    operations.deploy()
    begun, stuck = operations.run("evaluate"), operations.run("embed")
    # As by a worker that is lost after the one has begun.
    for run, state in ((begun, "PENDING"), (begun, "RUNNING"), (stuck, "PENDING")):
        server.ask(f"flow_runs/{run}/set_state", {"state": {"type": state}})
    assert [operations.state(run)["state_name"] for run in (begun, stuck)] == ["Running", "Pending"]
    until(operations.alarms)
    time.sleep(10)
    (alarm,) = set(operations.alarms())
    assert "of embed does not begin" in alarm
    assert stuck in alarm
    # The pool has no others but the next test's.
    for run in (begun, stuck):
        server.ask(f"flow_runs/{run}/set_state", {"state": {"type": "CANCELLED"}, "force": True})


def test_a_late_run_and_a_dead_one_raise_an_alarm(server: PrefectServer, small_stores: Path, tmp_path: Path) -> None:
    operations = Operations(server, tmp_path, small_stores)
    # A heartbeat comes each 30 s here.
    install(operations, tmp_path / "automations", late=10, crashed=75)
    operations.deploy()
    before = len(operations.alarms())

    # No worker is there.
    run = operations.run("preprocess")
    until(lambda: len(operations.alarms()) > before)
    late = operations.alarms()[0]
    assert "of preprocess is late" in late
    assert run in late

    # One is, and the machine is lost while the run is under way.
    operations.configure(**TINY | {"train": {"epochs": 2000, "batch_size": 4}})
    operations.start_worker()
    operations.ended(run, "Completed")
    run = operations.run("train")
    until(lambda: "loss" in operations.logs(run))
    operations.kill_worker()
    assert operations.state(run)["state_name"] == "Running"
    operations.ended(run, "Crashed")
    until(lambda: len(operations.alarms()) > before + 1)
    assert "Its process is gone" in operations.alarms()[0]
