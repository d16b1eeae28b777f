"""Every stage fails, is mended, and is run again in every way an operator would try: only what is missing is made."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from real_operations import TINY, Operations
from real_server import PrefectServer

from sarpipe.settings import Settings, resolve
from sarpipe.simulate import simulate
from sarpipe.stages.chain import plan

pytestmark = [pytest.mark.faults, pytest.mark.timeout(3600)]

STAGES = {"cubes": "preprocess", "models": "train", "embeddings": "embed", "reports": "report"}


@pytest.fixture(scope="module")
def operations(server: PrefectServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operations]:
    folder = tmp_path_factory.mktemp("operations")
    simulate(folder / "stores", stores=2, places=5, seed=3)
    deployed = Operations(server, folder, folder / "stores")
    deployed.deploy()
    deployed.start_worker()
    yield deployed
    deployed.kill_worker()


@pytest.fixture
def cubes(operations: Operations) -> None:
    """There are cubes to train on, whichever tests ran before."""
    if not any(name.startswith("cubes/") for name in operations.files()):
        operations.ended(operations.run("preprocess"), "Completed")


def artefacts(files: dict[str, tuple[int, int]]) -> set[str]:
    """What is whole: ``embed sar``, ``report evaluation``, ``preprocess ssl4eos12_train_seasonal_data_000001``."""
    whole = {Path(name).parent for name in files if name.endswith("manifest.json")}
    return {f"{STAGES[folder.parts[0]]} {folder.name.rpartition('-')[0]}" for folder in whole}


def made(operations: Operations, before: dict[str, tuple[int, int]]) -> set[str]:
    """The artefacts that were made since; those of before have not been touched."""
    after = operations.files()
    changed = {name for name in before if after.get(name) != before[name]}
    # The list of the quarantine says what is so now, and is written each time.
    assert {name for name in changed if not name.startswith("quarantine/")} == set()
    return artefacts({name: after[name] for name in after.keys() - before.keys()})


def settings(operations: Operations) -> Settings:
    return resolve(data=operations.data, config=operations.environment["SARPIPE_CONFIG"])


class Obstacle:
    """A folder where the lock of an artefact is to be: it cannot be made until it is removed."""

    def __init__(self, folder: Path | None) -> None:
        assert folder is not None
        self._path = folder.with_name(f".lock-{folder.name}")
        self._path.mkdir(parents=True)

    def remove(self) -> None:
        self._path.rmdir()


def test_every_stage_fails_once_and_is_run_again_in_another_way(operations: Operations) -> None:
    # preprocess: the second store cannot be written.
    obstacle = Obstacle(plan(settings(operations), "preprocess", str(operations.stores))[1].folder)
    run = operations.run("nightly")
    operations.ended(run, "Failed")
    before = operations.files()
    (first,) = artefacts(before)

    # It is mended, the page's older button Retry pressed; and now training is told of a GPU that is not there.
    obstacle.remove()
    operations.configure(**TINY | {"device": "cuda"})
    operations.retry(run, force=False)
    assert "cuda" in operations.ended(run, "Failed")["state"]["message"]
    assert {name.partition(" ")[0] for name in made(operations, before)} == {"preprocess"}
    assert len(made(operations, before)) == 2
    assert first not in made(operations, before)

    # A good setting, `prefect flow-run retry`; and no folder for embeddings.
    operations.configure(**TINY)
    before = operations.files()
    operations.data.joinpath("embeddings").touch()
    retried = operations.call("-m", "prefect", "flow-run", "retry", run)
    assert retried.returncode == 0, retried.stdout + retried.stderr
    time.sleep(2)
    assert "File exists" in operations.ended(run, "Failed")["state"]["message"]
    operations.data.joinpath("embeddings").unlink()
    before.pop("embeddings", None)
    assert made(operations, before) == {"train sar"}

    # The stage alone, `prefect deployment run`.
    before = operations.files()
    alone = operations.call("-m", "prefect", "deployment", "run", "embed/embed", "--watch")
    assert alone.returncode == 0, alone.stdout + alone.stderr
    assert made(operations, before) == {"embed sar"}

    # Its folder cannot be written; mended, the newer button Retry.
    before = operations.files()
    obstacle = Obstacle(plan(settings(operations), "evaluate", None)[0].folder)
    run = operations.run("evaluate")
    assert "cannot write" in operations.ended(run, "Failed")["state"]["message"]
    obstacle.remove()
    operations.retry(run, force=True)
    operations.ended(run, "Completed")
    assert made(operations, before) == {"report evaluation"}

    # A pipeline run that begins at the last stage; mended, the same from the command line.
    before = operations.files()
    obstacle = Obstacle(plan(settings(operations), "report", None)[0].folder)
    failed = operations.ended(operations.run("nightly", from_stage="report"), "Failed")
    assert failed["name"] == f"pipeline sar/sar from report: 10 places of {'/'.join(operations.stores.parts[-2:])}"
    obstacle.remove()
    given = ["--data", str(operations.data), "--config", operations.environment["SARPIPE_CONFIG"]]
    done = operations.call("-m", "sarpipe.flows.cli", "run", "--from", "report", *given)
    assert done.returncode == 0, done.stderr
    assert made(operations, before) == {"report sar"}

    # All of it again: there is nothing to do.
    before = operations.files()
    operations.ended(operations.run("nightly"), "Completed")
    assert made(operations, before) == set()


def until(happened: Callable[[], object]) -> None:
    deadline = time.monotonic() + 1200
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.usefixtures("cubes")
def test_a_run_that_is_killed_while_it_trains_is_called_crashed_and_can_be_retried(
    operations: Operations,
) -> None:
    # Long enough to be killed within: progress is said every 3 s.
    before = operations.files()
    run = operations.run("train", overrides={"train.epochs": 150})
    until(lambda: "loss" in operations.logs(run))
    for process in operations.processes():
        os.kill(process, signal.SIGKILL)
    operations.ended(run, "Crashed")
    operations.cleared_up()
    operations.retry(run, force=True)
    operations.ended(run, "Completed")
    assert made(operations, before) == {"train sar"}


@pytest.mark.usefixtures("cubes")
def test_one_training_at_a_time_on_a_server_that_has_the_limit(operations: Operations) -> None:
    operations.configure(**TINY | {"train": {"epochs": 1, "batch_size": 4, "seed": 8}})
    created = operations.call("-m", "prefect", "gcl", "create", "gpu", "--limit", "1")
    assert created.returncode == 0, created.stderr
    # Somebody else trains.
    taken = {"names": ["gpu"], "slots": 1, "mode": "concurrency"}
    operations.server.ask("v2/concurrency_limits/increment", taken)
    before = operations.files()
    run = operations.run("train")
    until(lambda: operations.server.ask("task_runs/filter", {"flow_runs": {"id": {"any_": [run]}}}))
    time.sleep(20)
    assert operations.state(run)["state_name"] == "Running"
    assert operations.files() == before
    operations.server.ask("v2/concurrency_limits/decrement", taken)
    operations.ended(run, "Completed")
    assert made(operations, before) == {"train sar"}


def test_a_poisoned_store_is_put_aside_and_once_mended_it_alone_is_made(operations: Operations, tmp_path: Path) -> None:
    shutil.copytree(operations.stores, tmp_path / "stores")
    broken = sorted((tmp_path / "stores").glob("*.zip"))[0]
    whole = broken.read_bytes()
    broken.write_bytes(whole[: len(whole) // 2])
    given = {"source": str(tmp_path / "stores"), "data": str(tmp_path / "data")}
    state = operations.ended(operations.run("preprocess", **given), "Completed")
    assert "1 stores refused" in state["state"]["message"]
    units = {path: path.stat().st_ino for path in (tmp_path / "data").glob("cubes/*/ssl4eos12*/manifest.json")}
    assert len(units) == 1
    # A run that takes the cubes as they are does not take a store that has not been tried.
    broken.write_bytes(whole)
    failed = operations.ended(operations.run("nightly", from_stage="train", **given), "Failed")
    assert "Run 'sarpipe preprocess" in failed["state"]["message"]
    operations.ended(operations.run("preprocess", **given), "Completed")
    after = {path: path.stat().st_ino for path in (tmp_path / "data").glob("cubes/*/ssl4eos12*/manifest.json")}
    assert units.items() <= after.items()
    assert len(after) == 2
