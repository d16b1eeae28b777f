import shutil
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from crash_world import Server, Undisturbed, World, hidden, read_log, tree
from made_once import made_once

from sarpipe.settings import Settings, resolve
from sarpipe.stages import straight
from sarpipe.stages.chain import summarise

TINY = {"train.epochs": 2, "train.batch_size": 4}


@dataclass(frozen=True)
class Run:
    """One data folder, and how to run the pipeline into it."""

    data: Path
    stores: Path
    scheduler: str

    def settings(self, **overrides: Any) -> Settings:
        named = {name.replace("__", "."): value for name, value in overrides.items()}
        return resolve(data=self.data, overrides={**TINY, "device": "cpu", **named}, dask=self.scheduler)

    def __call__(self, *, force: bool = False, **overrides: Any) -> dict[str, Any]:
        settings = self.settings(**overrides)
        return summarise(settings, straight.run(settings, str(self.stores), lambda *_: None, force=force))

    def files(self) -> dict[str, tuple[bytes, int]]:
        """Path to bytes and time of last change, of all that was made; not what making it took."""
        return {
            str(path.relative_to(self.data)): (path.read_bytes(), path.stat().st_mtime_ns)
            for path in sorted(self.data.rglob("*"))
            if path.is_file() and not path.name.startswith(".lock-") and path.parent.name not in ("energy", "runs")
        }


@pytest.fixture(scope="session")
def finished(small_stores: Path, scheduler: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder of one whole run. Read only."""
    return made_once(tmp_path_factory, "finished", lambda folder: Run(folder, small_stores, scheduler)())


@pytest.fixture(scope="session")
def only_planned(finished: Path, small_stores: Path) -> Run:
    """A finished run to look at, without a cluster to run it again."""
    return Run(finished, small_stores, "tcp://127.0.0.1:1")


@pytest.fixture
def rerun(finished: Path, small_stores: Path, scheduler: str, tmp_path: Path) -> Run:
    """A copy of a finished run, to break and run again."""
    shutil.copytree(finished, tmp_path / "data")
    return Run(tmp_path / "data", small_stores, scheduler)


@pytest.fixture
def fresh(small_stores: Path, scheduler: str, tmp_path: Path) -> Callable[[], Run]:
    """An empty data folder, and a copy of the stores to break."""

    def make() -> Run:
        shutil.copytree(small_stores, tmp_path / "stores")
        return Run(tmp_path / "data", tmp_path / "stores", scheduler)

    return make


@pytest.fixture(scope="session")
def world(finished: Path, small_stores: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("crash")
    unpacked = folder / "unpacked"
    first = sorted(small_stores.glob("*.zip"))[0]
    with zipfile.ZipFile(first) as bundle:
        bundle.extractall(unpacked / first.name.removesuffix(".zip"))
    server = Server(folder, finished)
    yield World(server, finished, small_stores, unpacked, folder)
    server.end()


@pytest.fixture(scope="session")
def undisturbed(world: World) -> Callable[[str], Undisturbed]:
    known: dict[str, Undisturbed] = {}

    def play(scenario: str) -> Undisturbed:
        if scenario not in known:
            data = world.copy(scenario, "undisturbed")
            log = world.folder / f"{scenario}.log"
            said = world.play(scenario, data, log=str(log))
            operations = read_log(log)
            assert said is not None
            assert len(operations) == said["operations"]
            assert hidden(data) == []
            known[scenario] = Undisturbed(data, tree(data), operations)
        return known[scenario]

    return play
