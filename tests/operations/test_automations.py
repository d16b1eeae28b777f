"""The automations fire on a real server: a late run, and a run whose machine is gone. That a failed one does is in
test_deployments.
"""

from __future__ import annotations

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


def test_a_late_run_and_a_dead_one_raise_an_alarm(server: PrefectServer, small_stores: Path, tmp_path: Path) -> None:
    operations = Operations(server, tmp_path, small_stores)
    automations = tmp_path / "automations"
    automations.mkdir()
    # Less patience than one who runs it every day has; a heartbeat comes each 30 s here.
    for file in (ROOT / "data" / "configs" / "automations").glob("*.yaml"):
        text = file.read_text().replace("within: 600", "within: 10").replace("within: 540", "within: 75")
        (automations / file.name).write_text(text)
    installed = operations.call("-m", "sarpipe.flows.automations", str(automations))
    assert installed.returncode == 0, installed.stderr
    operations.deploy()

    # No worker is there.
    run = operations.run("preprocess")
    until(operations.alarms)
    (late,) = operations.alarms()
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
    until(lambda: len(operations.alarms()) > 1)
    assert "Its process is gone" in operations.alarms()[0]
