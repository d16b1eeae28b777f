import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sarpipe import cluster
from sarpipe.cluster import dask_session
from sarpipe.errors import ClusterError
from sarpipe.settings import Settings, resolve
from sarpipe.simulate import simulate
from sarpipe.stages import straight
from sarpipe.stages.preprocess import plan_preprocess
from sarpipe.stages.worker import make_on_worker, work

STORES = 8


def quiet(*_: Any) -> None:
    pass


def units(data: Path) -> dict[str, bytes]:
    found = sorted(data.glob("cubes/sar-*/ssl4eos12*/*"))
    return {f"{path.parent.name}/{path.name}": path.read_bytes() for path in found}


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stores")
    (store,) = simulate(folder, stores=1, places=1, seed=5)
    for number in range(2, STORES + 1):
        shutil.copy(store, folder / store.name.replace("000001", f"{number:06d}"))
    return folder


@pytest.fixture(scope="module")
def local(stores: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The units as own workers make them."""
    data = tmp_path_factory.mktemp("local")
    straight.preprocess(resolve(data=data, workers=1), str(stores), quiet)
    return units(data)


@pytest.fixture(scope="module")
def foreign(by_hand: Callable[[], Any]) -> Any:
    """A cluster of one worker with one thread and one with three."""
    cluster = by_hand()
    cluster.add("--nthreads", "1")
    cluster.add("--nthreads", "3")
    return cluster


def test_a_foreign_cluster_makes_the_same_bytes_with_however_many_threads(
    foreign: Any, stores: Path, local: dict[str, bytes], tmp_path: Path
) -> None:
    made = straight.preprocess(resolve(data=tmp_path, dask=foreign.address), str(stores), quiet)
    assert sum(unit["computed"] for unit in made["units"]) == STORES
    assert units(tmp_path) == local


def test_the_unit_of_a_killed_worker_is_made_by_another(
    by_hand: Callable[[], Any], stores: Path, local: dict[str, bytes], tmp_path: Path
) -> None:
    cluster = by_hand()
    victim, _ = cluster.add("--nthreads", "1"), cluster.add("--nthreads", "1")

    def kill(*_: Any) -> None:
        # Called before the first unit and after each: with the first, both workers are at work.
        if any(tmp_path.glob("cubes/*/ssl4eos12*")) and victim.poll() is None:
            victim.send_signal(signal.SIGKILL)
            victim.wait()

    made = straight.preprocess(resolve(data=tmp_path, dask=cluster.address), str(stores), kill)
    assert victim.returncode == -signal.SIGKILL
    # What it had put in place but not yet told of was found whole by the other.
    assert sum(unit["computed"] for unit in made["units"]) >= STORES - 1
    assert units(tmp_path) == local


DEADLY = """
import multiprocessing, os, signal, sys, time
from pathlib import Path

def die(event, arguments):
    # In a worker alone: who plans opens the stores too.
    if event != "open" or not str(arguments[0]).endswith(".zarr.zip") or multiprocessing.parent_process() is None:
        return
    deadly = Path(os.environ["DEADLY"], Path(str(arguments[0])).name.removesuffix(".zarr.zip"))
    how, _, times = deadly.read_text().partition(" ") if deadly.exists() else ("", "", "")
    if not how:
        return
    if times:
        deadly.write_text(f"{how} {int(times) - 1}" if times != "1" else "")
    if how == "exit":
        os._exit(7)
    if how == "hunger":
        eaten = []
        while len(eaten) < 100:
            eaten.append(b"x" * 2**25)
            time.sleep(0.02)
    if how == "memory":
        raise MemoryError("Unable to allocate 7.00 GiB")
    os.kill(os.getpid(), {"segfault": signal.SIGSEGV, "kill": signal.SIGKILL}[how])

sys.addaudithook(die)
"""
"""Ends a worker that opens a store of which ``$DEADLY/NAME`` says how, and how many times."""


@pytest.fixture
def deadly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], str]:
    """Make own workers die of a store; what its unit is called."""
    site, notes = tmp_path / "site", tmp_path / "deadly"
    site.mkdir()
    notes.mkdir()
    (site / "sitecustomize.py").write_text(DEADLY)
    monkeypatch.setenv("PYTHONPATH", str(site))
    monkeypatch.setenv("DEADLY", str(notes))

    def make(number: str, how: str) -> str:
        name = f"ssl4eos12_train_seasonal_data_{number}"
        (notes / name).write_text(how)
        return name

    return make


def without(name: str, made: dict[str, bytes]) -> dict[str, bytes]:
    return {path: content for path, content in made.items() if not path.startswith(name)}


@pytest.mark.timeout(180)
def test_a_store_that_workers_die_of_is_refused_alone_and_one_that_they_died_of_once_is_made(
    stores: Path, deadly: Callable[[str, str], str], local: dict[str, bytes], tmp_path: Path
) -> None:
    guilty = deadly("000003", "kill")
    deadly("000001", "segfault 1")
    deadly("000006", "exit 1")
    settings = resolve(data=tmp_path / "data", workers=2)
    made = straight.preprocess(settings, str(stores), quiet)
    assert list(made["refused"]) == [guilty]
    assert f"4 Dask workers died while they made the unit of {guilty}" in made["refused"][guilty]["reason"]
    assert "the last 2 with nothing beside it" in made["refused"][guilty]["reason"]
    assert "--workers 1" in made["refused"][guilty]["reason"]
    assert made["refused"][guilty]["code"] == "worker-died"
    assert made["cube_set"]["codes"]["worker-died"] == 1
    assert units(tmp_path / "data") == without(guilty, local)
    assert made["cube_set"]["stores_refused"] == 1
    # Killed by somebody else, and not by the store: the next run makes it, and nothing but it.
    deadly("000003", "")
    again = straight.preprocess(settings, str(stores), quiet)
    assert [unit["name"] for unit in again["units"] if unit["computed"]] == [guilty]
    assert not again["refused"]
    assert units(tmp_path / "data") == local


@pytest.mark.faults
@pytest.mark.timeout(300)
@pytest.mark.parametrize("how", ["exit", "segfault", "hunger", "memory"])
def test_however_workers_die_of_it_a_store_is_refused_alone(
    stores: Path,
    deadly: Callable[[str, str], str],
    local: dict[str, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    how: str,
) -> None:
    # What Dask's nanny ends a worker for: 95 % of this for each of two.
    monkeypatch.setattr(cluster, "MEMORY_LIMIT", 2 * 800_000_000)
    guilty = deadly("000002", how)
    made = straight.preprocess(resolve(data=tmp_path / "data", workers=2), str(stores), quiet)
    assert list(made["refused"]) == [guilty]
    said = "does not suffice" if how == "memory" else "killed, crashed, or out of memory"
    assert said in made["refused"][guilty]["reason"]
    assert made["refused"][guilty]["code"] == ("memory" if how == "memory" else "worker-died")
    assert units(tmp_path / "data") == without(guilty, local)


def test_a_killed_scheduler_is_said_at_once_and_a_rerun_completes(
    by_hand: Callable[[], Any], stores: Path, local: dict[str, bytes], scheduler: str, tmp_path: Path
) -> None:
    cluster = by_hand()
    cluster.add("--nthreads", "1")
    command = [sys.executable, "-m", "sarpipe.flows.cli", "preprocess", stores, "--data", tmp_path]
    environment = {name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"}
    with subprocess.Popen(
        [*command, "--dask", cluster.address], stderr=subprocess.PIPE, text=True, env=environment
    ) as run:
        while not any(tmp_path.glob("cubes/*/ssl4eos12*")) and run.poll() is None:
            time.sleep(0.02)
        cluster.scheduler.send_signal(signal.SIGKILL)
        _, said = run.communicate(timeout=60)
    assert run.returncode == 1
    assert f"the Dask scheduler at {cluster.address} is gone" in said
    assert "run it again" in said
    assert len(said.splitlines()) < 8
    made = straight.preprocess(resolve(data=tmp_path, dask=scheduler), str(stores), quiet)
    assert 0 < sum(unit["computed"] for unit in made["units"]) < STORES
    assert units(tmp_path) == local


def test_workers_without_sarpipe_are_named_before_they_are_given_anything(
    by_hand: Callable[[], Any], stores: Path, tmp_path: Path
) -> None:
    cluster = by_hand()
    # Without its site module, Python does not follow what makes an editable install importable.
    cluster.add("--nthreads", "1", python=("-S",))
    with pytest.raises(ClusterError, match=r"1 workers .* without sarpipe") as caught:
        straight.preprocess(resolve(data=tmp_path, dask=cluster.address), str(stores), quiet)
    assert "Install" in caught.value.hint


@pytest.mark.parametrize(
    ("meta", "said"),
    [({"code": "0" * 12}, "another version of sarpipe's code"), ({"versions": {"numpy": "1.0"}}, "instead of 1.0")],
)
def test_a_worker_of_another_version_makes_nothing(
    scheduler: str, stores: Path, tmp_path: Path, meta: dict[str, Any], said: str
) -> None:
    settings = resolve(data=tmp_path)
    step = plan_preprocess(settings, stores)[0]
    with dask_session(1, address=scheduler), pytest.raises(ClusterError, match=said) as caught:
        make_on_worker(replace(step, meta={**step.meta, **meta}), settings)
    assert "the Dask worker tcp://" in caught.value.message
    assert not any(tmp_path.glob("cubes/*/*"))


def test_a_worker_that_computes_by_the_other_way_makes_nothing(stores: Path, tmp_path: Path) -> None:
    settings = resolve(data=tmp_path / "data")
    step = plan_preprocess(settings, stores)[0]
    planned = replace(step, meta={**step.meta, "inputs": {**step.meta["inputs"], "kernel": "numpy"}})
    with pytest.raises(ClusterError, match="'compiled', and this run was planned for 'numpy'"):
        work(planned, settings)


def test_another_build_of_torch_has_no_part_in_units(stores: Path, tmp_path: Path) -> None:
    settings = resolve(data=tmp_path)
    step = plan_preprocess(settings, stores)[0]
    versions = {**step.meta["versions"], "torch": "1.0"}
    assert work(replace(step, meta={**step.meta, "versions": versions}), settings)["computed"]


def test_a_worker_that_sees_other_files_is_said(foreign: Any, stores: Path, tmp_path: Path) -> None:
    # The worker's working folder is another, so this path means another place there.
    here = Path("/proc/self/cwd")
    settings = resolve(data=tmp_path / "data")
    step = plan_preprocess(settings, stores)[0]
    seen = here / os.path.relpath(Path(str(step.source)), Path.cwd())
    assert seen.exists()
    with dask_session(1, address=foreign.address):
        with pytest.raises(ClusterError, match="does not see /proc/self/cwd") as caught:
            make_on_worker(replace(step, source=seen), settings)
        assert "same paths" in caught.value.hint
        elsewhere = Settings(data=here / "data")
        with pytest.raises(ClusterError, match="is not there as this process sees it"):
            make_on_worker(plan_preprocess(elsewhere, stores)[0], elsewhere)
