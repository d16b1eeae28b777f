"""Dask clusters as an operator sets them up: encrypted, without Prefect, and as large as the work."""

from __future__ import annotations

import importlib
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from pathlib import Path
from typing import Any

import dask
import pytest
import yaml
from dask_by_hand import ByHand
from documents import ROOT, shell

from sarpipe import cluster
from sarpipe.cluster import compute, dask_session
from sarpipe.errors import ClusterError, UsageError
from sarpipe.settings import resolve
from sarpipe.stages import straight

SETTINGS = ROOT / "data" / "configs" / "cluster"


def quiet(*_: Any) -> None:
    pass


def flat(settings: Path) -> dict[str, Any]:
    """The settings of a file by dotted name, which leave others as they are."""

    def walk(document: dict[str, Any], above: str) -> Iterator[tuple[str, Any]]:
        for name, value in document.items():
            if isinstance(value, dict):
                yield from walk(value, f"{above}{name}.")
            else:
                yield f"{above}{name}", value

    return dict(walk(yaml.safe_load(settings.read_text()), ""))


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Path]:
    """Makes Dask's settings of a new authority with its files, as the documents say it; the settings' path."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl")

    def make() -> Path:
        folder = tmp_path_factory.mktemp("tls")
        commands = shell("operations.md", "openssl req").replace("/etc/sarpipe", str(folder))
        subprocess.run(["sh", "-ec", commands], check=True, capture_output=True, cwd=ROOT)
        settings = folder / "tls" / "tls.yaml"
        settings.write_text(settings.read_text().replace("/etc/sarpipe", str(folder)))
        return settings

    return make


@pytest.fixture(scope="module")
def encrypted(certificates: Callable[[], Path], by_hand: Callable[..., ByHand]) -> tuple[str, dict[str, Any]]:
    """The address of a cluster that speaks TLS, whose worker cannot import Prefect; and Dask's settings of it."""
    settings = certificates()
    with dask.config.set(flat(settings)):
        started = by_hand({"DASK_CONFIG": str(settings)})
        blocked = settings.parent / "site"
        blocked.mkdir()
        (blocked / "sitecustomize.py").write_text("import sys\nsys.modules['prefect'] = None\n")
        started.add("--nthreads", "1", environment={"PYTHONPATH": f"{blocked}:{Path(dask.__file__).parent.parent}"})
    return started.address, flat(settings)


def test_an_encrypted_cluster_without_prefect_makes_units(
    encrypted: tuple[str, dict[str, Any]], small_stores: Path, tmp_path: Path
) -> None:
    address, settings = encrypted
    assert address.startswith("tls://")
    with dask.config.set(settings):
        made = straight.preprocess(resolve(data=tmp_path, dask=address), str(small_stores), quiet)
        with dask_session(1, address=address), pytest.raises(ModuleNotFoundError, match="prefect"):
            compute(importlib.import_module, "prefect", timeout=60)
    assert [unit["computed"] for unit in made["units"]] == [True, True]


def test_who_has_no_certificate_of_the_cluster_is_refused_and_told_so(
    encrypted: tuple[str, dict[str, Any]], certificates: Callable[[], Path]
) -> None:
    address, settings = encrypted
    unencrypted = address.replace("tls://", "tcp://")

    def said(using: dict[str, Any], address: str) -> str:
        with dask.config.set(using), pytest.raises(UsageError) as caught, dask_session(1, address=address):
            pass
        return str(caught.value)

    assert "takes a certificate, and Dask's settings name none" in said({}, address)
    assert "the address is tls://host:port" in said({}, unencrypted)
    assert "is not encrypted, and Dask's settings require that it be" in said(settings, unencrypted)
    assert "does not take this certificate" in said(flat(certificates()), address)
    gone = {"distributed.comm.tls.client.key": "/no/such/node.key"}
    assert "/no/such/node.key" in said(settings | gone, address)


ADAPTIVE = """
from distributed import LocalCluster
cluster = LocalCluster(n_workers=0, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0")
cluster.adapt(minimum=0, maximum=2, interval="200ms", wait_count=2, target_duration="500ms")
print(cluster.scheduler_address, flush=True)
input()
"""
"""An adaptive cluster of its own process, which ends when its input does."""


@pytest.fixture
def adaptive() -> Iterator[str]:
    with subprocess.Popen(
        [sys.executable, "-c", ADAPTIVE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()


def test_an_adaptive_cluster_grows_with_the_work_and_goes_back_to_nothing(adaptive: str) -> None:
    with dask_session(12, address=adaptive) as client, ThreadPoolExecutor(12) as threads:
        assert not client.nthreads()
        calls = []
        deadline = time.monotonic() + 120
        # More work for as long as it takes: a worker process starts when the machine has time for it.
        while len(client.nthreads()) < 2:
            assert time.monotonic() < deadline
            if sum(not call.done() for call in calls) < 12:
                calls.append(threads.submit(copy_context().run, compute, time.sleep, 0.4, timeout=60))
            time.sleep(0.02)
        assert [call.result() for call in calls] == [None] * len(calls)
        deadline = time.monotonic() + 60
        while client.nthreads():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert compute(pow, 2, 3, timeout=60) == 8


def test_time_without_a_worker_does_not_count_and_ends_as_dask_is_told(
    by_hand: Callable[..., ByHand], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "_LOOK_SECONDS", 0.1)
    started = by_hand()
    with dask_session(1, address=started.address) as client, ThreadPoolExecutor(1) as thread:
        call = thread.submit(copy_context().run, compute, pow, 2, 3, timeout=1.0)
        time.sleep(2)
        assert not call.done()
        started.add("--nthreads", "1")
        assert call.result() == 8
        # The scheduler retires nobody who holds a result, and this one is released a moment after it came.
        deadline = time.monotonic() + 60
        while not client.retire_workers():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        started.workers[-1].wait(60)
    with (
        dask.config.set({"distributed.scheduler.no-workers-timeout": "500ms"}),
        dask_session(1, address=started.address),
        pytest.raises(ClusterError, match=r"no worker for 0\.5 s"),
    ):
        compute(pow, 2, 3, timeout=60)


def test_a_scheduler_that_loses_patience_first_is_understood(by_hand: Callable[..., ByHand]) -> None:
    started = by_hand({"DASK_DISTRIBUTED__SCHEDULER__NO_WORKERS_TIMEOUT": "500ms"})
    with dask_session(1, address=started.address), pytest.raises(ClusterError, match="has had no worker for") as caught:
        compute(pow, 2, 3, timeout=60)
    assert "no-workers-timeout" in caught.value.hint
