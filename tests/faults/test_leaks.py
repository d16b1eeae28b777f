"""Nothing grows with the number of units."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from sarpipe.cluster import compute, dask_session

SOAK = Path(__file__).resolve().parents[2] / "benchmarks" / "soak.py"

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1800)]


def test_memory_files_and_threads_stay_flat_over_many_units(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, SOAK, "--units", "500", "--places", "2", "--json"],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    print(json.loads(done.stdout)["rows"])
    assert done.returncode == 0, done.stderr
    # Its own folder is removed at its end; nothing else was left.
    assert list(tmp_path.iterdir()) == []


def held() -> tuple[int, int]:
    return len(os.listdir("/proc/self/fd")), threading.active_count()


def test_sessions_on_dask_leave_neither_files_nor_threads() -> None:
    counts = []
    for _ in range(6):
        with dask_session(1, workers=1):
            assert compute(pow, 2, 3, timeout=60) == 8
        counts.append(held())
    print(counts)
    # The first ones set up what stays for the process.
    assert counts[-1][0] <= counts[1][0]
    assert counts[-1][1] <= counts[1][1]
