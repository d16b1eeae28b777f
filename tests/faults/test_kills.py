"""Whole commands that are killed at any time: what was finished stays as it was, and a rerun does the rest."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest

from sarpipe.simulate import simulate

TINY = (
    "--set",
    "train.epochs=2",
    "--set",
    "train.batch_size=4",
    "--set",
    "train.readout=tokens",
    "--set",
    "device=cpu",
)
SHORT = ("preprocess", "train", "embed")
WHOLE = ("run",)
INTERRUPTED = {signal.SIGINT: 130, signal.SIGTERM: 143}
PATIENCE = 180
"""Seconds that an attempt may take, on a machine that does other work."""


def attempt(commands: Sequence[str], stores: Path, data: Path, said: Path, ready: Any) -> None:
    """One command after the other, in a process and a process group of its own, as a shell does them."""
    os.setsid()
    for stream in (1, 2):
        os.dup2(os.open(said, os.O_WRONLY | os.O_CREAT | os.O_APPEND), stream)
    from sarpipe.flows.cli import main
    from sarpipe.model.extract import embed

    embed.__kwdefaults__["batch_size"] = 8
    ready.send(True)
    code = 0
    for command in commands:
        source = [str(stores), "--workers", "1"] if command in ("preprocess", "run") else []
        code = main([command, *source, "--data", str(data), *TINY])
        if code:
            break
    sys.exit(code)


@dataclass
class Commands:
    """Commands on one data folder, and how often they were broken off."""

    context: ForkServerContext
    stores: Path
    data: Path
    commands: tuple[str, ...]
    kept: int = 0
    said: list[str] = field(default_factory=list)

    def start(self) -> BaseProcess:
        """An attempt that is about to begin its first command."""
        ours, theirs = multiprocessing.Pipe(duplex=False)
        arguments = (self.commands, self.stores, self.data, self._note, theirs)
        self._note.unlink(missing_ok=True)
        process = self.context.Process(target=attempt, args=arguments)
        process.start()
        theirs.close()
        assert ours.recv()
        return process

    def end(self, process: BaseProcess) -> int:
        """Wait for it; its exit code."""
        process.join(PATIENCE)
        if process.exitcode is None:
            os.killpg(process.pid or 0, signal.SIGKILL)
            pytest.fail(f"it hangs: {self._note.read_text()}")
        return process.exitcode

    def broken_off(self, number: signal.Signals, when: Callable[[BaseProcess], None], *, group: bool) -> int:
        """Send a signal to an attempt, or to all of its processes. What had been finished before is as it was."""
        before = finished(self.data)
        process = self.start()
        when(process)
        done = finished(self.data)
        if process.is_alive():
            (os.killpg if group else os.kill)(process.pid or 0, number)
        code = self.end(process)
        said = self._note.read_text()
        assert "Traceback" not in said, said
        if number in INTERRUPTED:
            assert code in (INTERRUPTED[number], 0), said
            assert code == 0 or "run it again to go on" in said
        else:
            assert code in (-number, 0), said
        self.is_kept(before)
        self.is_kept(done)
        return code

    def completes(self) -> None:
        """A last attempt does what is missing, and no more."""
        before = finished(self.data)
        assert self.end(self.start()) == 0, self._note.read_text()
        self.is_kept(before)
        left = [path.name for path in self.data.rglob("*") if path.name.startswith((".tmp", ".old"))]
        left += [path.name for path in self.data.rglob("*.checkpoints")]
        assert not left

    def is_kept(self, before: dict[str, tuple[int, int]]) -> None:
        after = finished(self.data)
        assert {name: after.get(name) for name in before} == before
        self.kept += len(before)

    @property
    def _note(self) -> Path:
        return self.data.with_name("said.txt")


def finished(data: Path) -> dict[str, tuple[int, int]]:
    """The whole artefacts, but checkpoints, with what changes if one is made again."""
    found = {}
    for manifest in sorted(data.rglob("manifest.json")):
        folder = manifest.parent
        if folder.name.startswith(".") or ".checkpoints" in str(folder):
            continue
        try:
            files = json.loads(manifest.read_bytes())["files"]
            same = all(sha256(folder / name) == record["sha256"] for name, record in files.items())
            status = manifest.stat()
        except FileNotFoundError:
            # It is being replaced or removed: not finished, or not ours to judge.
            continue
        if same:
            found[str(folder.relative_to(data))] = (status.st_ino, status.st_mtime_ns)
    return found


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def content(data: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(data)): path.read_bytes()
        for path in sorted(data.rglob("*"))
        if path.is_file() and not path.name.startswith(".lock-") and path.parent.name not in ("energy", "runs")
    }


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stores")
    simulate(folder, stores=3, places=3, seed=3)
    return folder


@pytest.fixture(scope="session")
def loaded() -> ForkServerContext:
    """Starts processes that have imported everything, and have done nothing yet."""
    context = multiprocessing.get_context("forkserver")
    names = (
        "flows.cli",
        "flows.console",
        "stages.straight",
        "train.loop",
        "embeddings.export",
        "evaluate",
        "report.page",
    )
    context.set_forkserver_preload([f"sarpipe.{name}" for name in names])
    return context


@pytest.fixture(scope="module")
def undisturbed(
    loaded: ForkServerContext, stores: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[tuple[str, ...]], tuple[dict[str, bytes], float]]:
    """What commands leave that nobody breaks off, and the seconds that they take."""
    known: dict[tuple[str, ...], tuple[dict[str, bytes], float]] = {}

    def look(commands: tuple[str, ...]) -> tuple[dict[str, bytes], float]:
        if commands not in known:
            data = tmp_path_factory.mktemp("undisturbed") / "data"
            run = Commands(loaded, stores, data, commands)
            # The first process waits for all imports.
            process, started = run.start(), time.monotonic()
            assert run.end(process) == 0
            known[commands] = content(data), time.monotonic() - started
        return known[commands]

    return look


def killed_often(
    kills: int,
    commands: tuple[str, ...],
    loaded: ForkServerContext,
    stores: Path,
    folder: Path,
    undisturbed: Callable[[tuple[str, ...]], tuple[dict[str, bytes], float]],
) -> None:
    expected, seconds = undisturbed(commands)
    print("seed of the draws:", seed := random.randrange(2**32))
    chance = random.Random(seed)
    survived = kept = whole = number = 0
    while survived < kills:
        number += 1
        run = Commands(loaded, stores, folder / str(number) / "data", commands)
        run.data.parent.mkdir()
        while survived < kills:
            kind, group = chance.choice(
                [(signal.SIGKILL, True), (signal.SIGKILL, False), (signal.SIGTERM, False), (signal.SIGINT, True)]
            )
            wait = chance.uniform(0.05, 0.6 * seconds)
            code = run.broken_off(kind, lambda process, wait=wait: process.join(wait), group=group)  # type: ignore[misc]
            survived += code != 0
            if code == 0:
                break
        run.completes()
        assert content(run.data) == expected
        kept += run.kept
        whole += 1
        shutil.rmtree(run.data)
        print(
            f"{survived} kills survived in {whole} data folders, {kept} times an artefact looked at after one, lost: 0"
        )


@pytest.mark.timeout(300)
def test_commands_that_are_killed_at_any_time_end_as_undisturbed_ones(
    loaded: ForkServerContext, stores: Path, tmp_path: Path, undisturbed: Any
) -> None:
    killed_often(5, SHORT, loaded, stores, tmp_path, undisturbed)


@pytest.mark.faults
@pytest.mark.parametrize(("commands", "kills"), [(SHORT, 50), (WHOLE, 10)])
def test_commands_that_are_killed_often(
    commands: tuple[str, ...], kills: int, loaded: ForkServerContext, stores: Path, tmp_path: Path, undisturbed: Any
) -> None:
    killed_often(kills, commands, loaded, stores, tmp_path, undisturbed)


@pytest.mark.faults
@pytest.mark.parametrize("number", INTERRUPTED)
@pytest.mark.parametrize(
    "place", ["cubes/*/.lock-ssl4eos12*", "cubes/*/.lock-set-*", "models/.lock-*", "embeddings/.lock-*",
              "reports/.lock-evaluation-*", "reports/.lock-sar-*"]
)  # fmt: skip
def test_each_stage_ends_at_a_signal_and_goes_on(
    place: str, number: signal.Signals, loaded: ForkServerContext, stores: Path, tmp_path: Path, undisturbed: Any
) -> None:
    run = Commands(loaded, stores, tmp_path / "data", WHOLE)

    def when(process: BaseProcess) -> None:
        while process.is_alive() and not any(run.data.glob(place)):
            time.sleep(0.01)

    run.broken_off(number, when, group=number == signal.SIGINT)
    run.completes()
    assert content(run.data) == undisturbed(WHOLE)[0]
