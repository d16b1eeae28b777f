"""Fixtures that more than one folder of tests uses."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from distributed import LocalCluster

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
